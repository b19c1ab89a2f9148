"""Limits of what is read from files that others made. Beyond them, a file is refused before memory is taken for it."""

from __future__ import annotations

#: Pixels of a picture: 100 megapixels, more than cameras make.
MAX_PIXELS = 100_000_000
#: Bytes of a picture's file.
MAX_IMAGE_BYTES = 500_000_000
#: Sample rates of recordings, Hz, and number of channels.
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 768_000
MAX_CHANNELS = 64
#: Length of a recording, seconds: a day.
MAX_SECONDS = 86_400
#: Bytes of all arrays of a file together: landmarks of two hours of video.
MAX_ARRAY_BYTES = 1 << 30
#: Width and height of a video that is made, pixels: what H.264 decoders of phones and browsers take.
MAX_SIDE = 4096
