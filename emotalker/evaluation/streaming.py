"""Streamed talking pictures: latency, and agreement of the streamed motion with that of the complete recording."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.data.shards import Clip
from emotalker.evaluation.lips import MouthOpening
from emotalker.evaluation.lipsync import correlation
from emotalker.evaluation.tables import markdown_table
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.motion_stream import MotionStream
from emotalker.inference.streaming import TalkingStream

#: Samples of a chunk, 20 ms.
CHUNK = 320
#: Seconds before the emotion is compared: a window of the voice must have been heard.
EMOTION_STARTS = 3.0


class Clock(Protocol):
    """Time in seconds."""

    def now(self) -> float: ...

    def wait_until(self, seconds: float) -> None: ...


class WallClock:
    """The time that passes."""

    def now(self) -> float:
        return time.perf_counter()

    def wait_until(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds - self.now()))


class ProcessorClock:
    """The processor time of this process; waiting takes none. On a machine with other work it is what an idle machine with
    one core would need; it counts the time of all threads."""

    def __init__(self) -> None:
        self._waited = 0.0

    def now(self) -> float:
        return self._waited + time.process_time()

    def wait_until(self, seconds: float) -> None:
        self._waited += max(0.0, seconds - self.now())


@dataclass(frozen=True)
class Latency:
    """Attributes:
    frames: ``(F,)`` seconds from the arrival of the last sample that a frame shows to the frame.
    busy: seconds of computation.
    seconds: of audio.
    """

    frames: np.ndarray
    busy: float
    seconds: float

    @property
    def row(self) -> list[float]:
        """First frame, median, 95th percentile and maximum in milliseconds, and how many times faster than the voice."""
        return [
            *(1000 * float(x) for x in (self.frames[0], *np.percentile(self.frames, [50, 95, 100]))),
            self.seconds / self.busy,
        ]


def measure_latency(stream: TalkingStream, samples: np.ndarray, clock: Clock) -> Latency:
    """Push samples ``(N,)`` at 16 kHz at the speed at which they would be spoken, in chunks of 20 ms."""
    started, busy, ready = clock.now(), 0.0, []
    for first in range(0, len(samples) - CHUNK + 1, CHUNK):
        clock.wait_until(started + (first + CHUNK) / SAMPLE_RATE)
        begun = clock.now()
        ready += [clock.now() for _ in stream.push(samples[first : first + CHUNK])]
        busy += clock.now() - begun
    shown = started + (np.arange(len(ready)) + 1) / stream.fps
    return Latency(np.array(ready) - shown, busy, len(samples) / SAMPLE_RATE)


def latency_table(rows: dict[str, Latency]) -> str:
    """Latencies by the clock that measured them."""
    header = ["latency (ms)", "first", "median", "95 %", "most", "x real time"]
    return markdown_table(header, [[name, *latency.row] for name, latency in rows.items()], 1)


def stream_motion(
    generator: MotionGenerator, samples: np.ndarray, reference: np.ndarray, **options
) -> tuple[np.ndarray, np.ndarray]:
    """Motion ``(F, D)`` of a recording ``(N,)`` that is streamed, and the emotion weights of its frames ``(F, 8)``."""
    stream = MotionStream(generator, reference, **options)
    motion, weights = [], []
    for part in np.split(samples, range(CHUNK, len(samples), CHUNK)):
        motion.append(stream.push(part))
        weights += [stream.emotion] * len(motion[-1])
    motion.append(stream.finish())
    weights += [stream.emotion] * len(motion[-1])
    return np.concatenate(motion), np.array(weights)


def agreement(
    generator: MotionGenerator, samples: np.ndarray, reference: np.ndarray, opening: MouthOpening, **options
) -> list[float]:
    """Streamed against complete: correlation of jawOpen and of the lip gap, and the fraction of frames whose strongest
    emotion is the same, from the fourth second on (NaN for shorter recordings)."""
    streamed, weights = stream_motion(generator, samples, reference, **options)
    complete = generator.generate(samples, reference).coefficients
    starts = round(EMOTION_STARTS * generator.space.fps)
    same = weights.argmax(1)[starts:] == generator.emotion_weights(samples).argmax(1)[starts:]
    lips = [correlation(*pair) for pair in zip(opening(streamed).T, opening(complete).T, strict=True)]
    return [*lips, float(same.mean()) if len(same) else float("nan")]


def against_real(
    generator: MotionGenerator,
    clips: Sequence[Clip],
    references: dict[str, np.ndarray],
    opening: MouthOpening,
    look_aheads: Sequence[float],
) -> list[list[str | float]]:
    """Correlation of jawOpen and lip gap with the real lips, means over clips: a row for the complete recording, and one for
    each look-ahead in seconds."""
    scores: dict[str, list[list[float]]] = {}
    for n, clip in enumerate(clips):
        reference, real = references[clip.speaker], opening(clip.motion)
        motions = {"complete": generator.generate(clip.audio, reference, seed=n).coefficients}
        for seconds in look_aheads:
            options = {"seed": n, "look_ahead": seconds}
            motions[f"streamed, look-ahead {seconds:g} s"] = stream_motion(generator, clip.audio, reference, **options)[0]
        for name, motion in motions.items():
            pairs = zip(opening(motion).T, real.T, strict=True)
            scores.setdefault(name, []).append([correlation(*pair) for pair in pairs])
    return [[name, *map(float, np.nanmean(values, axis=0))] for name, values in scores.items()]
