"""BVH: the head's pose as a skeleton of one joint, for programs that take no blendshapes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success

_CHANNELS = "Xposition Yposition Zposition Zrotation Yrotation Xrotation"
_HIERARCHY = f"""HIERARCHY
ROOT Head
{{
\tOFFSET 0 0 0
\tCHANNELS 6 {_CHANNELS}
\tEnd Site
\t{{
\t\tOFFSET 0 10 0
\t}}
}}
"""


def write_bvh(path: str | os.PathLike, motion: MotionTrack) -> Path:
    """Write the pose of a motion of ARKIT: centimetres and degrees, ``Rz Ry Rx`` as in our rotations.

    Raises:
        OutputError: the file cannot be written.
        ValueError: the motion is of another space.
    """
    if motion.space != ARKIT:
        raise ValueError(f"BVH files take {ARKIT.name} motion, not {motion.space.name}")
    pose = motion.coefficients[:, ARKIT.pose].astype(np.float64)
    values = np.concatenate([pose[:, 3:], np.degrees(pose[:, 2::-1])], 1)
    lines = [" ".join(f"{value:.7g}" for value in row) for row in values]
    header = f"MOTION\nFrames: {len(lines)}\nFrame Time: {1 / motion.space.fps:.7g}\n"
    with replace_on_success(path) as temporary:
        temporary.write_text(_HIERARCHY + header + "\n".join(lines) + "\n", encoding="utf-8")
    return Path(path)


def read_bvh(path: str | os.PathLike) -> np.ndarray:
    """The pose ``(T, 6)`` float64 of a file of :func:`write_bvh`, in radians and cm; DataError if it is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        if _CHANNELS not in text:
            raise ValueError("its channels are others")
        lines = text.split("Frame Time:", 1)[1].splitlines()[1:]
        values = np.array([[float(cell) for cell in line.split()] for line in lines if line.strip()])
        if values.ndim != 2 or values.shape[1] != 6:
            raise ValueError("a frame has not six values")
        if not np.isfinite(values).all():
            raise ValueError("a value is not finite")
    except (OSError, UnicodeDecodeError, IndexError, ValueError) as error:
        raise DataError(f"{path} is no BVH file of a head written by EmoTalker: {error}") from error
    return np.concatenate([np.radians(values[:, :2:-1]), values[:, :3]], 1)
