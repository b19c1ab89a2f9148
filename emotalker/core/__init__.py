"""What every other folder may use: errors, files, configuration, checkpoints, the registry of models, emotions and splits."""
