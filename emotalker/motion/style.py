"""What a user may ask of a motion beside the voice: another emotion, more or less of it, of the head, of lips, of blinks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from emotalker.coefficients import CoefficientSpace
from emotalker.data.base import EMOTIONS, emotion_of
from emotalker.errors import EmoTalkerError

#: A voice shows one emotion more often than the recogniser is sure of one; shares are its probabilities to this power.
_SURENESS = 3.0
#: A blink's course, one value a frame at 25 fps: lids fall in two frames and rise in four.
_BLINK = np.array([0.45, 1.0, 1.0, 0.7, 0.35, 0.1], np.float32)
#: Lids lower than this are part of a blink, not of an expression.
_LIDS = 0.35
#: Heads move slowly: deviation in frames of the filter over poses. And how far they go: radians, centimetres.
_POSE_FRAMES = 2.5
_POSE_LIMITS = np.array([0.18, 0.2, 0.18, 1.5, 1.2, 2.0], np.float32)


class EmotionError(EmoTalkerError):
    """An emotion was asked for that is not known."""


@dataclass(frozen=True)
class Style:
    """How to perform what is heard. The defaults perform it as it is.

    Attributes:
        emotion: shares of emotions that override the heard one; what they leave of 1 stays with the heard emotion. None: the
            heard emotion alone.
        intensity: of the emotion; 0 is neutral, 1 as heard, 2 twice as far from neutral.
        expression, head, lips: amplitudes of upper face, head motion and lips; ``head=0`` keeps the head still.
        blinks: a minute; None leaves the predicted ones.
    """

    emotion: Mapping[str, float] | None = None
    intensity: float = 1.0
    expression: float = 1.0
    head: float = 1.0
    lips: float = 1.0
    blinks: float | None = None


#: Perform what is heard, as it is.
AS_HEARD = Style()


def parse_emotion(text: str) -> dict[str, float]:
    """``"happy"`` or ``"happy:0.7,surprised:0.3"`` to shares; EmotionError if a name is unknown or a share is no number.

    Shares that add up to more than 1 are scaled down to 1.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition(":")
        emotion = emotion_of(name.strip())
        if emotion is None:
            raise EmotionError(f"unknown emotion {name.strip()!r}; known: {', '.join(EMOTIONS)}")
        try:
            share = float(number) if number else 1.0
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise EmotionError(f"the share of {emotion} in {text!r} is not a number from 0 to 1; write e.g. happy:0.7")
        shares[emotion] = shares.get(emotion, 0.0) + share
    total = max(1.0, sum(shares.values()))
    return {name: share / total for name, share in shares.items()}


def emotion_shares(heard: Mapping[str, float], wanted: Mapping[str, float] | None) -> np.ndarray:
    """The mix to perform.

    Args:
        heard: probabilities by the audio encoder's own names; empty if it recognises none.
        wanted: as :attr:`Style.emotion`.

    Returns:
        ``(8,)`` float32 in the order of :data:`~emotalker.data.base.EMOTIONS`; all zero if nothing is known.
    """
    mix = np.zeros(len(EMOTIONS), np.float32)
    for name, probability in heard.items():
        emotion = emotion_of(name)
        if emotion is not None:
            mix[EMOTIONS.index(emotion)] += probability
    total = mix.sum()
    if total > 0:
        mix = mix**_SURENESS
        mix *= total / mix.sum()
    if wanted:
        mix *= max(0.0, 1.0 - sum(wanted.values()))
        for name, share in wanted.items():
            mix[EMOTIONS.index(name)] += share
    return mix


def apply_amplitudes(motion: np.ndarray, space: CoefficientSpace, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Scale parts of a motion ``(T, D)`` and set its blinks; returns a new array, actions within 0..1."""
    motion = motion.copy()
    upper = np.setdiff1d(np.arange(space.expression.stop), space.lip)
    blinks = space.indices([n for n in space.expression_names if n.startswith("eyeBlink")])
    motion[:, np.setdiff1d(upper, blinks)] *= style.expression
    motion[:, space.lip] *= style.lips
    motion[:, space.pose] = calm_pose(motion[:, space.pose]) * style.head
    if style.blinks is not None:
        motion[:, blinks] = set_blinks(motion[:, blinks], style.blinks, space.fps, rng)
    motion[:, space.expression] = motion[:, space.expression].clip(0, 1)
    return motion


def calm_pose(pose: np.ndarray) -> np.ndarray:
    """A head's motion ``(T, 6)`` without the seams between codes, and softly limited to what a portrait can follow."""
    smooth = gaussian_filter1d(pose, _POSE_FRAMES, axis=0, mode="nearest")
    return _POSE_LIMITS * np.tanh(smooth / _POSE_LIMITS)


def set_blinks(lids: np.ndarray, per_minute: float, fps: int, rng: np.random.Generator) -> np.ndarray:
    """Replace the blinks of lid tracks ``(T, 2)`` by others at random times, ``per_minute`` on average.

    Intervals are gamma-distributed: people do not blink by the clock, but rarely twice at once.
    """
    lids = np.minimum(lids, _LIDS)
    if per_minute <= 0:
        return lids
    mean = 60.0 * fps / per_minute
    at = rng.uniform(0.2, 1.0) * mean
    while at < len(lids):
        start = int(at)
        pulse = _BLINK[: len(lids) - start, None]
        lids[start : start + len(pulse)] = np.maximum(lids[start : start + len(pulse)], pulse)
        at += max(len(_BLINK) + 2, rng.gamma(4.0, mean / 4.0))
    return lids
