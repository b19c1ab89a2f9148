"""Train stage 2, the cross-modal transformer from speech features to motion codes.

python scripts/train_transformer.py vqvae=runs/vqvae/best.safetensors encoder=runs/audio_encoder/best.safetensors
python scripts/train_transformer.py model=transformer_paper vqvae=... encoder=superb/hubert-base-superb-er

Run it again with the same run=... folder to resume; --help lists every option.
"""

from emotalker.core.launch import launch

if __name__ == "__main__":
    launch("transformer", "emotalker.training.transformer:train")
