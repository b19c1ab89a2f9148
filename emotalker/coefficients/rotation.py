"""Conversion between Euler angles and rotation matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def rotation_matrix(angles: ArrayLike) -> np.ndarray:
    """Rotation ``Rz(roll) @ Ry(yaw) @ Rx(pitch)``.

    Args:
        angles: ``(..., 3)`` pitch, yaw, roll in radians, about x, y and z.

    Returns:
        ``(..., 3, 3)`` in the floating type of the angles; column vectors are rotated as ``R @ x``.
    """
    angles = np.asarray(angles)
    if not np.issubdtype(angles.dtype, np.floating):
        angles = angles.astype(np.float64)
    (sx, sy, sz), (cx, cy, cz) = np.moveaxis(np.sin(angles), -1, 0), np.moveaxis(np.cos(angles), -1, 0)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def rotation_angles(rotation: ArrayLike) -> np.ndarray:
    """Inverse of :func:`rotation_matrix`: ``(..., 3, 3)`` to ``(..., 3)`` pitch, yaw, roll; yaw in [-pi/2, pi/2]."""
    r = np.asarray(rotation)
    pitch = np.arctan2(r[..., 2, 1], r[..., 2, 2])
    yaw = np.arcsin(np.clip(-r[..., 2, 0], -1, 1))
    roll = np.arctan2(r[..., 1, 0], r[..., 0, 0])
    return np.stack([pitch, yaw, roll], -1)
