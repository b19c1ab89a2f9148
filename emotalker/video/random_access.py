"""Frames of a video in any order, at constant memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import av
import numpy as np

from emotalker.core.errors import VideoError
from emotalker.video.reader import open_video, upright_frame

#: Frames that are decoded and kept at a time.
BLOCK = 48


class VideoFrames:
    """The frames of a video by number.

    Args:
        path: of the video.

    Attributes:
        times: presentation times in seconds from the first frame on, known after the video was iterated over once.

    Raises:
        VideoError: at iteration, if the file cannot be decoded.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self.times: list[float] = []
        self._stamps: list[int] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        """All frames in order, each ``(H, W, 3)`` uint8 RGB."""
        self.times, self._stamps = [], []
        with open_video(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.pts is None or (self._stamps and frame.pts <= self._stamps[-1]):
                    continue
                self._stamps.append(frame.pts)
                self.times.append(float((frame.pts - self._stamps[0]) * frame.time_base))
                yield upright_frame(frame)
        if not self._stamps:
            raise VideoError(f"{self.path} contains no frame that can be decoded")

    def take(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """The frames with these numbers, which may repeat and go backwards; the video must have been iterated over before."""
        with open_video(self.path) as container:
            first, block = 0, []
            for number in numbers:
                if not first <= number < first + len(block):
                    first = number // BLOCK * BLOCK
                    block = self._decode(container, first)
                if number - first >= len(block):
                    raise ValueError(f"the video has {len(self._stamps)} frames, and none of the number {number}")
                yield block[number - first]

    def _decode(self, container: av.container.InputContainer, first: int) -> list[np.ndarray]:
        """BLOCK frames from a number on, decoded from the key frame before them."""
        stream, stamps = container.streams.video[0], self._stamps[first : first + BLOCK]
        if not stamps:
            return []
        container.seek(stamps[0], stream=stream)
        frames = {}
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts in stamps:
                frames[frame.pts] = upright_frame(frame)
            if frame.pts is not None and frame.pts >= stamps[-1]:
                break
        if len(frames) < len(stamps):
            raise VideoError(f"{self.path} changed while it was read, or cannot be decoded from its key frames")
        return [frames[stamp] for stamp in stamps]


def ping_pong(length: int, count: int) -> np.ndarray:
    """Numbers ``(count,)`` of frames that run through ``length`` frames forwards and backwards, without a jump."""
    cycle = np.concatenate([np.arange(length), np.arange(length - 2, 0, -1)])
    return np.resize(cycle, count)
