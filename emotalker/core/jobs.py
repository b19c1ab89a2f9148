"""Many runs of one command from a CSV file: workers, one report, and going on after an interruption."""

from __future__ import annotations

import csv
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from emotalker.core.errors import ConfigError, EmoTalkerError
from emotalker.core.files import replace_on_success
from emotalker.core.processes import end_with_parent, stop_workers

STATUS, SECONDS, MESSAGE = "status", "seconds", "message"
DONE, FAILED = "done", "failed"


@dataclass
class Job:
    """One row of the list.

    Attributes:
        options: values by option name, without dashes; empty cells are left out.
        status: "" before it ran, then DONE or FAILED.
        seconds: wall time.
        message: the command's summary, or its error.
    """

    options: dict[str, str]
    status: str = ""
    seconds: float = 0.0
    message: str = ""
    row: int = field(default=0, compare=False)

    def arguments(self) -> list[str]:
        """Command-line arguments of the options."""
        return [f"--{name}={value}" for name, value in self.options.items()]


def read_jobs(path: str | os.PathLike, required: Sequence[str]) -> list[Job]:
    """Read a list whose columns are option names.

    Raises:
        ConfigError: it cannot be read, has no rows, lacks a required column or value, or two rows have one output.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read the list {path}: {error}") from error
    missing = [name for name in required if name not in columns]
    if missing or not rows:
        raise ConfigError(f"the list {path} needs rows and the columns {', '.join(required)}")
    jobs, outputs = [], {}
    for line, row in rows:
        if None in row or None in row.values():
            raise ConfigError(f"{path}, line {line}: the number of values differs from that of the columns")
        options = {name.strip().lstrip("-"): value.strip() for name, value in row.items() if value.strip()}
        empty = [name for name in required if name not in options]
        if empty:
            raise ConfigError(f"{path}, line {line}: {empty[0]} is empty")
        output = options.get("output", "")
        if output and output in outputs:
            raise ConfigError(f"{path}, lines {outputs[output]} and {line} write the same {output}; give each its own")
        outputs[output] = line
        jobs.append(Job(options, row=line))
    return jobs


def resume(jobs: Sequence[Job], report: str | os.PathLike) -> None:
    """Take over what a report of an earlier run says is done, if the options are the same and the output still exists."""
    try:
        with open(report, newline="", encoding="utf-8") as file:
            finished = [row for row in csv.DictReader(file) if row.get(STATUS) == DONE]
    except (OSError, UnicodeDecodeError, csv.Error):
        return
    known = [{k: v for k, v in row.items() if v and k not in (STATUS, SECONDS, MESSAGE)} for row in finished]
    for job in jobs:
        if job.options in known and Path(job.options.get("output", "")).is_file():
            row = finished[known.index(job.options)]
            job.status, job.message = DONE, row[MESSAGE]
            job.seconds = float(row[SECONDS] or 0)


def run_jobs(
    jobs: Sequence[Job], function: Callable[[list[str]], str], report: str | os.PathLike, workers: int = 1
) -> Iterator[Job]:
    """Run all jobs that are not done; yields each as it ends. The report is written after every one.

    Args:
        jobs: of :func:`read_jobs`.
        function: runs one job, given its arguments; returns a summary and raises EmoTalkerError if the job fails. It is
            pickled for the workers.
        report: CSV file: the options, status, seconds and message of every job.
        workers: processes. A job that kills its worker fails, alone.
    """
    waiting = [job for job in jobs if job.status != DONE]
    write_report(report, jobs)
    if workers == 1:
        for job in waiting:
            _finish(job, *_timed(function, job.arguments()))
            write_report(report, jobs)
            yield job
        return
    while waiting:
        try:
            for job in _in_pool(waiting, function, workers):
                write_report(report, jobs)
                yield job
        except BrokenProcessPool:
            # One of the running jobs killed its worker, unknown which: they are run one by one.
            for job in [job for job in waiting if not job.status][:workers]:
                try:
                    yield from _in_pool([job], function, 1)
                except BrokenProcessPool:
                    _finish(job, FAILED, 0.0, "its process was killed; memory may have been short")
                    yield job
                write_report(report, jobs)
        waiting = [job for job in waiting if not job.status]


def _in_pool(jobs: Sequence[Job], function: Callable[[list[str]], str], workers: int) -> Iterator[Job]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)
    try:
        rest = iter(jobs)
        running: dict[Future, Job] = {}
        for job in rest:
            running[pool.submit(_timed, function, job.arguments())] = job
            if len(running) < workers:
                continue
            yield from _ended(running)
        while running:
            yield from _ended(running)
    except BrokenProcessPool:
        raise
    except BaseException:
        stop_workers(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _ended(running: dict[Future, Job]) -> Iterator[Job]:
    """Wait for the next jobs to end, and remove them from ``running``."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        result = future.result()  # a broken pool raises before the job is removed
        job = running.pop(future)
        _finish(job, *result)
        yield job


def _timed(function: Callable[[list[str]], str], arguments: list[str]) -> tuple[str, float, str]:
    """Status, seconds and message of one job."""
    started = time.perf_counter()
    try:
        status, message = DONE, function(arguments)
    except EmoTalkerError as error:
        status, message = FAILED, str(error)
    except SystemExit:
        status, message = FAILED, "an option is unknown or has a wrong value; see the message above"
    return status, time.perf_counter() - started, message


def _finish(job: Job, status: str, seconds: float, message: str) -> None:
    job.status, job.seconds, job.message = status, seconds, message


def write_report(path: str | os.PathLike, jobs: Sequence[Job]) -> Path:
    """Write the state of all jobs as CSV; OutputError if that fails."""
    names = list(dict.fromkeys(name for job in jobs for name in job.options))
    with replace_on_success(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, STATUS, SECONDS, MESSAGE])
        writer.writeheader()
        for job in jobs:
            seconds = f"{job.seconds:.1f}" if job.status else ""
            writer.writerow({**job.options, STATUS: job.status, SECONDS: seconds, MESSAGE: job.message})
    return Path(path)
