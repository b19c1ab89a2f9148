"""Train the small audio encoder on folders of recordings; RAVDESS among them teaches it emotion.

python scripts/train_hubert.py data.root=path/to/corpora data.audio=[grid_s1/audio,ravdess]

Run it again with the same run=... folder to resume; --help lists every option.
"""

from emotalker.training.cli import launch

if __name__ == "__main__":
    launch("hubert", "emotalker.training.hubert:train")
