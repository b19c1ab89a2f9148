"""Videos as the result of a notebook's cell."""

from __future__ import annotations

import base64
import html
import os
import tempfile
from pathlib import Path

#: Types of the files that browsers play.
MIME_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}


def video_html(path: str | os.PathLike, width: int | None = None, title: str = "") -> str:
    """A player with the whole file inside, so that a saved notebook keeps it.

    Args:
        path: an ``.mp4`` or ``.webm`` file.
        width: of the player, pixels (default: the video's).
        title: shown by the browser under the pointer.
    """
    path = Path(path)
    size = "" if width is None else f' width="{width}"'
    data = base64.b64encode(path.read_bytes()).decode()
    source = f"data:{MIME_TYPES[path.suffix.lower()]};base64,{data}"
    return f'<video controls loop playsinline{size} title="{html.escape(title)}" src="{source}"></video>'


class NotebookVideo:
    """Base of videos with a method ``save``: notebooks render and show them. The result is kept for the next time."""

    #: Suffix of the file that is made.
    notebook_suffix = ".mp4"
    _player: str | None = None

    def save(self, path: str | os.PathLike) -> Path:
        """Write the video."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        if self._player is None:
            with tempfile.TemporaryDirectory() as folder:
                self._player = video_html(self.save(Path(folder) / f"video{self.notebook_suffix}"), title=repr(self))
        return self._player
