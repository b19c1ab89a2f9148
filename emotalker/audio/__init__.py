"""Audio: reading recordings, and mel spectrograms."""
