"""Train the emotion recogniser on emotional speech, with the hidden states of a trained audio encoder.

python scripts/train_emotion_recognizer.py data.root=path/to/corpora data.encoder=runs/audio_encoder/best.safetensors

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.emotion_recognizer import EmotionRecognizerTraining

if __name__ == "__main__":
    launch(EmotionRecognizerTraining, "emotalker.training.emotion_recognizer:train")
