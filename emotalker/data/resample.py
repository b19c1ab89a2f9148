"""Bringing tracks of any frame rate to that of a coefficient space."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from emotalker.face.geometry import rotation_angles, rotation_matrix


def resampled_length(frames: int, fps: float, new_fps: float) -> int:
    """Frames at ``new_fps`` whose time lies within a track of ``frames`` at ``fps``; at least 1."""
    return max(1, int(np.floor(frames * new_fps / fps + 1e-6)))


def resample(values: np.ndarray, fps: float, new_fps: float) -> np.ndarray:
    """Resample over time by cubic convolution (Keys 1981), widened where frames are dropped so that nothing aliases.

    Args:
        values: ``(T, ...)`` at ``fps``; finite.

    Returns:
        ``(T', ...)`` in the same floating type, frame k at time k / ``new_fps``; ends are held.
    """
    if abs(fps - new_fps) < 1e-6:
        return values
    width = max(1.0, fps / new_fps)
    centres = np.arange(resampled_length(len(values), fps, new_fps)) * (fps / new_fps)
    taps = np.floor(centres)[:, None] + np.arange(-np.ceil(2 * width), np.ceil(2 * width) + 1)
    weights = _keys(np.abs(taps - centres[:, None]) / width)
    weights /= weights.sum(1, keepdims=True)
    frames = taps.astype(int).clip(0, len(values) - 1)
    flat = values.reshape(len(values), -1)
    out = np.einsum("ok,okc->oc", weights, flat[frames])
    return out.reshape(len(centres), *values.shape[1:]).astype(values.dtype)


def resample_angles(angles: np.ndarray, fps: float, new_fps: float) -> np.ndarray:
    """Resample pitch, yaw, roll ``(T, 3)`` in radians as rotations: quaternions of continuous sign, normalised again."""
    if abs(fps - new_fps) < 1e-6:
        return angles
    quaternions = Rotation.from_matrix(rotation_matrix(angles.astype(np.float64))).as_quat()
    flips = np.cumprod(np.where((quaternions[1:] * quaternions[:-1]).sum(1) < 0, -1, 1))
    quaternions[1:] *= flips[:, None]
    return rotation_angles(Rotation.from_quat(resample(quaternions, fps, new_fps)).as_matrix()).astype(angles.dtype)


def _keys(x: np.ndarray) -> np.ndarray:
    """Keys' cubic of non-negative distances, a = -1/2."""
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
