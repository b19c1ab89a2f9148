"""Train the lip branch, from mel-spectrograms and the rest of the face to the lips.

python scripts/train_lip.py                                      # small, for two CPU cores
python scripts/train_lip.py preset=paper data.root=[data/a,data/b]

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.lip import LipTraining

if __name__ == "__main__":
    launch(LipTraining, "emotalker.training.lip:train")
