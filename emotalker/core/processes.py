"""Processes that belong together: workers end with their parent, and one program at a time works in a folder."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Thread

from emotalker.core.errors import OutputError


def end_with_parent() -> None:
    """Called in a worker: end it as soon as its parent has ended, in whatever way. Interruptions are left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        parent.join()
        os._exit(1)

    if parent is not None:
        Thread(target=wait, name="end-with-parent", daemon=True).start()


def stop_workers(pool: ProcessPoolExecutor) -> None:
    """End a pool without waiting for what its workers do. Other child processes of this program end as well."""
    pool.shutdown(wait=False, cancel_futures=True)
    for child in multiprocessing.active_children():
        child.terminate()


@contextlib.contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs; it is released even if the program is killed.

    Args:
        path: of the lock, a small file that stays.
        what: sentence of the error if another program holds it.

    Raises:
        OutputError: another program holds it, or the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(f"cannot write {path.parent}: {error.strerror or error}; choose a writable folder") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(what) from error
        except OSError:  # a network folder without locks
            pass
        yield
    finally:
        os.close(handle)
