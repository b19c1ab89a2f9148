"""Train the sync judge, which evaluates lip sync.

python scripts/train_sync_judge.py
python scripts/train_sync_judge.py data.root=[data/a,data/b] run=runs/sync_judge

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.sync_judge import SyncJudgeTraining

if __name__ == "__main__":
    launch(SyncJudgeTraining, "emotalker.training.sync_judge:train")
