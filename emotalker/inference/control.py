"""Free control (supplement): parts of a motion are replaced by those of references, or by keyframes of pose and gaze.

Parts are disjoint, so replacing one leaves the coefficients of the others as they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from emotalker.coefficients import ARKIT, CoefficientSpace, MotionTrack
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.core.suffixes import VIDEO_SUFFIXES
from emotalker.inference.keyframes import ControlError, Keyframes, apply_gaze_keyframes, apply_pose_keyframes

Part = Literal["pose", "expression", "lips"]
Ending = Literal["loop", "hold", "cut"]
PARTS: tuple[Part, ...] = ("pose", "expression", "lips")
ENDINGS: tuple[Ending, ...] = ("loop", "hold", "cut")
#: Frames over which the end of a loop and its start are blended.
_BLEND = 8


def part_entries(part: Part, space: CoefficientSpace) -> np.ndarray:
    """Indices of the entries of a part: rigid pose, lips, or all other expression entries."""
    if part == "pose":
        return np.arange(space.dim)[space.pose]
    return space.lip if part == "lips" else np.setdiff1d(np.arange(space.dim)[space.expression], space.lip)


@dataclass(frozen=True)
class Reference:
    """A motion that replaces a part of the generated one.

    Attributes:
        motion: of the same space as the generated one, without missing frames.
        part: which entries it replaces.
        relative: use the change since the reference's first frame instead of its values.
        amplitude: factor of the reference's values.
        ending: what follows the reference's last frame: "loop" starts again, "hold" keeps it, "cut" returns to the generated
            motion.
    """

    motion: MotionTrack
    part: Part
    relative: bool = False
    amplitude: float = 1.0
    ending: Ending = "loop"

    def apply(self, coefficients: np.ndarray, space: CoefficientSpace) -> np.ndarray:
        """Replace the part in ``(T, D)``; returns a new array.

        Raises:
            ControlError: the reference is of another space.
        """
        if self.motion.space != space:
            raise ControlError(f"a reference of {self.motion.space.name} cannot drive a motion of {space.name}")
        entries = part_entries(self.part, space)
        values = self.motion.coefficients[:, entries]
        if self.relative:
            values = _relative_pose(values) if self.part == "pose" else values - values[:1]
        values = values * self.amplitude
        if self.part != "pose":
            values = np.clip(values, 0, 1) if space == ARKIT else values
        result, length = coefficients.copy(), len(coefficients)
        if len(values) >= length:
            result[:, entries] = values[:length]
        elif self.ending == "loop":
            result[:, entries] = _looped(values, length)
        else:
            result[: len(values), entries] = values
            if self.ending == "hold":
                result[len(values) :, entries] = values[-1]
            else:
                _blend_back(result, coefficients, len(values), entries)
        return result


def _relative_pose(pose: np.ndarray) -> np.ndarray:
    """Pose ``(T, 6)`` relative to its first frame: rotations by matrices, shifts by differences."""
    rotations = rotation_matrix(pose[:, :3].astype(np.float64))
    angles = rotation_angles(rotations @ rotations[0].T)
    return np.concatenate([angles, pose[:, 3:] - pose[:1, 3:]], 1).astype(pose.dtype)


def _looped(values: np.ndarray, length: int) -> np.ndarray:
    """Repeat ``(N, C)`` to ``(length, C)``; the start is blended with what followed the end, so that loops do not jump."""
    blend = min(_BLEND, len(values) // 2)
    loop = values[: len(values) - blend].copy()
    weight = ((np.arange(blend) + 1) / (blend + 1))[:, None]
    start = (1 - weight) * values[len(values) - blend :] + weight * loop[:blend]
    repeated = np.concatenate([start, loop[blend:]])
    rest = np.resize(np.arange(len(loop)), max(0, length - len(loop)))
    return np.concatenate([loop, repeated[rest]])[:length]


def _blend_back(result: np.ndarray, generated: np.ndarray, end: int, entries: np.ndarray) -> None:
    """Fade from the reference's last frame ``end - 1`` to the generated motion, in place."""
    stop = min(len(result), end + _BLEND)
    weight = ((np.arange(end, stop) - end + 1) / (_BLEND + 1))[:, None]
    last = result[end - 1, entries]
    result[end:stop, entries] = (1 - weight) * last + weight * generated[end:stop, entries]


def load_reference(path: str | os.PathLike) -> MotionTrack:
    """A motion file, or the tracked face of a video; frames without a face take the nearest frame with one.

    Raises:
        DataError, VideoError: the file cannot be read.
        ControlError: no frame has a face.
    """
    if Path(path).suffix.lower() in VIDEO_SUFFIXES:
        from emotalker.tracking import Tracker

        track = Tracker().track(path).motion
    else:
        track = MotionTrack.load(path)
    if not np.isfinite(track.coefficients).all(1).any():
        raise ControlError(f"no face found in the reference {path}; give a video with one clearly visible face")
    return track.without_gaps(path)


@dataclass(frozen=True)
class Control:
    """What replaces parts of a generated motion.

    Attributes:
        references: applied in order.
        pose, gaze: keyframes, applied after them.
    """

    references: tuple[Reference, ...] = ()
    pose: tuple[Keyframes, ...] = ()
    gaze: tuple[Keyframes, ...] = ()

    def apply(self, coefficients: np.ndarray, space: CoefficientSpace) -> np.ndarray:
        """The motion ``(T, D)`` under control; the same array if there is none.

        Raises:
            ControlError: the motion is of another space than a reference or, for gaze, than ARKIT.
        """
        if self.gaze and space != ARKIT:
            raise ControlError(f"keyframes of the gaze need {ARKIT.name} motion, not {space.name}")
        for reference in self.references:
            coefficients = reference.apply(coefficients, space)
        if self.pose:
            coefficients = apply_pose_keyframes(coefficients, space, self.pose)
        return apply_gaze_keyframes(coefficients, self.gaze) if self.gaze else coefficients


NO_CONTROL = Control()
