"""File name suffixes by kind of media, lower case with the dot."""

from __future__ import annotations

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".flv", ".m4v"})
#: In order of preference where several recordings have one name.
AUDIO_SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".m4a", ".mp3")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
