"""Takes waiting jobs to worker processes, and clears away what is old."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from typing import Any

from emotalker.core.errors import EmoTalkerError
from emotalker.service.engine import EMOTION_TRACK
from emotalker.service.jobs import Job, JobStore, Status
from emotalker.service.metrics import Metrics
from emotalker.service.processes import END_SECONDS, Worker, WorkerDied, worker_command
from emotalker.service.settings import Settings

log = logging.getLogger(__name__)
#: Seconds between looks at the store: for waiting jobs of other machines, and whether a running job was deleted.
LOOK_SECONDS = 1.0
#: Seconds between two clearings.
CLEAR_SECONDS = 20.0
#: Seconds after which a folder without a job is deleted: no upload takes as long.
STRAY_SECONDS = 7200.0


class Runner:
    """Runs jobs of a store in ``settings.workers`` processes.

    Args:
        store, settings, metrics: of the service.
        on_unable: called with the reason if the networks cannot be loaded.
    """

    def __init__(self, store: JobStore, settings: Settings, metrics: Metrics, on_unable: Callable[[str], None]):
        self.store, self.settings, self.metrics, self.on_unable = store, settings, metrics, on_unable
        self.stopping = False
        self.workers = [Worker(worker_command(settings, "render")) for _ in range(settings.workers)]
        self._mean = 5.0  # seconds of a job, for Retry-After
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._clearing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Let jobs whose process has ended wait again, and begin to work."""
        recovered = await asyncio.to_thread(self.store.recover)
        if recovered:
            log.info("%d jobs that an earlier process had begun are started again", recovered)
        self._tasks = [asyncio.create_task(self._guard(self._work, worker)) for worker in self.workers]
        self._clearing = asyncio.create_task(self._guard(self._clear))

    def wake(self) -> None:
        """A job waits."""
        self._wake.set()

    async def stop(self) -> None:
        """Finish running jobs and take no others; returns when the processes have ended."""
        self.stopping = True
        self._wake.set()
        await asyncio.gather(*(worker.kill() for worker in self.workers if worker.starting))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._clearing is not None:
            self._clearing.cancel()
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    @property
    def wait_seconds(self) -> int:
        """A guess of the seconds until a place in the queue is free."""
        return max(1, min(600, round(self._mean / max(1, self.settings.workers))))

    async def _guard(self, loop: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Run a loop again after errors, such as a store that is away for a while."""
        while not self.stopping:
            try:
                return await loop(*arguments)
            except Exception as error:
                known = isinstance(error, EmoTalkerError)
                log.error("%s; trying again", error, exc_info=None if known else error)
                await asyncio.sleep(2 * LOOK_SECONDS)

    async def _work(self, worker: Worker) -> None:
        while not self.stopping:
            try:
                await worker.start()
            except EmoTalkerError as error:
                return self.on_unable(str(error))
            except WorkerDied as error:
                if not self.stopping:
                    log.error("a worker process ended while it started: %s", error)
                    await asyncio.sleep(2 * LOOK_SECONDS)
                continue
            self._wake.clear()
            job = await asyncio.to_thread(self.store.claim)
            if job is not None:
                await self._run(worker, job)
                continue
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _run(self, worker: Worker, job: Job) -> None:
        """One job, to its end; the worker is ended if it goes on for too long."""
        started = time.monotonic()
        self.metrics.observe("wait_seconds", job.kind, max(0.0, job.started - job.created))
        folder = self.settings.jobs / job.id
        status: Status = "failed"
        message = result = ""
        try:
            await worker.send(
                {"type": "job", "job": {"kind": job.kind, "folder": str(folder.absolute()), "options": job.options}}
            )
            answer = await self._answer(worker, job, started + self.settings.job_seconds)
            if answer is None:  # deleted
                self.metrics.count("jobs", "deleted")
                await asyncio.to_thread(shutil.rmtree, folder, True)
                return
            message = answer["message"]
            if answer["type"] == "done":
                status, result = "done", answer["result"]
        except WorkerDied as error:
            self.metrics.count("worker_deaths", "render")
            log.error("a worker process ended during job %s: %s", job.id[:6], error)
            message = f"the process that made it ended unexpectedly ({error}); try other input"
        except BaseException:
            await worker.kill()  # its answer would be taken for that of the next job
            raise
        await self._finish(job, status, message, result)
        for name in ("audio", "image", EMOTION_TRACK):  # what was sent is not kept longer than it is needed
            (folder / name).unlink(missing_ok=True)
        seconds = time.monotonic() - started
        log.info("job %s of %s is %s after %.1f s", job.id[:6], job.client, status, seconds)
        self.metrics.count("jobs", status)
        self.metrics.observe("job_seconds", job.kind, seconds)
        self._mean += 0.2 * (seconds - self._mean)

    async def _finish(self, job: Job, status: Status, message: str, result: str) -> None:
        """End a job in the store; tried again while the store is away, unless the service stops."""
        while True:
            try:
                return await asyncio.to_thread(self.store.finish, job.id, status, message, result)
            except EmoTalkerError as error:
                log.error("%s", error)
                if self.stopping:
                    return
                await asyncio.sleep(2 * LOOK_SECONDS)

    async def _exists(self, question: Callable[..., bool], *arguments: Any) -> bool:
        """Whether a running job was not deleted; assumed while the store is away."""
        try:
            return await asyncio.to_thread(question, *arguments)
        except EmoTalkerError as error:
            log.error("%s", error)
            return True

    async def _answer(self, worker: Worker, job: Job, deadline: float) -> dict[str, Any] | None:
        """The worker's last word on a job; None if the job was deleted meanwhile."""
        looked, wanted, ending = time.monotonic(), True, deadline
        receiving = asyncio.ensure_future(worker.receive())
        try:
            while True:
                await asyncio.wait({receiving}, timeout=LOOK_SECONDS)
                if receiving.done():
                    answer, _ = receiving.result()
                    if answer["type"] != "progress":
                        return answer if wanted else None
                    state = answer["stage"], answer["done"], answer["total"]
                    receiving = asyncio.ensure_future(worker.receive())
                    exists = not wanted or await self._exists(self.store.progress, job.id, *state)
                elif wanted and time.monotonic() - looked >= LOOK_SECONDS:
                    looked, exists = time.monotonic(), await self._exists(self.store.alive, job.id)
                else:
                    exists = True
                if wanted and not exists:
                    wanted, ending = False, time.monotonic() + END_SECONDS
                    await worker.send({"type": "cancel"})
                if time.monotonic() > ending:
                    await worker.kill()
                    if wanted:
                        message = f"it took longer than {self.settings.job_seconds:g} s; give a shorter recording"
                        return {"type": "failed", "message": message}
                    return None
        finally:
            receiving.cancel()

    async def _clear(self) -> None:
        while True:
            await asyncio.to_thread(self._clear_now)
            await asyncio.sleep(min(CLEAR_SECONDS, self.settings.keep_seconds))

    def _clear_now(self) -> None:
        """Delete old results, portraits, and folders of jobs that are no more; jobs of machines that ended wait again."""
        now = time.time()
        self.store.recover()
        for job in self.store.expired(now - self.settings.keep_seconds):
            self.store.delete(job)
            shutil.rmtree(self.settings.jobs / job, ignore_errors=True)
            self.metrics.count("jobs", "expired")
        for folder, kept in ((self.settings.jobs, STRAY_SECONDS), (self.settings.portraits, self.settings.keep_seconds)):
            for path in folder.iterdir() if folder.is_dir() else ():
                old = path.stat().st_mtime < now - kept
                if old and (folder == self.settings.portraits or self.store.get(path.name) is None):
                    shutil.rmtree(path, ignore_errors=True)
