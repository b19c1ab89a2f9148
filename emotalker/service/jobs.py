"""Jobs, and what a store of jobs does. :mod:`.sqlite_store` keeps them in a file, :mod:`.redis_store` on a Redis server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from emotalker.core.errors import EmoTalkerError

Status = Literal["queued", "running", "done", "failed"]


class StoreError(EmoTalkerError):
    """The store of jobs cannot be used."""


class QueueFull(Exception):
    """No further job may wait; the message says whose queue is full."""


def new_id() -> str:
    """An identifier that cannot be guessed: 144 random bits."""
    return secrets.token_urlsafe(18)


@dataclass
class Job:
    """One request for a video or a motion.

    Attributes:
        id: see :func:`new_id`; the name of the job's folder.
        kind: ``video`` or ``motion``.
        client: who asked; only they see the job.
        options: of :mod:`.options`.
        status: ``queued``, ``running``, ``done`` or ``failed``.
        stage: what is being done.
        done, total: frames; total is 0 while it is unknown.
        message: why it failed, or a summary.
        result: name of the result in the job's folder.
        audio_seconds: length of the recording.
        attempts: how often it was started.
        created, started, finished: seconds since 1970; 0 if that has not happened.
    """

    id: str
    kind: str
    client: str
    options: dict[str, Any] = field(default_factory=dict)
    status: Status = "queued"
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    result: str = ""
    audio_seconds: float = 0.0
    attempts: int = 0
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it is done or failed."""
        return self.status in ("done", "failed")


class JobStore(Protocol):
    """Where jobs wait and are remembered. Methods may be called from several threads.

    Waiting jobs are taken round robin by client: the client who was served least recently is next, with their oldest job.
    """

    def submit(self, job: Job, queue: int, queue_per_client: int) -> None:
        """Add a waiting job; QueueFull if as many as allowed wait already."""
        ...

    def check_room(self, client: str, queue: int, queue_per_client: int) -> None:
        """QueueFull if :meth:`submit` would raise it."""
        ...

    def get(self, job: str) -> Job | None:
        """The job with an id; None if there is none."""
        ...

    def claim(self) -> Job | None:
        """Take the next waiting job, which is then running; None if no job waits."""
        ...

    def progress(self, job: str, stage: str, done: int, total: int) -> bool:
        """Report on a running job; False if it was deleted, and is not to go on."""
        ...

    def alive(self, job: str) -> bool:
        """As :meth:`progress`, without news."""
        ...

    def finish(self, job: str, status: Status, message: str, result: str) -> None:
        """End a running job; nothing happens if it was deleted."""
        ...

    def delete(self, job: str) -> None:
        """Forget a job, in whatever state."""
        ...

    def expired(self, before: float) -> list[str]:
        """Jobs that ended before a time."""
        ...

    def recover(self) -> int:
        """Let running jobs whose process has ended wait again, first in line; returns their number.

        A job that was started MAX_ATTEMPTS times fails instead.
        """
        ...

    def counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        ...

    def ahead(self, job: Job) -> int:
        """How many waiting jobs are taken before a waiting one, as far as is known now."""
        ...

    def close(self) -> None:
        """Release what the store holds."""
        ...


def served_before(waiting: list[tuple[str, str]], served: dict[str, float], job: str) -> int:
    """How many jobs are taken before one.

    Args:
        waiting: (job, client), oldest first.
        served: when each client was served last, on any clock; absent: never.
        job: whose turn is asked for; the number of all if it does not wait.
    """
    queues: dict[str, list[str]] = {}
    for name, client in waiting:
        queues.setdefault(client, []).append(name)
    order = sorted(queues, key=lambda client: served.get(client, 0.0))  # stable: among new clients, who came first
    turn = 0
    for depth in range(max(map(len, queues.values()), default=0)):
        for client in order:
            if depth < len(queues[client]):
                if queues[client][depth] == job:
                    return turn
                turn += 1
    return turn
