"""The frames of a video with the times at which they are shown."""

from __future__ import annotations

import os
from collections.abc import Iterator

import av
import numpy as np

from emotalker.core.errors import VideoError
from emotalker.video.reader import open_video, upright


def timed_frames(path: str | os.PathLike) -> Iterator[tuple[float, float, np.ndarray]]:
    """Times, lengths and pictures of a video's frames, in order.

    Packets that cannot be decoded are passed over, as is what follows a truncation: the frames that exist are all good.

    Yields:
        seconds since the sound began (since the first frame, if there is no sound), seconds until the next frame is due
        (at the stated frame rate), and RGB uint8 ``(H, W, 3)``, upright as the file's rotation says. Times increase
        strictly.

    Raises:
        VideoError: the file is missing, has no picture track, or not one of its frames can be decoded.
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
                yield last, period, upright(frame)
    if last == -np.inf:
        raise VideoError(f"{path} holds no frame that can be decoded")


def _decodable(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
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
