"""Time and memory of predicting the motion of long recordings."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.evaluation.tables import markdown_table
from emotalker.inference.generator import MotionGenerator


@dataclass(frozen=True)
class LongRecording:
    """Attributes:
    minutes: of audio.
    frames: of the motion.
    wall, processor: seconds.
    peak: memory of the process until now, bytes.
    data: bytes of the audio and of the result, which have to grow.
    """

    minutes: float
    frames: int
    wall: float
    processor: float
    peak: int
    data: int


def peak_memory() -> int:
    """The most memory of this process until now, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure_long_recordings(generator: MotionGenerator, samples: np.ndarray, minutes: Sequence[float]) -> list[LongRecording]:
    """Predict the motion of a recording ``(N,)`` at 16 kHz that is repeated to these lengths, the shortest first.

    The peak of a process only grows, so an earlier length says nothing about a later one but through it.
    """
    reference, results = np.zeros(generator.space.dim, np.float32), []
    for length in sorted(minutes):
        repeated = np.empty(round(60 * length * SAMPLE_RATE), np.float32)
        for first in range(0, len(repeated), len(samples)):  # numpy.resize needs twice the memory
            repeated[first : first + len(samples)] = samples[: len(repeated) - first]
        gc.collect()
        wall, processor = time.perf_counter(), time.process_time()
        motion = generator.generate(repeated, reference)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        data = repeated.nbytes + motion.coefficients.nbytes + motion.emotion.weights.nbytes
        results.append(LongRecording(length, len(motion.coefficients), wall, processor, peak_memory(), data))
    return results


def long_recordings_table(results: Sequence[LongRecording]) -> str:
    """Milliseconds a frame, and memory in megabytes."""
    rows = [
        [
            f"{r.minutes:g} min",
            str(r.frames),
            1000 * r.wall / r.frames,
            1000 * r.processor / r.frames,
            r.peak / 1e6,
            r.data / 1e6,
        ]
        for r in results
    ]
    header = ["motion of", "frames", "ms a frame", "processor, ms a frame", "peak memory, MB", "audio and result, MB"]
    return markdown_table(header, rows, 1)
