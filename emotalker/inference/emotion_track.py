"""Emotion over time: weights of the eight emotions at given times, and their CSV files (docs/method.md 9)."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy

from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.core.errors import EmoTalkerError
from emotalker.core.files import replace_on_success
from emotalker.inference.valence_arousal import weights_of

#: Columns of the two kinds of CSV files.
SHARES, VALENCE_AROUSAL = ("time", "emotion", "share"), ("time", "valence", "arousal")
#: Further column that either kind may have.
STRENGTH = "strength"
#: Largest strength.
STRONGEST = 3.0


class EmotionTrackError(EmoTalkerError):
    """An emotion track is empty or its file cannot be used; the message says where, and how to mend it."""


@dataclass(frozen=True, eq=False)
class EmotionTrack:
    """Emotion weights at given times; linear between them, constant before the first and after the last.

    Attributes:
        times: ``(W,)`` seconds, increasing, W >= 1.
        weights: ``(W, 8)`` float32 shares of EMOTIONS, not negative; a row sums to at most 1.
        strength: ``(W,)`` float32 amplitude of the expression, 0..STRONGEST; 1, which is the default, is the emotion's full
            expression.
    """

    times: np.ndarray
    weights: np.ndarray
    strength: np.ndarray = field(default=None)  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        times, weights = np.asarray(self.times, np.float64), np.asarray(self.weights, np.float32)
        if times.ndim != 1 or not len(times) or weights.shape != (len(times), len(EMOTIONS)):
            raise EmotionTrackError(
                f"an emotion track has times (W,) and weights (W, {len(EMOTIONS)}) with W >= 1, "
                f"not {times.shape} and {weights.shape}; give one row of weights for each time"
            )
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise EmotionTrackError("the times of an emotion track do not increase; sort them and give each once")
        if not np.isfinite(weights).all() or (weights < 0).any() or (weights.sum(1) > 1 + 1e-3).any():
            raise EmotionTrackError("weights of an emotion track are negative or sum to more than 1; divide by their sum")
        strength = np.ones(len(times), np.float32) if self.strength is None else np.asarray(self.strength, np.float32)
        if strength.shape != times.shape or not ((strength >= 0) & (strength <= STRONGEST)).all():
            raise EmotionTrackError(f"the strength of an emotion track is one number from 0 to {STRONGEST:g} for each time")
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "strength", strength)

    @classmethod
    def constant(cls, weights: np.ndarray, strength: float | np.ndarray = 1.0) -> EmotionTrack:
        """The same weights ``(8,)`` and strength at every time."""
        return cls(np.zeros(1), np.asarray(weights)[None], np.full(1, strength))

    def at(self, times: np.ndarray) -> np.ndarray:
        """Weights at other times, by linear interpolation; ``(N,)`` seconds to ``(N, 8)`` float32."""
        columns = [np.interp(times, self.times, column) for column in self.weights.T]
        return np.stack(columns, 1).astype(np.float32)

    def frames(self, count: int, fps: int, smoothing: float = 0.0, start: int = 0) -> np.ndarray:
        """Weights of video frames ``start .. start + count``, ``(count, 8)`` float32.

        Args:
            count: number of frames; frame i is at ``i / fps`` seconds.
            fps: frames per second.
            smoothing: standard deviation of a Gaussian filter over time, seconds. A sudden change then takes 2.6 standard
                deviations from 10 % to 90 %.
            start: first frame.
        """
        weights = self.at((start + np.arange(count)) / fps)
        if not smoothing or count <= 1:
            return weights
        return scipy.ndimage.gaussian_filter1d(weights, smoothing * fps, axis=0, mode="nearest")

    def frame_strength(self, count: int, fps: int, smoothing: float = 0.0, start: int = 0) -> np.ndarray:
        """Strength of video frames, ``(count,)`` float32; arguments as :meth:`frames`."""
        strength = np.interp((start + np.arange(count)) / fps, self.times, self.strength).astype(np.float32)
        if not smoothing or count <= 1:
            return strength
        return scipy.ndimage.gaussian_filter1d(strength, smoothing * fps, mode="nearest")

    def save(self, path: str | os.PathLike) -> Path:
        """Write time, emotion, share and strength as CSV, one row per time and emotion; OutputError if that fails."""
        with replace_on_success(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((*SHARES, STRENGTH))
            for time, row, strength in zip(self.times, self.weights, self.strength, strict=True):
                for name, share in zip(EMOTIONS, row, strict=True):
                    writer.writerow((f"{time:.3f}", name, f"{share:.5f}", f"{strength:.3f}"))
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> EmotionTrack:
        """Read a CSV file with a header.

        - ``time,emotion,share``: a row per time and emotion, in any order; an emotion without a row at a time has share 0
          there. Shares at a time that sum to more than 1 are divided by their sum.
        - ``time,valence,arousal``: a row per time, both in -1..1;
          :func:`~emotalker.inference.valence_arousal.weights_of` gives the weights.

        Either kind may have a further column ``strength``, 0..STRONGEST; without it the strength is 1. The strength at a time
        is the mean of its rows' by their shares.

        Raises:
            EmotionTrackError: with the file, the line and how to mend it.
        """
        reader = _Reader(Path(path))
        by_time: dict[float, np.ndarray] = {}
        strengths: dict[float, list[tuple[float, float]]] = {}  # share and strength of each row
        if reader.kind == VALENCE_AROUSAL:
            for row in reader.rows():
                time = reader.number(row, "time", 0.0, np.inf)
                if time in by_time:
                    raise reader.error(f"time {time:g} appears twice", "give each time once")
                by_time[time] = weights_of(reader.number(row, "valence", -1, 1), reader.number(row, "arousal", -1, 1))
                strengths[time] = [(1.0, reader.strength(row))]
        else:
            seen: set[tuple[float, str]] = set()
            for row in reader.rows():
                time, share = reader.number(row, "time", 0.0, np.inf), reader.number(row, "share", 0.0, 1.0)
                emotion = emotion_of(row["emotion"].strip())
                if emotion is None:
                    raise reader.error(f"unknown emotion {row['emotion'].strip()!r}", f"write one of {', '.join(EMOTIONS)}")
                if (time, emotion) in seen:
                    raise reader.error(f"{emotion} appears twice at time {time:g}", "give each emotion once per time")
                seen.add((time, emotion))
                by_time.setdefault(time, np.zeros(len(EMOTIONS)))[EMOTIONS.index(emotion)] = share
                strengths.setdefault(time, []).append((share, reader.strength(row)))
        if not by_time:
            raise EmotionTrackError(f"{path} has a header and no rows; add at least one, e.g. 0,happy,1")
        times = sorted(by_time)
        weights = np.stack([by_time[time] for time in times])
        strength = [_weighted_mean(strengths[time]) for time in times]
        return cls(np.array(times), weights / np.maximum(weights.sum(1, keepdims=True), 1.0), np.array(strength))


def _weighted_mean(rows: list[tuple[float, float]]) -> float:
    """Mean of (weight, value) pairs; the plain mean if all weights are zero."""
    weights, values = np.array(rows).T
    return float(np.average(values, weights=weights if weights.any() else None))


class _Reader:
    """Rows of a CSV file of one of the two kinds, and errors that name the line."""

    def __init__(self, path: Path):
        self.path = path
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise EmotionTrackError(f"cannot read the emotion track {path}: {reason}; give a CSV file") from error
        self._rows = csv.reader(lines)
        try:
            self.header = tuple(name.strip().lower() for name in next(self._rows, []))
        except csv.Error as error:
            raise self.error(str(error), "save the table as CSV again") from error
        self.kind = self.header[:-1] if self.header[-1:] == (STRENGTH,) else self.header
        if self.kind not in (SHARES, VALENCE_AROUSAL):
            expected = f"write {','.join(SHARES)} or {','.join(VALENCE_AROUSAL)} there, and {STRENGTH} behind it if you like"
            raise EmotionTrackError(f"{path}, line 1: the header is {','.join(self.header)!r}; {expected}")

    def rows(self) -> Iterator[dict[str, str]]:
        """Rows by column name; empty lines are left out."""
        try:
            for row in self._rows:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(self.header):
                    raise self.error(f"{len(row)} columns", f"give {len(self.header)}: {','.join(self.header)}")
                yield dict(zip(self.header, row, strict=True))
        except csv.Error as error:
            raise self.error(str(error), "save the table as CSV again") from error

    def number(self, row: dict[str, str], column: str, low: float, high: float) -> float:
        """A cell as a finite number in ``low..high``."""
        try:
            value = float(row[column])
        except ValueError:
            value = np.nan
        if not (np.isfinite(value) and low <= value <= high):
            wanted = f"from {low:g} to {high:g}" if np.isfinite(high) else f"of {low:g} or more"
            raise self.error(f"{column} is {row[column].strip()!r}", f"write a number {wanted}")
        return value

    def strength(self, row: dict[str, str]) -> float:
        """The strength of a row; 1 in a file without the column."""
        return self.number(row, STRENGTH, 0.0, STRONGEST) if STRENGTH in row else 1.0

    def error(self, what: str, mend: str) -> EmotionTrackError:
        return EmotionTrackError(f"{self.path}, line {self._rows.line_num}: {what}; {mend}")
