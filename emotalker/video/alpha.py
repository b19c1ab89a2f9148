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
from emotalker.video.writer import VideoWriter


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
    """As :class:`VideoWriter`, of RGBA frames ``(height, width, 4)`` whose colours are not multiplied by the alpha.

    Args:
        path: name ending in .mov (ProRes 4444) or .webm (VP9).
        width, height, fps, audio, audio_rate, metadata, mark: as for :class:`VideoWriter`.

    Raises:
        OutputError: another suffix, the file cannot be written, or the size is odd.
    """

    container_options: Mapping[str, str] = {}
    channels, channel_format = 4, "rgba"

    def __init__(
        self,
        path: str | os.PathLike,
        width: int,
        height: int,
        fps: float = 25,
        audio: np.ndarray | None = None,
        audio_rate: int = 16000,
        metadata: Mapping[str, str] | None = None,
        mark: str | None = None,
    ):
        super().__init__(path, width, height, fps, audio, audio_rate, metadata=metadata, mark=mark)
        self._format = FORMATS[self.path.suffix.lower()]
        self.audio_codec = self._format.audio_codec

    def _check_suffix(self) -> None:
        check_alpha_suffix(self.path)

    def _video_stream(self) -> av.VideoStream:
        return self._add_stream(self._format.codec, self._format.pixels, self._format.options)

    def _encode(self, picture: av.VideoFrame) -> None:
        converted = picture.reformat(
            format=self._format.pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        converted.pts, converted.time_base = picture.pts, picture.time_base
        self._container.mux(self._stream.encode(converted))
