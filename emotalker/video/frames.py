"""The frames of a video with their presentation times."""

from __future__ import annotations

import os
from collections.abc import Iterator

import av
import numpy as np

from emotalker.core.errors import VideoError
from emotalker.video.reader import open_video, upright_frame


def timed_frames(path: str | os.PathLike) -> Iterator[tuple[float, float, np.ndarray]]:
    """Presentation times, durations and images of a video's frames, in order.

    Packets that cannot be decoded are skipped. Decoding ends where a file is truncated.

    Yields:
        seconds since the start of the audio (since the first frame, if there is no audio), duration in seconds at the
        stated frame rate, and RGB uint8 ``(H, W, 3)``, rotated upright. Times increase strictly.

    Raises:
        VideoError: the file is missing, has no video stream, or none of its frames can be decoded.
    """
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        period = float(1 / (stream.average_rate or stream.guessed_rate or 25))
        sound = container.streams.audio[0] if container.streams.audio else None
        origin = float(sound.start_time * sound.time_base) if sound and sound.start_time is not None else None
        last = -np.inf
        for count, frame in enumerate(_decodable(container, stream)):
            time = frame.time if frame.time is not None else count * period
            if origin is None:
                origin = time
            if time - origin > last:
                last = time - origin
                yield last, period, upright_frame(frame)
    if last == -np.inf:
        raise VideoError(f"{path} contains no frame that can be decoded")


def _decodable(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Frames of all packets that can be decoded."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        yield from frames
