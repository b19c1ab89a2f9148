"""Files of the page: a private folder with a subfolder a job or an upload, read by its visitors only, deleted by age."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path

from emotalker.core.files import process_exists

_PREFIX = "emotalker-page-"


class Storage:
    """Files that visitors upload and that are made for them.

    Args:
        keep_seconds: a subfolder is deleted this long after its last file was written.
        max_bytes: of all files; beyond them nothing is uploaded.
        parent: folder in which the private folder is made; None for the system's temporary folder.
    """

    def __init__(self, keep_seconds: float, max_bytes: int, parent: str | None = None):
        parent = parent or tempfile.gettempdir()
        _remove_stale(Path(parent))
        self.root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent)).resolve()  # mode 0700
        self.keep_seconds, self.max_bytes = keep_seconds, max_bytes
        self.examples = self.root / "examples"
        self.examples.mkdir()
        self._public: set[str] = {self.examples.name}
        self._visitors: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def publish(self) -> None:
        """Everything that is there now belongs to the page itself: every visitor may read it and it is not deleted by age."""
        self._public |= {path.name for path in self.root.iterdir()}

    def new_folder(self, visitor: str) -> Path:
        """A new folder that only this visitor reads; its name cannot be guessed."""
        folder = self.root / secrets.token_hex(24)
        folder.mkdir()
        self.share(folder, visitor)
        return folder

    def share(self, path: str | Path, visitor: str) -> None:
        """Let a visitor read the subfolder of a file. Two visitors who upload the same bytes share one."""
        if name := self._subfolder(path):
            with self._lock:
                self._visitors.setdefault(name, set()).add(visitor)

    def readable(self, path: str | Path, visitor: str | None) -> bool:
        """Whether a visitor may read this file; not outside the folder, whatever ``..`` and links the path has."""
        name = self._subfolder(path)
        return name is not None and (name in self._public or visitor in self._visitors.get(name, ()))

    def _subfolder(self, path: str | Path) -> str | None:
        try:
            parts = Path(path).resolve().relative_to(self.root).parts
        except (OSError, ValueError):  # outside, or no path at all
            return None
        return parts[0] if len(parts) > 0 else None

    def full(self) -> bool:
        """Whether the files have ``max_bytes``."""
        return sum(_size(path) for path in self.root.rglob("*")) >= self.max_bytes

    def sweep(self) -> None:
        """Delete what is older than ``keep_seconds``."""
        oldest = time.time() - self.keep_seconds
        for path in self.root.iterdir():
            if path.name not in self._public and _last_written(path) < oldest:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
                with self._lock:
                    self._visitors.pop(path.name, None)

    def start_sweeping(self) -> None:
        """Sweep in the background until :meth:`close`."""
        threading.Thread(target=self._sweep_on, name="page storage", daemon=True).start()

    def _sweep_on(self) -> None:
        while not self._closed.wait(min(60.0, self.keep_seconds / 4)):
            self.sweep()

    def close(self) -> None:
        """Delete everything."""
        self._closed.set()
        shutil.rmtree(self.root, ignore_errors=True)


def _last_written(path: Path) -> float:
    """Time at which the file, or the newest file in the folder, was written here (a copy keeps the original's mtime)."""
    newest = 0.0
    for file in (path, *path.rglob("*")):
        try:
            newest = max(newest, file.lstat().st_ctime)
        except FileNotFoundError:  # deleted meanwhile
            continue
    return newest


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # deleted meanwhile
        return 0


def _remove_stale(parent: Path) -> None:
    """Remove folders of servers that were killed before they could."""
    for folder in parent.glob(f"{_PREFIX}*"):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdecimal() and not process_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)  # another user's stays
