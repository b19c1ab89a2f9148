"""Train stage 1, the VQ-VAE of face motion, on prepared corpora.

python scripts/train_vqvae.py                                    # small, for two CPU cores
python scripts/train_vqvae.py model=vqvae_paper data.root=[data/a,data/b]

Run it again with the same run=... folder to resume; --help lists every option.
"""

from emotalker.core.launch import launch

if __name__ == "__main__":
    launch("vqvae", "emotalker.training.vqvae:train")
