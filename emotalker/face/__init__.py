"""The head model, finding a face's landmarks, and fitting the one to the other."""
