"""Jobs in a SQLite file, for one machine."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO

from emotalker.service.jobs import Job, QueueFull, Status, StoreError, served_before
from emotalker.service.settings import MAX_ATTEMPTS

_COLUMNS = [field.name for field in fields(Job)]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, kind TEXT, client TEXT, options TEXT, status TEXT, stage TEXT, done INTEGER, total INTEGER,
    message TEXT, result TEXT, audio_seconds REAL, attempts INTEGER, created REAL, started REAL, finished REAL
);
CREATE INDEX IF NOT EXISTS waiting ON jobs (status, created);
CREATE TABLE IF NOT EXISTS clients (client TEXT PRIMARY KEY, served INTEGER);
"""


class SqliteStore:
    """A :class:`~emotalker.service.jobs.JobStore` in ``folder/jobs.sqlite``, which one process has at a time.

    Raises:
        StoreError: the folder cannot be written, another service has it, or the file is damaged.
    """

    def __init__(self, folder: Path):
        self._mutex, self._ours = threading.Lock(), set[str]()
        self._lock = _locked(folder)
        try:
            self._database = sqlite3.connect(folder / "jobs.sqlite", check_same_thread=False, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._lock.close()
            raise StoreError(f"cannot use {folder / 'jobs.sqlite'}: {error}; move it away to begin without jobs") from error

    def submit(self, job: Job, queue: int, queue_per_client: int) -> None:
        with self._transaction() as database:
            self._check_room(database, job.client, queue, queue_per_client)
            job.created = job.created or time.time()
            values = asdict(job) | {"options": json.dumps(job.options)}
            database.execute(f"INSERT INTO jobs VALUES ({', '.join(':' + name for name in _COLUMNS)})", values)

    def check_room(self, client: str, queue: int, queue_per_client: int) -> None:
        with self._transaction() as database:
            self._check_room(database, client, queue, queue_per_client)

    @staticmethod
    def _check_room(database: sqlite3.Connection, client: str, queue: int, queue_per_client: int) -> None:
        count = "SELECT count(*) FROM jobs WHERE status = 'queued'"
        if database.execute(f"{count} AND client = ?", (client,)).fetchone()[0] >= queue_per_client:
            raise QueueFull(f"{queue_per_client} jobs of yours wait already; ask again when one is done")
        if database.execute(count).fetchone()[0] >= queue:
            raise QueueFull(f"{queue} jobs wait already; ask again later")

    def get(self, job: str) -> Job | None:
        with self._transaction() as database:
            return _job(database.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone())

    def claim(self) -> Job | None:
        with self._transaction() as database:
            job = _job(
                database.execute(
                    "SELECT jobs.* FROM jobs LEFT JOIN clients USING (client) WHERE status = 'queued' "
                    "ORDER BY coalesce(served, 0), created, jobs.rowid LIMIT 1"
                ).fetchone()
            )
            if job is None:
                return None
            database.execute(
                "INSERT OR REPLACE INTO clients VALUES (?, (SELECT coalesce(max(served), 0) + 1 FROM clients))", (job.client,)
            )
            job.status, job.started, job.attempts = "running", time.time(), job.attempts + 1
            database.execute(
                "UPDATE jobs SET status = 'running', started = ?, attempts = ?, stage = '', done = 0 WHERE id = ?",
                (job.started, job.attempts, job.id),
            )
            self._ours.add(job.id)
            return job

    def progress(self, job: str, stage: str, done: int, total: int) -> bool:
        with self._transaction() as database:
            update = "UPDATE jobs SET stage = ?, done = ?, total = ? WHERE id = ? AND status = 'running'"
            return database.execute(update, (stage, done, total, job)).rowcount > 0

    def alive(self, job: str) -> bool:
        found = self.get(job)
        return found is not None and found.status == "running"

    def finish(self, job: str, status: Status, message: str, result: str) -> None:
        with self._transaction() as database:
            update = "UPDATE jobs SET status = ?, message = ?, result = ?, finished = ? WHERE id = ? AND status = 'running'"
            database.execute(update, (status, message, result, time.time(), job))
            self._ours.discard(job)

    def delete(self, job: str) -> None:
        with self._transaction() as database:
            database.execute("DELETE FROM jobs WHERE id = ?", (job,))
            self._ours.discard(job)

    def expired(self, before: float) -> list[str]:
        with self._transaction() as database:
            # A client who is forgotten is served first again, so only those served long ago are.
            database.execute("DELETE FROM clients WHERE served < (SELECT max(served) FROM clients) - 10000")
            query = "SELECT id FROM jobs WHERE status IN ('done', 'failed') AND finished < ?"
            return [row["id"] for row in database.execute(query, (before,))]

    def recover(self) -> int:
        with self._transaction() as database:
            running = database.execute("SELECT id, attempts FROM jobs WHERE status = 'running'").fetchall()
            lost = [row for row in running if row["id"] not in self._ours]
            for row in lost:
                if row["attempts"] >= MAX_ATTEMPTS:
                    message = f"the service ended {MAX_ATTEMPTS} times while this job ran; try other input"
                    update = "UPDATE jobs SET status = 'failed', message = ?, finished = ? WHERE id = ?"
                    database.execute(update, (message, time.time(), row["id"]))
                else:
                    database.execute("UPDATE jobs SET status = 'queued', stage = '', done = 0 WHERE id = ?", (row["id"],))
                    database.execute(
                        "UPDATE clients SET served = 0 WHERE client = (SELECT client FROM jobs WHERE id = ?)", (row["id"],)
                    )
            return len(lost)

    def counts(self) -> dict[str, int]:
        with self._transaction() as database:
            return dict(database.execute("SELECT status, count(*) FROM jobs GROUP BY status").fetchall())

    def ahead(self, job: Job) -> int:
        with self._transaction() as database:
            query = "SELECT id, client FROM jobs WHERE status = 'queued' ORDER BY created, rowid"
            waiting = [(row["id"], row["client"]) for row in database.execute(query)]
            served = dict(database.execute("SELECT client, served FROM clients").fetchall())
        return served_before(waiting, served, job.id)

    def close(self) -> None:
        with self._mutex:
            self._database.close()
            self._lock.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield self._database
                except BaseException:
                    self._database.execute("ROLLBACK")
                    raise
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(f"the store of jobs cannot be used: {error}; look at the disk of the service") from error


def _job(row: sqlite3.Row | None) -> Job | None:
    return None if row is None else Job(**{**dict(row), "options": json.loads(row["options"])})


def _locked(folder: Path) -> IO[str]:
    """A file that this process has locked; the system releases it when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = open(folder / "service.lock", "w")  # noqa: SIM115 - open as long as the store is
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}; give another --folder") from error
    try:
        import fcntl  # not on Windows, where the second service is not noticed

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except OSError as error:
        file.close()
        raise StoreError(f"another service uses {folder}; stop it, or give another --folder") from error
    return file
