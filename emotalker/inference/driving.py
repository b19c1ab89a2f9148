"""Driving frames (supplement): the first frames of a motion are given, and the networks continue from them.

The given frames' codes (:meth:`emotalker.models.vqvae.VQVAE.encode`) take the place of the first predicted ones, so that the
transformer predicts what follows them. The result has the given frames themselves; what the generated motion differs by at
the joint, in value and in velocity, decays after it like a critically damped spring (docs/method.md 9).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from emotalker.coefficients import CoefficientSpace, MotionTrack
from emotalker.inference.control import load_reference
from emotalker.inference.keyframes import ControlError
from emotalker.inference.performance import PerformanceConfig
from emotalker.models.vqvae import FRAMES_PER_CODE

if TYPE_CHECKING:
    from emotalker.models import VQVAE

#: Time constants, in seconds, with which the difference at the joint decays: lips and lids have to follow the voice and to
#: blink at once, brows, cheeks and head may take their time.
_FAST, _SLOW = 0.06, 0.24
_FAST_ENTRIES = ("eye",)
#: Factor of the head's deviations after given frames, without the expansion of large ones: the networks continue a real head
#: in larger motion than they predict alone, and the step ``motion_variance`` is made for the latter.
_HEAD_VARIATION = 1.5
#: Given frames over which the velocity at the joint is measured.
_VELOCITY_FRAMES = 3


def load_driving_frames(path: str | os.PathLike, seconds: float) -> MotionTrack:
    """The first ``seconds`` of a motion file or of the tracked face of a video.

    Raises:
        DataError, VideoError: the file cannot be read.
        ControlError: no frame has a face, or ``seconds`` is less than a frame.
    """
    track = load_reference(path)
    frames = round(seconds * track.space.fps)
    if frames < 1:
        raise ControlError(f"{seconds} s of driving frames are less than a frame; give {1 / track.space.fps} s or more")
    return MotionTrack(track.coefficients[:frames], track.space)


def check_driving(driving: MotionTrack, space: CoefficientSpace) -> None:
    """ControlError if the given frames are of another space, none, or not finite."""
    if driving.space != space:
        raise ControlError(f"driving frames of {driving.space.name} cannot begin a motion of {space.name}")
    if not len(driving.coefficients) or not np.isfinite(driving.coefficients).all():
        raise ControlError("driving frames need at least one frame, and a face in all of them")


@torch.no_grad()
def driving_codes(driving: MotionTrack, vqvae: VQVAE) -> Tensor:
    """Codes ``(P,)`` int64 of the given frames; frames after the last complete code have none."""
    complete = len(driving.coefficients) // FRAMES_PER_CODE * FRAMES_PER_CODE
    face = torch.from_numpy(driving.coefficients[:complete, driving.space.face]).to(vqvae.standardizer.mean)
    return vqvae.encode(face[None])[0][0] if complete else torch.empty(0, dtype=torch.int64, device=face.device)


def after_driving(performance: PerformanceConfig) -> PerformanceConfig:
    """The performance of a motion that continues from given frames."""
    variation = min(performance.head_variation, _HEAD_VARIATION)
    return replace(performance, head_variation=variation, head_expansion=float("inf"))


def continue_from(given: np.ndarray, generated: np.ndarray, space: CoefficientSpace) -> np.ndarray:
    """Put given frames before the frames that were generated after them.

    With the difference of value d and of velocity v at the last given frame, the frame t after it changes by
    ``(d + (v + d / tau) t) exp(-t / tau)``, a critically damped spring, which begins with d and v.

    Args:
        given: ``(N, D)``.
        generated: ``(T, D)``, from the first given frame on.
        space: of both.

    Returns:
        ``(T, D)``, a new array: the given frames, then the generated ones without a jump.
    """
    frames = min(len(given), len(generated))
    result = generated.copy()
    result[:frames] = given[:frames]
    if frames == len(generated):
        return result
    last = frames - 1
    before = max(0, last - _VELOCITY_FRAMES)
    value = given[last] - generated[last]
    velocity = (value - (given[before] - generated[before])) / max(1, last - before)
    fast = np.isin(np.arange(space.dim), space.lip) | np.array([name.startswith(_FAST_ENTRIES) for name in space.names])
    tau = np.where(fast, _FAST, _SLOW) * space.fps
    after = np.arange(1, len(generated) - last)[:, None]
    result[frames:] += (value + (velocity + value / tau) * after) * np.exp(-after / tau)
    if space.name == "arkit":
        result[frames:, space.expression] = result[frames:, space.expression].clip(0, 1)
    return result
