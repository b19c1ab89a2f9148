"""Writing MP4 files with H.264 video and AAC audio, encoded while the frames are rendered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from queue import Queue
from threading import Thread
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from emotalker.core.errors import OutputError
from emotalker.core.files import replace_on_success
from emotalker.video.provenance import VisibleMark

SUFFIXES = (".mp4", ".m4v", ".mov")

#: Audio rates that all players support; other rates are resampled to the first.
PLAYER_RATES = (48000, 44100)

BT709 = 1  # code of the primaries and the transfer characteristics in ITU-T H.273
QUEUE_FRAMES = 8


class VideoWriter:
    """A video file as a context manager: ``with VideoWriter(...) as video: video.write(frame)``.

    A thread encodes the frames from a short queue, so that rendering and encoding overlap and memory does not grow with
    length. Audio and video are interleaved. The audio is trimmed or padded with silence to the duration of the frames. The
    file is written under a temporary name and renamed if the block raises nothing.

    Args:
        path: name ending in .mp4, .m4v or .mov.
        width, height: of every frame, in pixels, even.
        fps: frames per second.
        audio: mono samples ``(N,)`` floating point in -1..1, or None for a video without audio.
        audio_rate: sample rate of the audio, Hz.
        crf: quality of x264, smaller is better; 18 is visually lossless.
        preset: speed of x264; "medium" makes files about a fifth smaller in twice the time.
        metadata: tags of the file, by FFmpeg's names.
        mark: text that is visible in every frame; see :class:`~emotalker.video.provenance.VisibleMark`.

    Raises:
        OutputError: the file cannot be written or the size is odd.
        ValueError: the mark cannot be drawn.
    """

    audio_codec = "aac"
    container_options: Mapping[str, str] = {"movflags": "+faststart"}
    channels, channel_format = 3, "rgb24"

    def __init__(
        self,
        path: str | os.PathLike,
        width: int,
        height: int,
        fps: float = 25,
        audio: np.ndarray | None = None,
        audio_rate: int = 16000,
        crf: int = 18,
        preset: str = "veryfast",
        metadata: Mapping[str, str] | None = None,
        mark: str | None = None,
    ):
        self.path = Path(path)
        self._check_suffix()
        if width % 2 or height % 2 or width <= 0 or height <= 0:
            raise OutputError(f"cannot write {path}: video needs even width and height, not {width} x {height}")
        if audio is not None and audio.ndim != 1:
            raise ValueError(f"audio is mono samples (N,), not {audio.shape}")
        self.width, self.height = width, height
        self.fps = Fraction(fps).limit_denominator(1001)
        self.frames_written = 0
        self._audio, self._audio_rate = audio, audio_rate
        self._metadata = dict(metadata or {})
        self._mark = VisibleMark(mark, width, height) if mark else None
        self._options = {"crf": str(crf), "preset": preset}
        self._queue: Queue[av.VideoFrame | None] = Queue(QUEUE_FRAMES)
        self._free: Queue[av.VideoFrame] = Queue()  # pictures of planar frames that are encoded
        self._made = 0
        self._error: Exception | None = None
        self._cancelled = False

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack:
            temporary = stack.enter_context(replace_on_success(self.path))
            self._container = stack.enter_context(av.open(str(temporary), "w", options=self.container_options))
            self._container.metadata.update(self._metadata)
            self._stream = self._video_stream()
            self._audio_track = None
            if self._audio is not None:
                self._audio_track = _AudioTrack(self._container, self._audio, self._audio_rate, self.audio_codec)
            self._thread = Thread(target=self._work, name="video-encoder", daemon=True)
            self._thread.start()
            self._stack = stack.pop_all()
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append one uint8 frame, RGB ``(height, width, 3)``. The array may be reused immediately.

        Raises:
            ValueError: the frame has another size or type.
            OutputError: writing failed.
        """
        shape = (self.height, self.width, self.channels)
        if frame.shape != shape or frame.dtype != np.uint8:
            raise ValueError(f"a frame is uint8 {shape}, not {frame.dtype} {frame.shape}")
        self._raise_error()
        if self._mark:
            frame = frame.copy()
            self._mark.draw(frame)
        self._append(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=self.channel_format))

    def write_planar(self, frame: np.ndarray) -> None:
        """Append one frame in the encoder's own format, which saves the conversion. The array may be reused immediately.

        Args:
            frame: ``(3 height / 2, width)`` uint8 planar YUV 4:2:0, ITU-R BT.709 with limited range: the plane Y, then U and
                V at half the resolution, row by row.

        Raises:
            ValueError: the frame has another size or type.
            OutputError: writing failed.
        """
        if frame.shape != (self.height * 3 // 2, self.width) or frame.dtype != np.uint8:
            shape = (self.height * 3 // 2, self.width)
            raise ValueError(f"a planar frame is uint8 {shape}, not {frame.dtype} {frame.shape}")
        self._raise_error()
        picture = self._free.get() if self._made == QUEUE_FRAMES else self._new_picture()
        source = np.ascontiguousarray(frame).reshape(-1)
        planes = []
        for plane in picture.planes:
            size = plane.height * plane.width
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            rows[:] = source[:size].reshape(plane.height, plane.width)
            planes.append(rows)
            source = source[size:]
        if self._mark:
            self._mark.draw_planar(planes)
        self._append(picture)

    def _new_picture(self) -> av.VideoFrame:
        """A picture for the encoder, to be used again when it is encoded."""
        self._made += 1
        picture = av.VideoFrame(self.width, self.height, "yuv420p")
        picture.colorspace, picture.color_range = Colorspace.ITU709, ColorRange.MPEG
        return picture

    def _append(self, picture: av.VideoFrame) -> None:
        picture.pts = self.frames_written
        picture.time_base = 1 / self.fps
        self._queue.put(picture)
        self.frames_written += 1

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._cancelled = kind is not None
        self._queue.put(None)
        self._thread.join()
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            self._error = self._error or error  # the first error is the cause
        with self._stack:  # an exception inside this block removes the temporary file
            if value is not None:
                raise value
            self._raise_error()
            if not self.frames_written:
                raise OutputError(f"nothing written to {self.path}: there was no frame")

    def _check_suffix(self) -> None:
        if self.path.suffix.lower() not in SUFFIXES:
            raise OutputError(f"cannot write {self.path}: give a name ending in one of {', '.join(SUFFIXES)}")

    def _video_stream(self) -> av.VideoStream:
        return self._add_stream("libx264", "yuv420p", self._options)

    def _add_stream(self, codec: str, pixels: str, options: Mapping[str, str]) -> av.VideoStream:
        """A stream of ITU-R BT.709 with limited range."""
        stream = self._container.add_stream(codec, rate=self.fps, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, pixels
        context = stream.codec_context
        context.time_base = 1 / self.fps
        context.thread_count = min(os.cpu_count() or 1, 8)
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        return stream

    def _work(self) -> None:
        """Thread: encode until None is queued; after an error, empty the queue so that write() does not block."""
        encoded = 0
        while (picture := self._queue.get()) is not None:
            try:
                if not (self._cancelled or self._error):
                    self._encode(picture)
                    encoded += 1
                    if self._audio_track:
                        self._audio_track.advance(encoded / self.fps)
            except Exception as error:
                self._error = error
            if picture.format.name == "yuv420p":
                self._free.put(picture)
        if self._cancelled or self._error or not encoded:
            return
        try:
            self._container.mux(self._stream.encode(None))
            if self._audio_track:
                self._audio_track.finish(encoded / self.fps)
        except Exception as error:
            self._error = error

    def _encode(self, picture: av.VideoFrame) -> None:
        if picture.format.name != "yuv420p":
            stamp = picture.pts, picture.time_base
            picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            picture.pts, picture.time_base = stamp
        self._container.mux(self._stream.encode(picture))

    def _raise_error(self) -> None:
        error = self._error
        if isinstance(error, (av.error.FFmpegError, OSError)):
            reason = (error.strerror or str(error)).lower()
            raise OutputError(f"cannot write {self.path}: {reason}; check the disk's free space") from error
        if error:
            raise error


class _AudioTrack:
    """The audio stream, encoded up to the time of the video."""

    def __init__(self, container: av.container.OutputContainer, samples: np.ndarray, rate: int, codec: str):
        self._samples, self._rate = samples, rate
        self._out_rate = rate if rate in PLAYER_RATES else PLAYER_RATES[0]
        self._container = container
        self._stream = container.add_stream(codec, rate=self._out_rate, layout="mono")
        self._stream.bit_rate = 128_000
        self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=self._out_rate)
        self._consumed = self._encoded = 0

    def advance(self, seconds: Fraction) -> None:
        """Encode the samples before this time; silence after the last sample."""
        end = round(seconds * self._rate)
        part = np.zeros(end - self._consumed, np.float32)
        rest = self._samples[self._consumed : end]
        np.clip(rest, -1, 1, out=part[: len(rest)])
        self._consumed = end
        for frame in self._resampler.resample(_audio_frame(part, self._rate)):
            self._encode_samples(frame.to_ndarray()[0])

    def finish(self, seconds: Fraction) -> None:
        """Encode the rest, so that the stream lasts exactly this long."""
        total = round(seconds * self._out_rate)
        tail = [frame.to_ndarray()[0] for frame in self._resampler.resample(None)]
        missing = np.concatenate([*tail, np.zeros(total - self._encoded, np.float32)])[: total - self._encoded]
        self._encode_samples(missing)
        self._container.mux(self._stream.encode(None))

    def _encode_samples(self, samples: np.ndarray) -> None:
        if len(samples):
            frame = _audio_frame(samples, self._out_rate)
            frame.pts, frame.time_base = self._encoded, Fraction(1, self._out_rate)
            self._encoded += len(samples)
            self._container.mux(self._stream.encode(frame))


def _audio_frame(samples: np.ndarray, rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32)[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    return frame
