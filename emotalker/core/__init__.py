"""Shared by all other folders: errors, files, configuration, checkpoints, the registry of models, emotions and splits."""
