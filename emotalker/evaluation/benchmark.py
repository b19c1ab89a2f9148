"""Wall-clock time of generating a video, stage by stage."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.inference.pipeline import TalkingHead


@dataclass(frozen=True)
class Timing:
    """The fastest of several runs.

    Attributes:
        loading: seconds to load the models.
        stages: seconds of each stage, in order.
        frames: of the video.
        seconds: of the sound.
        size: side of the picture in pixels.
        runs: how many.
    """

    loading: float
    stages: dict[str, float]
    frames: int
    seconds: float
    size: int
    runs: int

    def __str__(self) -> str:
        total = sum(self.stages.values())
        return "\n".join(
            [
                f"loading the models: {self.loading:.2f} s",
                *(f"{n:>18}: {s:6.2f} s  {1000 * s / self.frames:6.2f} ms a frame" for n, s in self.stages.items()),
                f"{'total':>18}: {total:6.2f} s for {self.seconds:g} s of audio, {self.frames} frames at {self.size} px",
                f"{self.frames / total:.1f} frames/s, {self.seconds / total:.2f} x real time, fastest of {self.runs}",
            ]
        )


def time_stages(load: Callable[[], TalkingHead], samples: np.ndarray, image: np.ndarray, size: int, runs: int) -> Timing:
    """Load the models, then generate and encode the same video several times.

    Args:
        load: loads the models.
        samples: ``(N,)`` at 16 kHz.
        image: portrait ``(H, W, 3)`` uint8 RGB.
        size: side of the video in pixels.
        runs: the fastest counts.
    """
    started = time.perf_counter()
    talking_head = load()
    loading, best, frames = time.perf_counter() - started, {}, 0
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            video = talking_head.generate((samples, SAMPLE_RATE), image, size=size)
            video.save(Path(folder) / "out.mp4")
        if not best or sum(video.seconds.values()) < sum(best.values()):
            best, frames = dict(video.seconds), len(video)
    return Timing(loading, best, frames, len(samples) / SAMPLE_RATE, size, runs)
