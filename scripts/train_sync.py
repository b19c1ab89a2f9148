"""Train the sync expert, which tells whether lips and sound belong together.

python scripts/train_sync.py
python scripts/train_sync.py data.root=[data/a,data/b] run=runs/sync

Run it again with the same run=... folder to resume; --help lists every option.
"""

from emotalker.core.launch import launch

if __name__ == "__main__":
    launch("sync", "emotalker.training.sync:train")
