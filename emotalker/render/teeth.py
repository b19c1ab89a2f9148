"""Procedural tooth colours: crowns, gaps and gums on the head model's two smooth bands of teeth."""

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

#: Colours relative to bright skin, so that they match the photo's light and white balance.
_ENAMEL = np.array([1.0, 1.08, 1.1])
_GUM = np.array([0.66, 0.45, 0.44])


def tooth_colors(points: np.ndarray, upper: bool, edge: float) -> np.ndarray:
    """Colour of the surface of one band of teeth, relative to bright skin.

    Args:
        points: ``(H, W, 3)`` points on the neutral average head, centimetres.
        upper: whether these are the upper teeth.
        edge: height of the biting edge, centimetres.

    Returns:
        ``(H, W, 3)``.
    """
    side = np.abs(points[..., 0])
    along = np.interp(side, _ARCH_X, _ARCH_LENGTH)
    height = (points[..., 1] - edge) * (1 if upper else -1)  # from the biting edge to the root
    ends = _UPPER_ENDS if upper else _LOWER_ENDS
    starts = np.concatenate([[0.0], ends[:-1]])
    tooth = np.searchsorted(ends, along).clip(0, len(ends) - 1)
    across = 2 * (along - starts[tooth]) / (ends - starts)[tooth] - 1  # -1 and 1 at the neighbouring teeth

    gap = np.minimum(1 - np.abs(across), 1) * (ends - starts)[tooth] / 2  # distance to the next tooth, cm
    root = smoothstep(height / _CROWN_HEIGHT)
    width = 0.04 - 0.015 * root  # rounded corners: gaps are wider at the biting edge
    groove = np.exp(-((gap / width) ** 2))
    tint = 1 - root[..., None] * np.array([0.02, 0.06, 0.13])
    enamel = _ENAMEL * tint * (1 - 0.1 * across**2 - 0.24 * groove)[..., None]
    gum_line = _CROWN_HEIGHT - 0.1 * across**2
    gum = smoothstep((height - gum_line) / 0.08)[..., None]
    facing = np.interp(side, _ARCH_X, _ARCH_FACING)[..., None]
    return (enamel + gum * (_GUM - enamel)) * (0.25 + 0.75 * facing)
