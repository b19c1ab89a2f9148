"""The table of the page: a row per second with the emotion and its strength, and back to an emotion track."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.inference.emotion_track import STRONGEST, EmotionTrack, EmotionTrackError

COLUMNS = ("second", "emotion", "strength")
#: Most rows that are filled in; a longer recording has a row every few seconds.
MOST_ROWS = 60


def rows_of(track: EmotionTrack, seconds: float) -> list[list[Any]]:
    """Rows of COLUMNS: the emotion with the largest share, and its strength.

    Args:
        track: the emotion.
        seconds: duration of the recording.
    """
    step = max(1, math.ceil(seconds / MOST_ROWS))
    times = np.arange(0, max(seconds, 1e-3), step, dtype=np.float64)
    names = [EMOTIONS[index] for index in track.at(times).argmax(1)]
    strengths = np.interp(times, track.times, track.strength)
    return [[int(t), name, round(float(s), 2)] for t, name, s in zip(times, names, strengths, strict=True)]


def track_of(rows: Sequence[Sequence[Any]], heard: EmotionTrack | None = None) -> EmotionTrack:
    """The emotion track of an edited table.

    A row whose emotion is the one with the largest share in the voice at that time keeps the shares of the voice, so that an
    edit changes its own rows only; any other row has its emotion alone.

    Args:
        rows: of COLUMNS, in any order; empty rows are left out.
        heard: the emotion of the voice.

    Raises:
        EmotionTrackError: a row cannot be used; the message names it.
    """
    points: dict[float, tuple[np.ndarray, float]] = {}
    for number, row in enumerate(rows, start=1):
        cells = [_text(cell) for cell in row]
        if not any(cells):
            continue
        second, emotion, strength = (*cells, "", "", "")[:3]
        time = _number(second, number, "second", math.inf)
        name = emotion_of(emotion)
        if name is None:
            known = ", ".join(EMOTIONS)
            raise EmotionTrackError(f"row {number} of the emotion table: unknown emotion {emotion!r}; write one of {known}")
        if time in points:
            raise EmotionTrackError(f"row {number} of the emotion table: second {time:g} appears twice; give each once")
        points[time] = _weights(name, time, heard), _number(strength or "1", number, "strength", STRONGEST)
    if not points:
        raise EmotionTrackError("the emotion table is empty; add a row such as 0, happy, 1, or choose another emotion")
    times = sorted(points)
    weights, strengths = zip(*(points[time] for time in times), strict=True)
    return EmotionTrack(np.array(times), np.stack(weights), np.array(strengths))


def _weights(name: str, time: float, heard: EmotionTrack | None) -> np.ndarray:
    index = EMOTIONS.index(name)
    if heard is not None:
        weights = heard.at(np.array([time]))[0]
        if weights.argmax() == index:
            return weights
    return np.eye(len(EMOTIONS), dtype=np.float32)[index]


def _text(cell: Any) -> str:
    return "" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else str(cell).strip()


def _number(text: str, row: int, column: str, largest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and 0 <= value <= largest):
        wanted = f"from 0 to {largest:g}" if math.isfinite(largest) else "of 0 or more"
        raise EmotionTrackError(f"row {row} of the emotion table: {column} is {text!r}; write a number {wanted}")
    return value
