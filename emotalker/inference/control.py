"""Free control (supplement): parts of a motion replaced by those of references, and keyframes of pose and gaze.

Parts are disjoint, so replacing one leaves the coefficients of the others as they are.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

from emotalker.coefficients import ARKIT, CoefficientSpace, MotionTrack
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.core.errors import EmoTalkerError
from emotalker.core.suffixes import VIDEO_SUFFIXES

Part = Literal["pose", "expression", "lips"]
Ending = Literal["loop", "hold", "cut"]
PARTS: tuple[Part, ...] = ("pose", "expression", "lips")
ENDINGS: tuple[Ending, ...] = ("loop", "hold", "cut")
#: Frames over which the end of a loop and its start are blended.
_BLEND = 8
#: Degrees by which the head model's eyes turn for a gaze blendshape of 1: sideways, up and down.
_SIDEWAYS, _UP, _DOWN = 22.0, 11.2, 17.5
ANGLES, SHIFTS = ("pitch", "yaw", "roll"), ("shiftX", "shiftY", "shiftZ")


class ControlError(EmoTalkerError):
    """A reference or a keyframe cannot be used."""


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
    found = np.flatnonzero(np.isfinite(track.coefficients).all(1))
    if not len(found):
        raise ControlError(f"no face found in the reference {path}; give a video with one clearly visible face")
    frames = np.arange(len(track.coefficients))
    nearest = found[np.abs(frames[:, None] - found[None]).argmin(1)] if len(found) < len(frames) else frames
    return MotionTrack(track.coefficients[nearest], track.space)


@dataclass(frozen=True)
class Keyframes:
    """Values of one quantity at given times.

    Attributes:
        name: "pitch", "yaw", "roll" in degrees or "shiftX", "shiftY", "shiftZ" in cm, of the head.
        times: ``(K,)`` strictly increasing; frames, seconds or fractions of the motion, by ``unit``.
        values: ``(K,)``.
        unit: "frames", "seconds" or "fraction".
    """

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]
    unit: Literal["frames", "seconds", "fraction"] = "frames"

    def frames(self, length: int, fps: int) -> np.ndarray:
        """Values ``(length,)`` of all frames: monotone cubic between keys (Fritsch and Carlson 1980), constant outside."""
        scale = {"frames": 1.0, "seconds": float(fps), "fraction": float(max(1, length - 1))}[self.unit]
        times = np.array(self.times) * scale
        if len(times) == 1:
            return np.full(length, self.values[0])
        at = np.clip(np.arange(length), times[0], times[-1])
        return PchipInterpolator(times, np.array(self.values))(at)


def parse_keyframes(text: str, names: Sequence[str]) -> list[Keyframes]:
    """``"yaw=0:0,50:15; pitch=1s:-5"`` to keyframes.

    Each key is a time and a value; a plain time is a frame, ``2s`` seconds, ``50%`` a part of the motion.

    Args:
        text: of the user.
        names: allowed names.

    Raises:
        ControlError: a name is unknown, a number cannot be read, or times do not increase.
    """
    tracks = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, equals, keys = part.partition("=")
        if not equals or name.strip() not in names:
            raise ControlError(f"unknown keyframes {part!r}; write e.g. {names[0]}=0:0,50:15, with one of {', '.join(names)}")
        pairs, units = [], set()
        for key in keys.split(","):
            time, _, value = key.strip().partition(":")
            unit, scale = (
                ("seconds", 1.0) if time.endswith("s") else ("fraction", 0.01) if time.endswith("%") else ("frames", 1.0)
            )
            try:
                pairs.append((float(time.rstrip("s%")) * scale, float(value)))
            except ValueError:
                raise ControlError(f"{key.strip()!r} in {part!r} is no key; write time:value, e.g. 50:15 or 2s:15") from None
            units.add(unit)
        times, values = zip(*pairs, strict=True)
        if len(units) > 1:
            raise ControlError(f"{part!r} mixes frames, seconds and percent; use one of them")
        if not np.isfinite(pairs).all() or any(b <= a for a, b in itertools.pairwise(times)) or times[0] < 0:
            raise ControlError(f"the times in {part!r} must increase from 0 on")
        tracks.append(Keyframes(name.strip(), times, values, units.pop()))
    return tracks


def apply_pose_keyframes(coefficients: np.ndarray, space: CoefficientSpace, tracks: Sequence[Keyframes]) -> np.ndarray:
    """Replace angles (degrees) and shifts (cm) of the head in ``(T, D)``; returns a new array."""
    result = coefficients.copy()
    for track in tracks:
        values = track.frames(len(result), space.fps)
        result[:, space.index(track.name)] = np.radians(values) if track.name in ANGLES else values
    return result


def apply_gaze_keyframes(coefficients: np.ndarray, tracks: Sequence[Keyframes]) -> np.ndarray:
    """Replace the gaze in ``(T, 58)`` of ARKIT; returns a new array.

    ``yaw`` in degrees is positive to the viewer's right, ``pitch`` upwards.
    """
    result, names = coefficients.copy(), ARKIT.names
    yaw, pitch = (_SIDEWAYS, _SIDEWAYS), (_UP, _DOWN)
    opposite = {
        "yaw": (("eyeLookOutLeft", "eyeLookInLeft", yaw), ("eyeLookInRight", "eyeLookOutRight", yaw)),
        "pitch": (("eyeLookUpLeft", "eyeLookDownLeft", pitch), ("eyeLookUpRight", "eyeLookDownRight", pitch)),
    }
    for track in tracks:
        degrees = track.frames(len(result), ARKIT.fps)
        for positive, negative, (most, least) in opposite[track.name]:
            result[:, names.index(positive)] = (degrees / most).clip(0, 1)
            result[:, names.index(negative)] = (-degrees / least).clip(0, 1)
    return result
