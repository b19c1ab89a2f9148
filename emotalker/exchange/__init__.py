"""Faces and motion in the formats of other programs."""
