"""Keyframes of the head's pose and of the gaze."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from emotalker.coefficients import ARKIT, CoefficientSpace
from emotalker.core.errors import EmoTalkerError

#: Degrees by which the head model's eyes turn for a gaze blendshape of 1: sideways, up and down.
_SIDEWAYS, _UP, _DOWN = 22.0, 11.2, 17.5
ANGLES, SHIFTS = ("pitch", "yaw", "roll"), ("shiftX", "shiftY", "shiftZ")
#: What keyframes may set.
POSE_KEYS, GAZE_KEYS = (*ANGLES, *SHIFTS), ("yaw", "pitch")


class ControlError(EmoTalkerError):
    """A reference or a keyframe cannot be used."""


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
        from scipy.interpolate import PchipInterpolator  # imported here, because that takes half a second

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
