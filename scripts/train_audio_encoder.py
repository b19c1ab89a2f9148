"""Train the small audio encoder on speech: distilled from Whisper's encoder, taught emotion by the corpora with labels.

python scripts/train_audio_encoder.py data.root=path/to/corpora

Run it again with the same run=... folder to resume; --help lists every option.
"""

from emotalker.core.launch import launch

if __name__ == "__main__":
    launch("audio_encoder", "emotalker.training.audio_encoder:train")
