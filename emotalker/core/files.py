"""Writing files such that a failure keeps the existing file."""

from __future__ import annotations

import errno
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from emotalker.core.errors import OutputError

#: What the system says of a full or broken disk while a file is written.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})

#: How files of a suffix begin: offset and the possible bytes. ISO/IEC 14496-12 (a box' type follows its length), Matroska,
#: ZIP, PNG, PDF, glTF.
_BOXES = (4, (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"))
_BEGINNINGS = {
    ".mp4": _BOXES, ".m4v": _BOXES, ".mov": _BOXES, ".webm": (0, (b"\x1a\x45\xdf\xa3",)), ".npz": (0, (b"PK",)),
    ".png": (0, (b"\x89PNG",)), ".pdf": (0, (b"%PDF",)), ".glb": (0, (b"glTF",)),
}  # fmt: skip
_TEXTS = (".csv", ".bvh", ".svg")


@contextmanager
def writing_to(target: str | os.PathLike) -> Iterator[None]:
    """Turn a full or failing disk in the block into an OutputError about ``target``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise OutputError(f"cannot write {target}: {error.strerror}; check the disk's free space") from error


@contextmanager
def replace_on_success(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder, with the same suffix; rename it to ``path`` if the block raises nothing.

    Raises:
        OutputError: the folder cannot be made or written, ``path`` is a folder, or the disk is full.
    """
    target = Path(path)
    temporary = _reserve(target)
    try:
        with writing_to(target):
            yield temporary
        umask = os.umask(0)
        os.umask(umask)
        try:
            temporary.chmod(0o666 & ~umask)  # mkstemp creates private files
            temporary.replace(target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # the next program that writes the same file removes it
            temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike) -> None:
    """Raise the OutputError that writing ``path`` would raise."""
    _reserve(Path(path)).unlink()


def check_outputs(
    outputs: Iterable[tuple[str | os.PathLike, Sequence[str]]], inputs: Iterable[str | os.PathLike | None] = ()
) -> None:
    """Check all outputs of a command before its work.

    Args:
        outputs: paths, and the suffixes that each may have; empty for any.
        inputs: paths of the command's inputs, which are not to be overwritten; None is skipped.

    Raises:
        OutputError: an output is an input or another output, has another suffix, is no regular file, or cannot be written; or
            a file of that name is of another kind than its suffix says, so that it is not an earlier output.
    """
    taken = [(Path(path), "read") for path in inputs if path is not None]
    for path, suffixes in ((Path(path), suffixes) for path, suffixes in outputs):
        for other, use in taken:
            if _same_file(path, other):
                raise OutputError(f"cannot write {path}: it is also {use} as {other}; give another name")
        if suffixes and path.suffix.lower() not in suffixes:
            raise OutputError(f"cannot write {path}: give a name ending in {' or '.join(suffixes)}")
        if _is_other_kind(path):
            raise OutputError(f"cannot write {path}: the file there is no {path.suffix}; remove it or give another name")
        taken.append((path, "written"))
        check_writable(path)


def _is_other_kind(path: Path) -> bool:
    """Whether a file that is not empty begins as no file of its suffix does; other suffixes are not judged."""
    suffix = path.suffix.lower()
    if suffix not in _BEGINNINGS and suffix not in _TEXTS:
        return False
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; give another name") from error
    if suffix in _TEXTS:
        return b"\0" in start
    at, beginnings = _BEGINNINGS[suffix]
    return bool(start) and not start[at:].startswith(beginnings)


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # one of them does not exist
        return first.absolute() == second.absolute()


def _reserve(target: Path) -> Path:
    """Create an empty temporary file in the folder of ``target``."""
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder; give a file name inside it")
    if target.exists() and not target.is_file():
        raise OutputError(f"cannot write {target}: it is a device or a pipe; give the name of a file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
        prefix = f"{_temporary_prefix(target)}{os.getpid()}-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}; choose a writable folder") from error
    os.close(handle)
    return Path(name)


def _remove_stale(target: Path) -> None:
    """Remove temporary files of the same target whose process was killed."""
    start = _temporary_prefix(target)
    with os.scandir(target.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(start) and entry.name.endswith(target.suffix)]
    for name in names:
        process = name[len(start) :].partition("-")[0]
        if process.isdecimal() and not process_exists(int(process)):
            (target.parent / name).unlink(missing_ok=True)


def _temporary_prefix(target: Path) -> str:
    """Start of the names of a target's temporary files of this machine; folders may be shared with others."""
    machine = "".join(filter(str.isalnum, platform.node()))[:20]
    return f".{target.stem[:100]}-{machine}-"


def process_exists(process: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
