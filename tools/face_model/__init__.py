"""Builds ``emotalker/assets/face_model.npz``."""
