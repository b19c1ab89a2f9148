"""Optional: tracking of synthetic (not photographed) faces, and the training data for it. Inference does not use it."""
