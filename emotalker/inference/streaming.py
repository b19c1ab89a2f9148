"""Talking pictures from audio that arrives in chunks (docs/method.md 12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from emotalker.audio.chunks import ChunkReader
from emotalker.audio.io import SAMPLE_RATE
from emotalker.face.portrait import Portrait
from emotalker.inference.history import History
from emotalker.inference.motion_stream import MotionStream
from emotalker.models.hubert import SAMPLES_PER_VIDEO_FRAME
from emotalker.render.base import Renderer


class StreamFrame(NamedTuple):
    """Attributes:
    image: ``(S, S, 3)`` uint8 RGB.
    audio: the samples that the frame shows, ``(640,)`` float32 at 16 kHz; the last frame's are padded with zeros.
    """

    image: np.ndarray
    audio: np.ndarray


class TalkingStream:
    """A portrait that talks while the voice arrives; made by :meth:`~emotalker.inference.pipeline.TalkingHead.stream`.

    >>> stream = talking_head.stream("person.jpg", sample_rate=48000)
    >>> for image, audio in stream.frames(chunks): ...

    or, where the program that has the audio keeps control, ``for image, audio in stream.push(chunk)`` for every chunk, and
    ``stream.finish()`` for the last frames. The frames do not depend on how the audio is cut into chunks.

    Args:
        motion: of the voice.
        renderer: of the portrait.
        portrait: the picture.
        sample_rate: of the chunks, Hz.

    Raises:
        AudioError: the sample rate is out of range.
    """

    def __init__(self, motion: MotionStream, renderer: Renderer, portrait: Portrait, sample_rate: int = SAMPLE_RATE):
        self.motion, self.renderer, self.portrait = motion, renderer, portrait
        self.chunks, self.frame_count = ChunkReader(sample_rate), 0
        waiting = round(motion.latency * SAMPLE_RATE) + 2 * SAMPLES_PER_VIDEO_FRAME
        self._waiting = History(waiting + SAMPLES_PER_VIDEO_FRAME)  # samples whose frames are not there yet
        self._finished = False

    @property
    def fps(self) -> int:
        """Frames per second."""
        return self.motion.space.fps

    @property
    def size(self) -> int:
        """Width and height of the frames, pixels."""
        return self.portrait.size

    @property
    def latency(self) -> float:
        """Seconds between the arrival of the audio that a frame shows and of the last audio that it needs, at most. The time
        of computation comes on top; ``scripts/benchmark_stream.py`` measures both."""
        return self.motion.latency

    def push(self, samples: np.ndarray) -> Iterator[StreamFrame]:
        """Add a chunk; returns the frames that are ready now.

        Args:
            samples: ``(N,)`` mono, floating point in -1..1 or int16, N >= 0.

        Raises:
            AudioError: the samples have another shape or type or are not finite.
            ValueError: the stream is finished.
        """
        if self._finished:
            raise ValueError("the stream is finished; start another one")
        return self._render(self._moved(self.chunks.read(samples)))

    def finish(self) -> Iterator[StreamFrame]:
        """The frames that are left: with those before, one for every 40 ms of audio, rounded up."""
        if self._finished:
            raise ValueError("the stream is finished; start another one")
        self._finished = True
        moved = self._moved(self.chunks.finish())
        rest = self.motion.finish()
        missing = (self.frame_count + len(rest)) * SAMPLES_PER_VIDEO_FRAME - self._waiting.end
        self._waiting.append(np.zeros(missing, np.float32))
        return self._render(moved + self._with_audio(rest))

    def frames(self, chunks: Iterable[np.ndarray]) -> Iterator[StreamFrame]:
        """Frames while the chunks arrive, then the last ones."""
        for chunk in chunks:
            yield from self.push(chunk)
        yield from self.finish()

    def _moved(self, samples: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Motion and audio of the frames that new samples complete."""
        moved = []
        for first in range(0, len(samples), SAMPLES_PER_VIDEO_FRAME):  # a long chunk is not stored as a whole
            part = samples[first : first + SAMPLES_PER_VIDEO_FRAME]
            self._waiting.append(part)
            moved += self._with_audio(self.motion.push(part))
        return moved

    def _with_audio(self, motion: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        pairs = []
        for row in motion:
            start = self.frame_count * SAMPLES_PER_VIDEO_FRAME
            pairs.append((row, self._waiting(start, start + SAMPLES_PER_VIDEO_FRAME).copy()))
            self.frame_count += 1
        return pairs

    def _render(self, moved: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[StreamFrame]:
        images = self.renderer.render([row for row, _ in moved])
        return (StreamFrame(image, audio) for image, (_, audio) in zip(images, moved, strict=True))
