"""Speech features for the face branch."""

from emotalker.features.hubert import AudioEncoder, AudioEncoderConfig

__all__ = ["AudioEncoder", "AudioEncoderConfig"]
