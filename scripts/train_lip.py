"""Train the lip branch, from mel-spectrograms and the rest of the face to the lips.

python scripts/train_lip.py                                      # small, for two CPU cores
python scripts/train_lip.py model=lip_paper data.root=[data/a,data/b]

Run it again with the same run=... folder to resume; --help lists every option.
"""

from emotalker.core.launch import launch

if __name__ == "__main__":
    launch("lip", "emotalker.training.lip:train")
