"""Settings of a generated motion: emotion, intensity, amplitudes of face, head and lips, and blink rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from emotalker.coefficients import CoefficientSpace
from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.core.errors import EmoTalkerError
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.gestures import BLINK, BlinkTimes, blink_at

#: eyeBlink above this is part of a blink; below it, of an expression.
BLINK_THRESHOLD = 0.35


class StyleError(EmoTalkerError):
    """A setting is unknown or not supported by the checkpoints."""


@dataclass(frozen=True)
class Style:
    """Settings of a generated motion. The defaults keep the recognised emotion and the predicted amplitudes.

    Attributes:
        emotion: weights of emotions that replace the recognised one; if they sum to less than 1, the recognised emotion
            gets the rest. None: the recognised emotion only.
        intensity: of the emotion; 0 is neutral, 1 unchanged, 2 twice as far from neutral.
        expression, head, lips: amplitudes of upper face, head motion and lips; ``head=0`` keeps the head still.
        blinks: blinks per minute; None keeps the predicted ones.
        emotion_track: as ``emotion``, but over time; not together with it.
    """

    emotion: Mapping[str, float] | None = None
    intensity: float = 1.0
    expression: float = 1.0
    head: float = 1.0
    lips: float = 1.0
    blinks: float | None = None
    emotion_track: EmotionTrack | None = None

    def __post_init__(self) -> None:
        if self.emotion and self.emotion_track is not None:
            raise StyleError("both an emotion and an emotion track are given; leave out --emotion or --emotion-track")

    def with_emotion(self, emotion: Emotion | None = None, intensity: float | None = None) -> Style:
        """This style with another emotion or intensity; what is None stays.

        >>> DEFAULT_STYLE.with_emotion("happy", 1.5), DEFAULT_STYLE.with_emotion({"sad": 0.6})

        Raises:
            StyleError: an emotion is unknown, a weight is not in 0..1, or the intensity is not in 0..3.
        """
        style = self
        if isinstance(emotion, EmotionTrack):
            style = replace(style, emotion=None, emotion_track=emotion)
        elif emotion is not None:
            weights = parse_emotion(emotion) if isinstance(emotion, str) else checked_weights(emotion)
            style = replace(style, emotion=weights, emotion_track=None)
        if intensity is None:
            return style
        if not 0 <= intensity <= 3:
            raise StyleError(f"the intensity {intensity!r} of the emotion is not a number from 0 to 3; 1 leaves it unchanged")
        return replace(style, intensity=float(intensity))

    @property
    def requested(self) -> EmotionTrack | None:
        """The emotion that replaces the recognised one: ``emotion_track``, or ``emotion`` at all times; None without both."""
        if not self.emotion:
            return self.emotion_track
        return EmotionTrack.constant(np.array([self.emotion.get(name, 0.0) for name in EMOTIONS]))

    def blink_times(self, fps: int, rng: np.random.Generator) -> BlinkTimes | None:
        """Times of blinks that replace the predicted ones; None to keep these."""
        return None if self.blinks is None else BlinkTimes.irregular(self.blinks, fps, rng)


#: An emotion as callers give it: its name, a mix as :func:`parse_emotion` reads it, weights by name, or a track over time.
Emotion = str | Mapping[str, float] | EmotionTrack


#: The recognised emotion with the predicted amplitudes.
DEFAULT_STYLE = Style()


def parse_emotion(text: str) -> dict[str, float]:
    """``"happy"`` or ``"happy:0.7,surprised:0.3"`` to weights; StyleError if a name is unknown or a weight is not in 0..1.

    Weights with a sum above 1 are scaled to a sum of 1.
    """
    pairs = []
    for part in text.split(","):
        name, _, number = part.partition(":")
        try:
            weight = float(number) if number else 1.0
        except ValueError:
            weight = -1.0
        pairs.append((name.strip(), weight))
    return _checked(pairs)


def checked_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights by emotion, under the names of EMOTIONS and scaled as :func:`parse_emotion` does; StyleError as there."""
    return _checked(weights.items())


def _checked(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for name, weight in pairs:
        emotion = emotion_of(name)
        if emotion is None:
            raise StyleError(f"unknown emotion {name!r}; known: {', '.join(EMOTIONS)}")
        if not 0 <= weight <= 1:
            raise StyleError(f"the weight of {emotion} is not a number from 0 to 1; write e.g. happy:0.7")
        weights[emotion] = weights.get(emotion, 0.0) + weight
    total = max(1.0, sum(weights.values()))
    return {name: weight / total for name, weight in weights.items()}


def emotion_weights(probabilities: np.ndarray, requested: np.ndarray | None = None, exponent: float = 1.0) -> np.ndarray:
    """Weights of the emotions to generate.

    Args:
        probabilities: recognised, ``(..., 8)`` of :data:`~emotalker.core.emotions.EMOTIONS`; zero if none are known.
        requested: weights of the same shape that replace the recognised ones; these get the rest to a sum of 1.
        exponent: power of the probabilities; values above 1 increase the weight of the most probable emotion.

    Returns:
        ``(..., 8)`` float32.
    """
    total = probabilities.sum(-1, keepdims=True)
    weights = probabilities**exponent
    weights = weights * total / np.maximum(weights.sum(-1, keepdims=True), np.finfo(np.float32).tiny)
    if requested is not None:
        weights = requested + weights * (1 - requested.sum(-1, keepdims=True)).clip(0)
    return weights.astype(np.float32)


def apply_amplitudes(
    motion: np.ndarray, space: CoefficientSpace, style: Style, blinks: BlinkTimes | None = None, start: int = 0
) -> np.ndarray:
    """Scale parts of a motion ``(T, D)`` and replace its blinks; returns a new array, blendshapes clipped to 0..1.

    Args:
        motion: from frame ``start`` of the recording on.
        space: its layout.
        style: the amplitudes.
        blinks: :meth:`Style.blink_times` of the recording; None keeps the blinks.
        start: frame of the recording.
    """
    motion = motion.copy()
    upper = np.setdiff1d(np.arange(space.expression.stop), space.lip)
    lids = space.indices([n for n in space.expression_names if n.startswith("eyeBlink")])
    motion[:, np.setdiff1d(upper, lids)] *= style.expression
    motion[:, space.lip] *= style.lips
    motion[:, space.pose] *= style.head
    if blinks is not None:
        motion[:, lids] = set_blinks(motion[:, lids], blinks, start)
    motion[:, space.expression] = motion[:, space.expression].clip(0, 1)
    return motion


def set_blinks(lids: np.ndarray, blinks: BlinkTimes, start: int = 0) -> np.ndarray:
    """Replace the blinks in eyeBlink tracks ``(T, 2)``, which begin at frame ``start`` of the recording."""
    lids = np.minimum(lids, BLINK_THRESHOLD)
    for at in blinks.between(max(0, start - len(BLINK) + 1), start + len(lids)):
        blink_at(lids, at - start)
    return lids
