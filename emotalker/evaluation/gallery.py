"""Sheets of frames of speaking portraits whose heads are turned by given angles, for visual inspection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.inference.pipeline import AudioSource, ImageSource, TalkingHead
from emotalker.video.sheet import draw_label, frame_grid

#: Pitch, yaw and roll in degrees at the limits of the head's pose, by name; left and right are the subject's.
TURNS: dict[str, tuple[float, float, float]] = {
    "rest": (0, 0, 0),
    "left": (0, 25, 0),
    "right": (0, -25, 0),
    "down": (15, 0, 0),
    "up": (-15, 0, 0),
    "tilt right": (0, 0, 20),
    "tilt left": (0, 0, -20),
    "all": (-8, 15, 10),
}
#: The point about which real talkers turn, from the model's origin, centimetres. Regressing the shifts on the angles of
#: 119 validation clips of RAVDESS gives 9.0 and 9.4 behind the origin for pitch and yaw, and 4.5 below it for roll.
PIVOT = np.array([0.0, -4.5, -9.2])


def turned_pose(degrees: Sequence[float]) -> np.ndarray:
    """A pose ``(6,)`` in radians and centimetres from pitch, yaw and roll in degrees about :data:`PIVOT`."""
    angles = np.radians(np.asarray(degrees, np.float64))
    return np.concatenate([angles, PIVOT - rotation_matrix(angles) @ PIVOT]).astype(np.float32)


def turned_motion(motion: np.ndarray, turns: Sequence[Sequence[float]]) -> np.ndarray:
    """For each turn a frame ``(len(turns), D)`` of the motion ``(T, D)``, in order, with the pose replaced.

    The recording is divided into as many parts, and each part gives its frame with the widest open jaw.

    Raises:
        ValueError: there are more turns than frames.
    """
    if len(motion) < len(turns):
        raise ValueError(f"{len(turns)} turns need as many frames, not {len(motion)}")
    jaw = motion[:, ARKIT.index("jawOpen")]
    parts = np.array_split(np.arange(len(motion)), len(turns))
    frames = motion[[part[np.argmax(jaw[part])] for part in parts]].copy()
    frames[:, ARKIT.pose] = [turned_pose(turn) for turn in turns]
    return frames


def portrait_sheet(
    talking_head: TalkingHead, image: ImageSource, recordings: Sequence[AudioSource], width: int = 256, **options
) -> np.ndarray:
    """One row for each recording, one column for each of :data:`TURNS`.

    Args:
        talking_head: the pipeline.
        image, recordings: its inputs.
        width: of one frame in the sheet, pixels.
        options: further arguments of :meth:`TalkingHead.generate`.

    Returns:
        RGB uint8.
    """
    rows = []
    for recording in recordings:
        video = talking_head.generate(recording, image, **options)
        chosen = turned_motion(video.motion.coefficients, list(TURNS.values()))
        turned = replace(video, motion=replace(video.motion, coefficients=chosen))
        row = frame_grid(list(turned), len(TURNS), width)
        for column, name in enumerate(TURNS):
            draw_label(row[:, column * row.shape[1] // len(TURNS) :], name)
        rows.append(row)
    return np.concatenate(rows, 0)
