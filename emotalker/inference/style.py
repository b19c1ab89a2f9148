"""What a user may ask of a motion beside the voice: another emotion, more or less of it, of the head, of lips, of blinks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from emotalker.coefficients import CoefficientSpace
from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.core.errors import EmoTalkerError

#: A blink's course, one value a frame at 25 fps: lids fall in two frames and rise in four.
_BLINK = np.array([0.45, 1.0, 1.0, 0.7, 0.35, 0.1], np.float32)
#: Lids lower than this are part of a blink, not of an expression.
_LIDS = 0.35


class StyleError(EmoTalkerError):
    """Something was asked for that is not known, or that the checkpoints cannot do."""


@dataclass(frozen=True)
class Style:
    """How to perform what is heard. The defaults perform it as it is.

    Attributes:
        emotion: weights of emotions that override the heard one; what they leave of 1 stays with the heard emotion. None:
            the heard emotion alone.
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
    """``"happy"`` or ``"happy:0.7,surprised:0.3"`` to weights; StyleError if a name is unknown or a weight is no number.

    Weights that add up to more than 1 are scaled down to 1.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition(":")
        emotion = emotion_of(name.strip())
        if emotion is None:
            raise StyleError(f"unknown emotion {name.strip()!r}; known: {', '.join(EMOTIONS)}")
        try:
            weight = float(number) if number else 1.0
        except ValueError:
            weight = -1.0
        if not 0 <= weight <= 1:
            raise StyleError(f"the weight of {emotion} in {text!r} is not a number from 0 to 1; write e.g. happy:0.7")
        weights[emotion] = weights.get(emotion, 0.0) + weight
    total = max(1.0, sum(weights.values()))
    return {name: weight / total for name, weight in weights.items()}


def emotion_weights(heard: Mapping[str, float], requested: Mapping[str, float] | None, exponent: float = 1.0) -> np.ndarray:
    """The weights of the emotions to perform.

    Args:
        heard: probabilities by the audio encoder's own names; empty if it recognises none.
        requested: as :attr:`Style.emotion`.
        exponent: power of the probabilities; above 1 the likeliest emotion gains.

    Returns:
        ``(8,)`` float32 in the order of :data:`~emotalker.core.emotions.EMOTIONS`; all zero if nothing is known.
    """
    weights = np.zeros(len(EMOTIONS), np.float32)
    for name, probability in heard.items():
        emotion = emotion_of(name)
        if emotion is not None:
            weights[EMOTIONS.index(emotion)] += probability
    total = weights.sum()
    if total > 0:
        weights = weights**exponent
        weights *= total / weights.sum()
    if requested:
        weights *= max(0.0, 1.0 - sum(requested.values()))
        for name, weight in requested.items():
            weights[EMOTIONS.index(name)] += weight
    return weights


def apply_amplitudes(motion: np.ndarray, space: CoefficientSpace, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Scale parts of a motion ``(T, D)`` and set its blinks; returns a new array, blendshapes within 0..1."""
    motion = motion.copy()
    upper = np.setdiff1d(np.arange(space.expression.stop), space.lip)
    blinks = space.indices([n for n in space.expression_names if n.startswith("eyeBlink")])
    motion[:, np.setdiff1d(upper, blinks)] *= style.expression
    motion[:, space.lip] *= style.lips
    motion[:, space.pose] *= style.head
    if style.blinks is not None:
        motion[:, blinks] = set_blinks(motion[:, blinks], style.blinks, space.fps, rng)
    motion[:, space.expression] = motion[:, space.expression].clip(0, 1)
    return motion


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
