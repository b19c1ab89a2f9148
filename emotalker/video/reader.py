"""Reading videos, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from emotalker.core.errors import VideoError


@dataclass(frozen=True)
class VideoInfo:
    """Frames per second, upright size in pixels, number of frames, duration in seconds, and whether there is audio."""

    fps: float
    width: int
    height: int
    frames: int
    duration: float
    has_audio: bool


def read_frames(path: str | os.PathLike) -> Iterator[np.ndarray]:
    """The frames of a video in order, each RGB uint8 ``(H, W, 3)``, rotated upright.

    Frames are decoded one at a time, so that memory does not grow with length.

    Raises:
        VideoError: the file is missing, has no video stream, or cannot be decoded.
    """
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            yield upright_frame(frame)


def video_info(path: str | os.PathLike) -> VideoInfo:
    """Properties of a video; only its first frame is decoded. VideoError as for :func:`read_frames`."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        has_audio = bool(container.streams.audio)
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        if not fps > 0:
            raise VideoError(f"{path} does not state its frame rate; convert it to MP4")
        first = next(container.decode(stream), None)
        if first is None:
            raise VideoError(f"{path} contains no frames")
        height, width = upright_frame(first).shape[:2]
        frames = stream.frames
        if not frames:  # some containers do not store the number
            container.seek(0)
            frames = sum(packet.size > 0 for packet in container.demux(stream))
    return VideoInfo(fps, width, height, frames, frames / fps, has_audio)


@contextmanager
def open_video(path: str | os.PathLike) -> Iterator[av.container.InputContainer]:
    """Open a container with at least one video stream; VideoError as for :func:`read_frames`."""
    if not Path(path).is_file():
        raise VideoError(f"no such video: {path}")
    try:
        # FFmpeg takes what precedes a colon in a relative name for a protocol.
        with av.open(str(Path(path).absolute()), metadata_errors="replace") as container:
            if not container.streams.video:
                raise VideoError(f"{path} has no video stream")
            yield container
    except av.error.FFmpegError as error:
        raise VideoError(f"{path} cannot be decoded as video ({(error.strerror or str(error)).lower()})") from error


def upright_frame(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame as RGB uint8 ``(H, W, 3)``, rotated according to the stream's display matrix."""
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns))
