"""Writing videos with transparency."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from emotalker.core.errors import OutputError
from emotalker.video.writer import VideoFormat, VideoWriter

#: ProRes 4444 (profile 4) for editing; VP9 of constant quality for the web, whose alpha is a stream of its own.
FORMATS = {
    ".mov": VideoFormat("prores_ks", "yuva444p10le", 4, {"profile": "4", "vendor": "apl0", "alpha_bits": "16"}, "aac"),
    ".webm": VideoFormat(
        "libvpx-vp9", "yuva420p", 4, {"crf": "22", "b": "0", "deadline": "realtime", "cpu-used": "6"}, "libopus"
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
        width, height, fps, audio, audio_rate: as for :class:`VideoWriter`.

    Raises:
        OutputError: another suffix, the file cannot be written, or the size is odd.
    """

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

    def _check_suffix(self) -> None:
        check_alpha_suffix(self.path)
