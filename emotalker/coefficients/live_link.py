"""Live Link Face CSV: Epic's format for recordings of ARKit's face tracking.

61 columns after ``Timecode`` and ``BlendShapeCount``: the 52 blendshapes, three angles of the head and of each eye, in
radians. Live Link measures yaw and roll in the opposite direction to :data:`emotalker.coefficients.ARKIT`: in recordings, the
left eye's yaw is 0.64 (in - out) and its pitch -0.5 (up - down), with correlations above .97 (the data pack's takes). The
head's angles come from the same conversion as the eyes' and have their signs; recordings with a phone held in another
orientation may have others. The format has no translation, so a motion's shifts are lost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotalker.coefficients.resample import resample_motion
from emotalker.coefficients.space import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.table import numbers, on_grid, read_rows, read_table, write_rows
from emotalker.core.errors import DataError

#: Radians of an eye's rotation per unit of its gaze blendshapes, sideways and up.
YAW_PER_GAZE, PITCH_PER_GAZE = 0.64, 0.5
_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
#: Blendshape columns in Live Link's order, which has right before left for jaw and mouth.
BLENDSHAPES = tuple(_SWAPPED.get(name, name) for name in ARKIT_BLENDSHAPES)
HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")
EYES = tuple(f"{side}Eye{angle}" for side in ("Left", "Right") for angle in ("Yaw", "Pitch", "Roll"))
COLUMNS = (*(name[0].upper() + name[1:] for name in BLENDSHAPES), *HEAD, *EYES)
_TIMECODE = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})[:;](\d{1,3})(?:\.(\d+))?")
#: Entries of ARKIT for HEAD, and the sign of each.
_HEAD_ENTRIES, _HEAD_SIGNS = ARKIT.indices(("yaw", "pitch", "roll")), np.array([-1.0, 1.0, -1.0])


def is_live_link(header: list[str]) -> bool:
    """Whether the header of a CSV file is Live Link's."""
    return any(name.lower() == "timecode" for name in header)


def write_live_link(path: str | os.PathLike, coefficients: np.ndarray, fps: int = 60) -> Path:
    """Write a motion ``(T, 58)`` of ARKIT at 25 fps as Live Link Face CSV at ``fps``.

    Raises:
        OutputError: the file cannot be written.
        ValueError: the motion is not of ARKIT, or the rate is not a whole number from 1 to 240.
    """
    motion = np.asarray(coefficients, np.float32)
    if motion.ndim != 2 or motion.shape[1] != ARKIT.dim:
        raise ValueError(f"Live Link takes {ARKIT.name} motion (T, {ARKIT.dim}), not {motion.shape}")
    if fps != int(fps) or not 1 <= fps <= 240:
        raise ValueError(f"the frame rate is a whole number from 1 to 240, not {fps}")
    if fps != ARKIT.fps:
        motion = resample_motion(np.arange(len(motion)) / ARKIT.fps, motion, ARKIT, fps)
    rows = [
        [timecode(frame, int(fps)), str(len(COLUMNS)), *(np.format_float_positional(v, trim="-") for v in row)]
        for frame, row in enumerate(live_link_values(motion))
    ]
    return write_rows(path, ["Timecode", "BlendShapeCount", *COLUMNS], rows)


def live_link_values(motion: np.ndarray) -> np.ndarray:
    """A motion ``(T, 58)`` of ARKIT as values ``(T, 61)`` float32 of COLUMNS."""
    head = motion[:, _HEAD_ENTRIES] * _HEAD_SIGNS
    return np.concatenate([motion[:, ARKIT.indices(BLENDSHAPES)], head, _eye_angles(motion)], 1).astype(np.float32)


