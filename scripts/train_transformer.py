"""Train stage 2, the cross-modal transformer from speech features to motion codes.

python scripts/train_transformer.py vqvae=runs/vqvae/best.safetensors encoder=runs/audio_encoder/best.safetensors
python scripts/train_transformer.py preset=paper vqvae=... encoder=superb/hubert-base-superb-er

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.transformer import TransformerTraining

if __name__ == "__main__":
    launch(TransformerTraining, "emotalker.training.transformer:train")
