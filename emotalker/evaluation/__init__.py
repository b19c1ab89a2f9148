"""Measures of generated motion, generated videos, the tracker and the audio encoder."""
