"""How lips and expression follow the pauses of a voice (docs/method.md 9)."""

from __future__ import annotations

import numpy as np

#: Frames at 25 fps. Lips wait this long after the sound, ...
_HOLD = 8
#: ... then close within this time. Real lips close slowly after speech: with 2, 5 and 5 frames for these three, the lip gap
#: correlates by 0.600 with the real one (47 RAVDESS validation clips), as here by 0.637, without the step by 0.636.
_CLOSE = 25
#: They are released within this time, ...
_RELEASE = 10
#: ... which ends this long before the next sound, because lips move before they are heard.
_LEAD = 8
#: Seconds of a pause before the expression relaxes: between words and phrases it stays.
_EXPRESSION_HOLD = 0.3


def rest_weight(pauses: np.ndarray) -> np.ndarray:
    """Weight of rest in the lips, ``(F,)`` bool of :func:`~emotalker.audio.activity.pauses` to ``(F,)`` in 0..1.

    It is zero outside pauses, and one inside, with smooth transitions inside the pause. A recording that starts or ends with
    a pause starts or ends at rest. A frame depends on at most 0.72 s after it.
    """
    weight = np.zeros(len(pauses), np.float32)
    for start, end in np.flatnonzero(np.diff(pauses, prepend=False, append=False)).reshape(-1, 2):
        frames = np.arange(end - start)
        closing = (frames - _HOLD + 1) / _CLOSE if start > 0 else np.ones(len(frames))
        release = (len(frames) - frames - _LEAD) / _RELEASE if end < len(pauses) else np.ones(len(frames))
        ramp = np.minimum(closing, release).clip(0, 1)
        weight[start:end] = ramp * ramp * (3 - 2 * ramp)
    return weight


def relaxation(pauses: np.ndarray, fps: int, down: float, up: float) -> np.ndarray:
    """How far the expression has relaxed, ``(F,)`` bool to ``(F,)`` in 0..1: first-order, towards 1 in pauses, 0 in speech.

    Args:
        pauses: of :func:`~emotalker.audio.activity.pauses`.
        fps: frames per second.
        down: time constant of relaxing, seconds. It begins 0.3 s into a pause.
        up: time constant of the return to the full expression.
    """
    relaxed, value, silent = np.zeros(len(pauses), np.float32), 0.0, 0
    for i, pause in enumerate(pauses):
        silent = silent + 1 if pause else 0
        if silent > _EXPRESSION_HOLD * fps:
            value += (1 - value) * (1 - np.exp(-1 / (down * fps)))
        elif not pause:
            value *= np.exp(-1 / (up * fps))
        relaxed[i] = value
    return relaxed
