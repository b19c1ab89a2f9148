"""Writing files such that a failure keeps the existing file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotalker.core.errors import OutputError


@contextmanager
def replace_on_success(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder, with the same suffix; rename it to ``path`` if the block raises nothing.

    Raises:
        OutputError: the folder cannot be made or written, or ``path`` is a folder.
    """
    target = Path(path)
    temporary = _reserve(target)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        try:
            temporary.chmod(0o666 & ~umask)  # mkstemp creates private files
            temporary.replace(target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike) -> None:
    """Raise the OutputError that writing ``path`` would raise."""
    _reserve(Path(path)).unlink()


def _reserve(target: Path) -> Path:
    """Create an empty temporary file in the folder of ``target``."""
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder; give a file name inside it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}; choose a writable folder") from error
    os.close(handle)
    return Path(name)
