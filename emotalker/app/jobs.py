"""Which sessions have asked for a video and not cancelled it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

#: Sessions that are remembered.
MOST_SESSIONS = 10_000


class Jobs:
    """A flag per session. A video that begins while an earlier one is being cancelled has a flag of its own."""

    def __init__(self) -> None:
        self._flags: OrderedDict[str, threading.Event] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, session: str) -> None:
        """A video is asked for."""
        with self._lock:
            self._flags[session] = threading.Event()
            self._flags.move_to_end(session)
            while len(self._flags) > MOST_SESSIONS:
                self._flags.popitem(last=False)

    def cancel(self, session: str) -> None:
        """The session's present video is not wanted any more."""
        with self._lock:
            if session in self._flags:
                self._flags[session].set()

    def of(self, session: str) -> Callable[[], bool]:
        """Whether the session's present video is cancelled, for as long as it takes."""
        with self._lock:
            return self._flags.setdefault(session, threading.Event()).is_set
