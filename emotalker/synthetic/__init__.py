"""Optional: tracking of synthetic (rendered or painted) faces, and the training data for it. Inference does not use it."""
