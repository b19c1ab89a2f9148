"""A worker process: reads requests from standard input and answers on standard output, one at a time.

Codecs and networks run here, so that a file that ends them does not end the service.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from emotalker.core.errors import EmoTalkerError
from emotalker.service.wire import Message, Pipe

#: Reports progress: what is done, frames done, and their number or 0. May raise Cancelled.
Report = Callable[[str, int, int], None]
#: Seconds between two reports of the same stage.
REPORT_SECONDS = 0.1


class Cancelled(Exception):
    """The service wants no result."""


class Engine(Protocol):
    """What a worker does."""

    def load(self) -> None:
        """Prepare, before the first request."""
        ...

    def run(self, job: dict[str, Any], report: Report) -> dict[str, Any]:
        """Do a job; returns ``message`` and ``result``, the name of the result's file."""
        ...

    def stream(self, start: dict[str, Any], pipe: Pipe) -> str:
        """Hold a conversation; returns ``over`` at its end, or ``stopped`` if the service ended it."""
        ...


def work(engine: Engine) -> None:
    """Serve requests until standard input ends. EmoTalkerErrors become answers; other errors are printed too."""
    threading.Thread(target=_end_without, args=(os.getppid(),), daemon=True).start()
    pipe = Pipe()
    try:
        engine.load()
    except EmoTalkerError as error:
        pipe.send({"type": "unable", "message": str(error)})
        return
    pipe.send({"type": "ready"})
    while (received := pipe.receive()) is not None:
        answer = _answer(engine, pipe, received)
        if answer is not None:
            pipe.send(answer)


def _end_without(parent: int) -> None:
    """End this process when the service that started it was killed, also in the midst of a long computation."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _answer(engine: Engine, pipe: Pipe, received: Message) -> dict[str, Any] | None:
    request, _ = received
    try:
        if request["type"] == "stream":
            return {"type": engine.stream(request, pipe)}
        if request["type"] == "stop":
            return {"type": "stopped"}
        if request["type"] == "job":
            return {"type": "done", **engine.run(request["job"], _reporter(pipe))}
        return None  # a cancellation after the job's end, or audio after a conversation's
    except Cancelled:
        return {"type": "failed", "message": "cancelled"}
    except EmoTalkerError as error:
        return {"type": "failed", "message": str(error)}
    except MemoryError:
        return {"type": "failed", "message": "there was not enough memory; give a smaller picture or a shorter recording"}
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        name = type(error).__name__
        return {"type": "failed", "message": f"an internal error ({name}) ended the job; the service's log has the details"}


def _reporter(pipe: Pipe) -> Report:
    last = ("", 0.0)

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if stage == last[0] and now - last[1] < REPORT_SECONDS and done != total:
            return
        last = (stage, now)
        pipe.send({"type": "progress", "stage": stage, "done": done, "total": total})
        if pipe.waiting():
            received = pipe.receive()
            if received is None:
                sys.exit(1)
            if received[0]["type"] == "cancel":
                raise Cancelled

    return report


if __name__ == "__main__":
    from emotalker.service.engine import engine_from

    work(engine_from(sys.argv[1:]))
