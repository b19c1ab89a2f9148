"""Uniform colours of the head model's parts."""

from __future__ import annotations

import numpy as np

from emotalker.face.model import FaceModel

COLORS = {
    "skin": (0.85, 0.68, 0.58),
    "eye_sockets": (0.75, 0.45, 0.42),
    "mouth_cavity": (0.35, 0.08, 0.08),
    "upper_teeth": (0.95, 0.93, 0.88),
    "lower_teeth": (0.95, 0.93, 0.88),
    "tongue": (0.75, 0.35, 0.36),
    "left_eye": (0.95, 0.95, 0.95),
    "right_eye": (0.95, 0.95, 0.95),
}
IRIS_COLOR, PUPIL_COLOR = (0.3, 0.2, 0.13), (0.05, 0.05, 0.05)


def part_colors(model: FaceModel) -> np.ndarray:
    """A colour for each triangle, with iris and pupil: ``(F, 3)`` in 0..1 for :func:`emotalker.face.rasterizer.shade`."""
    colors = np.zeros((len(model.triangles), 3), np.float32)
    for name, color in COLORS.items():
        colors[model.parts[name]] = color
    for name in ("left_eye", "right_eye"):
        triangles = model.parts[name]
        radius = np.linalg.norm(model.uv[triangles].mean(1) - 0.5, axis=1)
        colors[triangles[radius < 0.25]] = IRIS_COLOR
        colors[triangles[radius < 0.11]] = PUPIL_COLOR
    return colors
