"""Judging generated videos by tracking them again, as one would track a recording."""
