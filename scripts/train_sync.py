"""Train the sync expert, which scores whether lips and speech are in sync.

python scripts/train_sync.py
python scripts/train_sync.py data.root=[data/a,data/b] run=runs/sync

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.sync import SyncTraining

if __name__ == "__main__":
    launch(SyncTraining, "emotalker.training.sync:train")
