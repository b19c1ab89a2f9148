"""Train the small audio encoder on speech: distilled from Whisper's encoder and trained on the corpora's emotion labels.

python scripts/train_audio_encoder.py data.root=path/to/corpora

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.audio_encoder import AudioEncoderTraining

if __name__ == "__main__":
    launch(AudioEncoderTraining, "emotalker.training.audio_encoder:train")
