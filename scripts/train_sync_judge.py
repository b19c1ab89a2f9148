"""Train the sync judge, which evaluates lip sync.

python scripts/train_sync_judge.py
python scripts/train_sync_judge.py data.root=[data/a,data/b] run=runs/sync_judge

Run it again with the same run=... folder to resume; --help lists every option.
"""

from emotalker.core.launch import launch

if __name__ == "__main__":
    launch("sync_judge", "emotalker.training.sync_judge:train")
