"""Time of generating a video, stage by stage, beside the limits of the machine.

Wall-clock time is what a user waits. Processor time, summed over threads, changes little with what else the machine does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.inference.pipeline import TalkingHead, TalkingVideo
from emotalker.render.base import PlanarRenderer
from emotalker.video.writer import VideoWriter

#: Frames that are held in memory to time the encoder alone, and that the renderer alone draws.
SAMPLE_FRAMES = 250

_START_UP = """
import json, time
started = time.perf_counter()
import emotalker
package = time.perf_counter()
from emotalker import TalkingHead
imported = time.perf_counter()
talking_head = TalkingHead.from_pretrained({checkpoints!r})
loaded, processor = time.perf_counter(), time.process_time()
import numpy
from skimage.data import astronaut
picture, voice = astronaut(), (numpy.random.default_rng(0).normal(0, 0.1, 16000), 16000)
ready = time.perf_counter()
next(iter(talking_head.generate(voice, picture)))
first_frame = time.perf_counter() - ready
print(json.dumps([package - started, imported - package, loaded - imported, processor, first_frame]))
"""


@dataclass(frozen=True)
class StartUp:
    """Seconds of a fresh process.

    Attributes:
        package: ``import emotalker``.
        pipeline: import of the pipeline.
        models: loading of the models.
        processor: processor time of all three, with the start of Python.
        first_frame: from then to the first frame of one second of sound, with what is imported on first use.
    """

    package: float
    pipeline: float
    models: float
    processor: float
    first_frame: float

    @property
    def total(self) -> float:
        """Seconds until a portrait can be animated."""
        return self.package + self.pipeline + self.models

    def __str__(self) -> str:
        parts = f"import emotalker {self.package:.2f} s, pipeline {self.pipeline:.2f} s, models {self.models:.2f} s"
        return (
            f"start-up: {self.total:.2f} s ({parts}), {self.processor:.2f} s of processor time; "
            f"first frame after another {self.first_frame:.2f} s"
        )


@dataclass(frozen=True)
class Cost:
    """Seconds that one frame takes: wall-clock time, and processor time of all threads."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{1000 * self.wall:6.2f} ms a frame, {1000 * self.processor:6.2f} ms of processor time"


@dataclass(frozen=True)
class Timing:
    """The fastest of several runs.

    Attributes:
        stages: seconds of each stage, in order.
        frames: of the video.
        seconds: of the sound.
        size: side of the picture in pixels.
        runs: how many.
        whole: of all stages.
        renderer: of drawing alone, without encoding.
        encoder: of the encoder alone, with the same frames.
        bandwidth: of the memory, bytes copied a second.
        frame_bytes: of one frame, as the encoder takes it.
        memory: peak memory of the process, bytes.
    """

    stages: dict[str, float]
    frames: int
    seconds: float
    size: int
    runs: int
    whole: Cost
    renderer: Cost
    encoder: Cost
    bandwidth: float
    frame_bytes: int
    memory: int

    @property
    def encoder_share(self) -> float:
        """Frames a second of the whole generation, relative to the encoder alone."""
        return self.encoder.wall / self.whole.wall

    def __str__(self) -> str:
        total = sum(self.stages.values())
        copy = self.frame_bytes / self.bandwidth
        lines = [f"{name:>17}: {s:7.2f} s  {1000 * s / self.frames:6.2f} ms a frame" for name, s in self.stages.items()]
        lines += [
            f"{'total':>17}: {total:7.2f} s  {self.whole}",
            f"{'renderer alone':>17}: {'':9}  {self.renderer}",
            f"{'encoder alone':>17}: {'':9}  {self.encoder}",
            f"{'copy of a frame':>17}: {'':9}  {1000 * copy:6.2f} ms at {self.bandwidth / 1e9:.1f} GB/s",
            f"{self.frames} frames at {self.size} px, {self.seconds:g} s of audio: {self.frames / total:.1f} frames/s, "
            f"{self.seconds / total:.2f} x real time, {100 * self.encoder_share:.0f}% of the encoder alone "
            f"({1 / self.encoder.wall:.0f} frames/s), motion {self.seconds / self.stages['motion']:.1f} x real time, "
            f"peak memory {self.memory / 2**20:.0f} MiB, fastest of {self.runs}",
        ]
        return "\n".join(lines)


