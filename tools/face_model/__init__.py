"""Construction of ``emotalker/assets/face_model.npz``."""
