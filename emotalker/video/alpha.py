"""Writing videos with transparency."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from emotalker.core.errors import OutputError
from emotalker.video.writer import BT709, VideoWriter


@dataclass(frozen=True)
class AlphaFormat:
    """Encoders of one kind of file.

    Attributes:
        codec, audio_codec: FFmpeg's names of the encoders.
        pixels: pixel format of the video encoder.
        options: of the video encoder.
    """

    codec: str
    pixels: str
    options: dict[str, str]
    audio_codec: str


#: ProRes 4444 (profile 4) for editing; VP9 of constant quality for the web, whose alpha is a stream of its own.
FORMATS = {
    ".mov": AlphaFormat("prores_ks", "yuva444p10le", {"profile": "4", "vendor": "apl0", "alpha_bits": "16"}, "aac"),
    ".webm": AlphaFormat(
        "libvpx-vp9", "yuva420p", {"crf": "22", "b": "0", "deadline": "realtime", "cpu-used": "6"}, "libopus"
    ),
}


def check_alpha_suffix(path: str | os.PathLike) -> None:
    """OutputError if files with this suffix cannot be transparent."""
    if Path(path).suffix.lower() not in FORMATS:
        raise OutputError(
            f"cannot write {path} with a transparent background: give a name ending in .mov (ProRes 4444) or .webm (VP9)"
        )


class AlphaVideoWriter(VideoWriter):
    """As :class:`VideoWriter`, of RGBA frames whose colours are not multiplied by the alpha.

    Args:
        path: name ending in .mov (ProRes 4444) or .webm (VP9).
        width, height, fps, audio, audio_rate: as for :class:`VideoWriter`.

    Raises:
        OutputError: another suffix, the file cannot be written, or the size is odd.
    """

    container_options: Mapping[str, str] = {}

    def __init__(
        self,
        path: str | os.PathLike,
        width: int,
        height: int,
        fps: float = 25,
        audio: np.ndarray | None = None,
        audio_rate: int = 16000,
    ):
        super().__init__(path, width, height, fps, audio, audio_rate)
        self._format = FORMATS[self.path.suffix.lower()]
        self.audio_codec = self._format.audio_codec

    def write(self, frame: np.ndarray) -> None:
        """Append one RGBA uint8 frame ``(height, width, 4)``. The array may be reused immediately.

        Raises:
            ValueError: the frame has another size or type.
            OutputError: writing failed.
        """
        if frame.shape != (self.height, self.width, 4) or frame.dtype != np.uint8:
            raise ValueError(f"a frame is uint8 ({self.height}, {self.width}, 4), not {frame.dtype} {frame.shape}")
        self._raise_error()
        self._append(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgba"))

    def _check_suffix(self) -> None:
        check_alpha_suffix(self.path)

    def _video_stream(self) -> av.VideoStream:
        stream = self._container.add_stream(self._format.codec, rate=self.fps, options=self._format.options)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self._format.pixels
        context = stream.codec_context
        context.time_base = 1 / self.fps
        context.thread_count = min(os.cpu_count() or 1, 8)
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        return stream

    def _encode(self, picture: av.VideoFrame) -> None:
        converted = picture.reformat(
            format=self._format.pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        converted.pts, converted.time_base = picture.pts, picture.time_base
        self._container.mux(self._stream.encode(converted))
