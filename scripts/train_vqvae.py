"""Train stage 1, the VQ-VAE of face motion, on prepared corpora.

python scripts/train_vqvae.py                                    # small, for two CPU cores
python scripts/train_vqvae.py preset=paper data.root=[data/a,data/b]

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.vqvae import VQVAETraining

if __name__ == "__main__":
    launch(VQVAETraining, "emotalker.training.vqvae:train")
