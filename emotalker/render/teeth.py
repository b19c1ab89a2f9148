"""Procedural teeth: crowns, gaps and gums on the head model's two smooth bands of teeth."""

from __future__ import annotations

import numpy as np

from emotalker.render.warp import smoothstep

#: Half of the dental arch from above: distance from the middle (cm), length along the arch up to there (cm), and how
#: far the surface there is turned to the viewer (1 is frontal). Measured on the head model.
_ARCH_X = np.array([0.0, 1.0, 1.97, 2.51, 2.87, 3.21, 3.6])
_ARCH_LENGTH = np.array([0.0, 1.0, 2.09, 2.97, 3.86, 4.79, 6.3])
_ARCH_FACING = np.array([1.0, 0.96, 0.8, 0.58, 0.42, 0.3, 0.2])

#: Ends of the crowns along the arch from the middle, cm: typical widths (Ash & Nelson, Dental Anatomy), on the model's arch.
_UPPER_ENDS = np.cumsum([0.95, 0.75, 0.85, 0.80, 0.80, 1.10, 1.10])
_LOWER_ENDS = np.cumsum([0.60, 0.66, 0.78, 0.80, 0.80, 1.15, 1.15])
_CROWN_HEIGHT = 0.98

#: How far the biting edge of each crown is behind that of the longest, cm, and how much it slopes to its sides.
_UPPER_EDGES = np.array([0.0, 0.07, 0.02, 0.1, 0.14, 0.18, 0.2])
_LOWER_EDGES = np.array([0.02, 0.03, 0.0, 0.06, 0.1, 0.12, 0.14])
_SLOPES = np.array([0.01, 0.02, 0.09, 0.08, 0.06, 0.04, 0.04])
_ROUNDING = 0.07

#: Colour of each crown relative to the middle incisors: canines are darker and more yellow.
_SHADES = np.array([[1.0, 1.0, 1.0], [0.98, 0.97, 0.97], [0.94, 0.91, 0.87]] + 4 * [[0.95, 0.94, 0.91]])

#: Colour of the gums relative to the enamel.
_GUM = np.array([0.78, 0.48, 0.47])


def tooth_colors(points: np.ndarray, upper: bool, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """Colour and outline of one band of teeth.

    Args:
        points: ``(H, W, 3)`` points on the neutral average head, centimetres.
        upper: whether these are the upper teeth.
        edge: height of the biting edge, centimetres.

    Returns:
        ``(H, W, 3)`` colours relative to well-lit enamel, and ``(H, W)`` bool, false beyond the crowns' edges.
    """
    side = np.abs(points[..., 0])
    along = np.interp(side, _ARCH_X, _ARCH_LENGTH)
    height = (points[..., 1] - edge) * (1 if upper else -1)  # from the biting edge to the root
    ends = _UPPER_ENDS if upper else _LOWER_ENDS
    starts = np.concatenate([[0.0], ends[:-1]])
    tooth = np.searchsorted(ends, along).clip(0, len(ends) - 1)
    across = 2 * (along - starts[tooth]) / (ends - starts)[tooth] - 1  # -1 and 1 at the neighbouring teeth

    edges = (_UPPER_EDGES if upper else _LOWER_EDGES)[tooth]
    above = height - edges - _SLOPES[tooth] * np.abs(across) - _ROUNDING * across**6
    gap = np.minimum(1 - np.abs(across), 1) * (ends - starts)[tooth] / 2  # distance to the next tooth, cm
    root = smoothstep(height / _CROWN_HEIGHT)
    # Neighbours touch in the middle third. The gap is deeper towards the gums and at the rounded corners.
    groove = np.exp(-((gap / 0.035) ** 2)) * (0.07 + 0.14 * (2 * root - 0.8) ** 2)
    tint = 1 - root[..., None] * np.array([0.03, 0.07, 0.14])
    tint = tint * (1 - np.exp(-np.clip(above, 0, None) / 0.06)[..., None] * np.array([0.1, 0.08, 0.06]))  # translucent edge
    tint = tint * _SHADES[tooth]
    enamel = tint * (1 - 0.13 * across**2 - groove)[..., None]
    gum_line = _CROWN_HEIGHT - 0.1 * across**2
    gum = smoothstep((height - gum_line) / 0.08)[..., None]
    facing = np.interp(side, _ARCH_X, _ARCH_FACING)[..., None]
    return (enamel + gum * (_GUM - enamel)) * (0.25 + 0.75 * facing), above > 0