def time_stages(talking_head: TalkingHead, samples: np.ndarray, image: np.ndarray, size: int, runs: int) -> Timing:
    """Generate and encode the same video several times, and time the limits in between.

    Args:
        talking_head: with loaded models.
        samples: ``(N,)`` at 16 kHz.
        image: portrait ``(H, W, 3)`` uint8 RGB.
        size: side of the video in pixels.
        runs: the fastest counts.
    """
    stages: dict[str, float] = {}
    costs: list[tuple[Cost, Cost, Cost]] = []
    frames, bandwidth, drawn = 0, 0.0, []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter(), time.process_time()
            video = talking_head.generate((samples, SAMPLE_RATE), image, size=size)
            video.save(Path(folder) / "out.mp4")
            frames = len(video)
            whole = _cost(started, frames)
            if not stages or sum(video.seconds.values()) < sum(stages.values()):
                stages = dict(video.seconds)
            drawn, renderer = _draw(video)
            costs.append((whole, renderer, _encode(drawn, frames, video, Path(folder) / "encoder.mp4")))
            bandwidth = max(bandwidth, memory_bandwidth())
    best = [Cost(min(c.wall for c in column), min(c.processor for c in column)) for column in zip(*costs, strict=True)]
    seconds = len(samples) / SAMPLE_RATE
    return Timing(stages, frames, seconds, size, runs, *best, bandwidth, drawn[0].nbytes, peak_memory())


def _cost(started: tuple[float, float], frames: int) -> Cost:
    """Cost a frame since ``started``, wall-clock and processor seconds."""
    return Cost((time.perf_counter() - started[0]) / frames, (time.process_time() - started[1]) / frames)


def _draw(video: TalkingVideo) -> tuple[list[np.ndarray], Cost]:
    """The first frames as the encoder gets them, and what drawing one of them costs."""
    renderer = video.make_renderer(video.portrait)
    draw = renderer.render_planar if isinstance(renderer, PlanarRenderer) else renderer.render
    motion = video.motion.coefficients[:SAMPLE_FRAMES]
    for _ in draw(motion[:2]):
        pass
    started = time.perf_counter(), time.process_time()
    frames = [frame.copy() for frame in draw(motion)]
    return frames, _cost(started, len(frames))


def _encode(frames: list[np.ndarray], count: int, video: TalkingVideo, path: Path) -> Cost:
    """What encoding costs a frame, for ``count`` frames, the given ones again and again, with the sound."""
    size = video.portrait.size
    started = time.perf_counter(), time.process_time()
    with VideoWriter(path, size, size, video.fps, video.audio, SAMPLE_RATE) as writer:
        write = writer.write_planar if frames[0].ndim == 2 else writer.write
        for frame in islice(cycle(frames), count):
            write(frame)
    return _cost(started, count)


def memory_bandwidth(size: int = 2**26, runs: int = 5) -> float:
    """Bytes a second that the memory copies (each is read and written), the fastest of several copies of ``size`` bytes."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    best = np.inf
    for _ in range(runs):
        started = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - started)
    return size / best


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def time_start_up(checkpoints: str | None = None, runs: int = 3) -> StartUp:
    """The fastest of several fresh processes that import the package and load the models.

    Raises:
        subprocess.CalledProcessError: the models cannot be loaded.
    """
    command = [sys.executable, "-c", _START_UP.format(checkpoints=checkpoints)]
    found = []
    for _ in range(runs):
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        found.append(StartUp(*json.loads(output.splitlines()[-1])))
    return min(found, key=lambda start: start.total)


@contextmanager
def busy_process() -> Iterator[None]:
    """Another process computes without pause while the block runs."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
