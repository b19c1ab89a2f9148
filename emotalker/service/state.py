"""What the routes share."""

from __future__ import annotations

import asyncio
import logging
import math
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from emotalker.core.errors import EmoTalkerError
from emotalker.service.access import RateLimit, client_of
from emotalker.service.jobs import Job, JobStore, QueueFull
from emotalker.service.metrics import Metrics
from emotalker.service.processes import Worker, WorkerDied, worker_command
from emotalker.service.runner import Runner
from emotalker.service.settings import Settings
from emotalker.service.uploads import Uploads

log = logging.getLogger(__name__)
#: Seconds to look at an upload.
INSPECT_SECONDS = 30.0
#: Connections of one client that wait for events.
LISTENERS = 50


class Service:
    """The parts of a running service.

    Args:
        settings: of the service.
        store: of jobs.
        runner: of jobs.
        metrics: of all parts.
    """

    def __init__(self, settings: Settings, store: JobStore, runner: Runner, metrics: Metrics):
        self.settings, self.store, self.runner, self.metrics = settings, store, runner, metrics
        self.rate = RateLimit(settings.rate)
        self.uploads = Uploads(settings, metrics)
        self.streams = [Worker(worker_command(settings, "render")) for _ in range(settings.streams)]
        self.free_streams = list(self.streams)
        self.listeners: Counter[str] = Counter()
        self._inspector, self._looking = Worker(worker_command(settings, "inspect")), asyncio.Lock()

    async def start(self) -> None:
        """Begin to work on jobs."""
        await self.runner.start()

    async def stop(self) -> None:
        """Finish running jobs and end all processes."""
        await self.runner.stop()
        await asyncio.gather(self._inspector.stop(), *(worker.kill() for worker in self.streams))
        await asyncio.to_thread(self.store.close)

    def admit(self, request: Request) -> str:
        """The client of a request that makes work.

        Raises:
            HTTPException: 401, 403, or 429 beyond the rate, or 503 while the service stops.
        """
        client = client_of(request, self.settings)
        if self.runner.stopping:
            raise HTTPException(503, "the service is being stopped; ask again soon", {"Retry-After": "30"})
        if self.disk_full:
            raise HTTPException(503, "the service's disk is nearly full; ask again later", {"Retry-After": "600"})
        wait = self.rate.take(client)
        if wait:
            seconds = math.ceil(wait)
            sentence = f"more than {self.settings.rate:g} requests in a minute; wait {seconds} s"
            raise HTTPException(429, sentence, {"Retry-After": str(seconds)})
        return client

    @property
    def disk_full(self) -> bool:
        """Whether less than ``settings.min_free_bytes`` are free."""
        return shutil.disk_usage(self.settings.folder).free < self.settings.min_free_bytes

    async def check_room(self, client: str) -> None:
        """HTTPException 429 if the queue is full; before an upload is read."""
        limits = self.settings.queue, self.settings.queue_per_client
        try:
            await asyncio.to_thread(self.store.check_room, client, *limits)
        except QueueFull as error:
            raise self.full(error) from error

    def full(self, error: QueueFull) -> HTTPException:
        """The answer to a job that may not wait."""
        return HTTPException(429, str(error), {"Retry-After": str(self.runner.wait_seconds)})

    async def inspect(self, folder: Path, *names: str) -> float:
        """Look at the files ``audio`` and ``image`` of a folder; returns the seconds of the audio.

        Raises:
            HTTPException: 422 with what is wrong with them.
        """
        job: dict[str, Any] = {name: str((folder / name).absolute()) for name in names}
        job |= {"max_seconds": self.settings.max_seconds, "max_pixels": self.settings.max_pixels}
        async with self._looking:
            try:
                answer = await self._inspector.ask({"type": "job", "job": job}, INSPECT_SECONDS)
            except WorkerDied as error:
                self.metrics.count("worker_deaths", "inspect")
                log.error("the process that looks at uploads ended: %s", error)
                raise HTTPException(422, f"the {' or '.join(names)} cannot be read ({error}); convert it") from error
            except EmoTalkerError as error:
                raise HTTPException(503, str(error)) from error
        if answer["type"] != "done":
            raise HTTPException(422, answer["message"])
        return answer["seconds"]

    async def submit(self, job: Job) -> None:
        """Let a job wait; HTTPException 429 if the queue is full."""
        try:
            await asyncio.to_thread(self.store.submit, job, self.settings.queue, self.settings.queue_per_client)
        except QueueFull as error:
            raise self.full(error) from error
        self.runner.wake()

    @contextmanager
    def listening(self, client: str) -> Iterator[None]:
        """Count a connection that is told of a job's progress."""
        self.listeners[client] += 1
        try:
            yield
        finally:
            self.listeners[client] -= 1
            if not self.listeners[client]:
                del self.listeners[client]

    async def owned(self, job: str, client: str) -> Job:
        """The job with an id; HTTPException 404 if there is none, or it is another client's where clients have tokens."""
        found = await asyncio.to_thread(self.store.get, job)
        if found is None or (self.settings.tokens and found.client != client):
            raise HTTPException(404, "there is no such job; it may have been deleted")
        return found

    async def forget(self, job: str) -> None:
        """Delete a job and its files; a running one is ended."""
        await asyncio.to_thread(self.store.delete, job)
        await asyncio.to_thread(shutil.rmtree, self.settings.jobs / job, True)
