"""The head model, facial landmarks, and the fit of the model to landmarks."""
