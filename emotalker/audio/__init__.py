"""Recordings: reading, writing, and the mel spectrogram."""
