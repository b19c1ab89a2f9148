"""Which sessions have asked for a video and neither got nor cancelled it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Jobs:
    """A flag per session that waits for its video. A video that begins while an earlier one ends has a flag of its own.

    Args:
        most: sessions that may wait.
    """

    def __init__(self, most: int):
        self.most = most
        self._flags: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def begin(self, session: str) -> bool:
        """A session asks for a video; False if too many wait."""
        with self._lock:
            if session not in self._flags and len(self._flags) >= self.most:
                return False
            self._flags[session] = threading.Event()
            return True

    def cancel(self, session: str) -> None:
        """The session does not want its video any more."""
        with self._lock:
            if flag := self._flags.pop(session, None):
                flag.set()

    @contextmanager
    def running(self, session: str) -> Iterator[Callable[[], bool]]:
        """While the video is made: yields whether it was cancelled, also before it began."""
        with self._lock:
            flag = self._flags.get(session)
        if flag is None:  # cancelled while it waited
            flag = threading.Event()
            flag.set()
        try:
            yield flag.is_set
        finally:
            with self._lock:
                if self._flags.get(session) is flag:
                    del self._flags[session]
