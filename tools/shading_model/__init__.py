"""Measures how expressions shade skin, for ``emotalker/assets/shading.npz``."""