def _eye_angles(motion: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll of both eyes ``(T, 6)`` from the gaze blendshapes; roll is 0."""

    def entry(name: str) -> np.ndarray:
        return motion[:, ARKIT.index(name)]

    columns = []
    for side, sign in (("Left", 1), ("Right", -1)):
        yaw = sign * YAW_PER_GAZE * (entry(f"eyeLookIn{side}") - entry(f"eyeLookOut{side}"))
        pitch = -PITCH_PER_GAZE * (entry(f"eyeLookUp{side}") - entry(f"eyeLookDown{side}"))
        columns += [yaw, pitch, np.zeros_like(yaw)]
    return np.stack(columns, 1)


def timecode(frame: int, fps: int) -> str:
    """``HH:MM:SS:FF.000`` of a frame, from 00:00:00:00 on."""
    seconds, rest = divmod(frame, fps)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}.000"


def read_live_link(path: str | os.PathLike, header: list[str], rows: list[list[str]], fps: float | None = None) -> np.ndarray:
    """A Live Link recording to ``(T, 58)`` float32 at ARKIT's frame rate. Shifts of the head are zero.

    The frame rate is read off the timecode: the number of frames a second of it has. Dropped frames are bridged.

    Args:
        path: for messages.
        header, rows: of the CSV file.
        fps: of the recording, where the timecode does not show it because the recording is shorter than a second.

    Raises:
        DataError: columns are missing, or a timecode or value cannot be read.
    """
    position = {name.lower(): i for i, name in enumerate(header)}
    if "timecode" not in position:
        raise DataError(f"{path} lacks the Live Link column Timecode; export it from Live Link Face as CSV")
    times = _times(path, [row[position["timecode"]] for row in rows], fps)
    present = [name for name in COLUMNS if name.lower() in position]
    columns = [position[name.lower()] for name in present]
    motion = motion_from_values(path, present, numbers(path, present, [[row[c] for c in columns] for row in rows]))
    kept = np.concatenate([[True], np.diff(times) > 0])  # ARKit now and then reports a frame twice
    return on_grid(path, times[kept], motion[kept], ARKIT)


def motion_from_values(path: str | os.PathLike, names: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Values ``(T, C)`` of Live Link's channels to motion ``(T, 58)`` of ARKIT, at the same times; shifts are zero.

    Args:
        path: for messages.
        names: of the channels, in any order and case; all 52 blendshapes, and the head's angles if there are any.
        values: of the channels.

    Raises:
        DataError: a blendshape is missing.
    """
    position = {name.lower(): i for i, name in enumerate(names)}
    missing = [name for name in COLUMNS[: len(BLENDSHAPES)] if name.lower() not in position]
    if missing:
        raise DataError(f"{path} lacks the Live Link column {missing[0]}; export it from Live Link Face as CSV")
    motion = np.zeros((len(values), ARKIT.dim))
    for entry, name in zip(ARKIT.indices(BLENDSHAPES), COLUMNS, strict=False):
        motion[:, entry] = values[:, position[name.lower()]]
    for entry, sign, name in zip(_HEAD_ENTRIES, _HEAD_SIGNS, HEAD, strict=True):
        if name.lower() in position:
            motion[:, entry] = sign * values[:, position[name.lower()]]
    return motion


def _times(path: str | os.PathLike, codes: list[str], fps: float | None) -> np.ndarray:
    """Seconds ``(N,)`` of timecodes, not decreasing over midnight."""
    parts = np.empty((len(codes), 3))
    for i, code in enumerate(codes):
        match = _TIMECODE.fullmatch(code.strip())
        if match is None:
            raise DataError(f"{path}, row {i + 2}: {code!r} is no timecode HH:MM:SS:FF")
        hours, minutes, seconds, frame, fraction = match.groups()
        parts[i] = int(hours) * 3600 + int(minutes) * 60 + int(seconds), int(frame), float(f"0.{fraction or 0}")
    if fps is None:
        # The highest frame number is the rate less one; recordings of less than a second may not reach it.
        highest = parts[:, 1].max() + 1
        fps = next((rate for rate in (24, 25, 30, 50, 60, 120) if rate >= highest), highest)
    seconds = parts[:, 0] + (parts[:, 1] + parts[:, 2]) / fps
    return seconds + 86400 * np.cumsum(np.concatenate([[0], np.diff(seconds) < -43200]))


def load_csv(path: str | os.PathLike) -> tuple[np.ndarray, str]:
    """Read any CSV of motion, Live Link's or ours: ``(T, D)`` float32 and the name of its space; DataError if it is none."""
    header, rows = read_rows(path)
    if is_live_link(header):
        return read_live_link(path, header, rows), ARKIT.name
    coefficients, space = read_table(path, header, rows)
    return coefficients, space.name
