"""Running a command once, or with ``--list`` for every row of a list of jobs."""

from __future__ import annotations

import argparse
import copy
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from emotalker.core.cli import FAILED, CommandParser, Outcome
from emotalker.core.progress import OnProgress, shown_progress, unheard

#: A command of :mod:`emotalker.inference.commands`.
Command = Callable[[argparse.Namespace, OnProgress], Outcome]


def run_once_or_list(
    args: argparse.Namespace,
    command: Command,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    required: Sequence[str],
) -> Outcome:
    """Run the command, or with ``--list`` one job for every row, whose options win over the command line's.

    Args:
        args: of the command line.
        command: what runs.
        add_arguments: adds the options that a row may have.
        required: columns that a list must have.
    """
    quiet = args.quiet or args.json
    if args.list is None:
        with shown_progress(quiet) as tell:
            return command(args, tell)

    from emotalker.core import jobs

    report = args.report or os.fspath(Path(args.list).with_suffix(".report.csv"))
    listed = jobs.read_jobs(args.list, required)
    jobs.resume(listed, report)
    done = sum(bool(job.status) for job in listed)
    run = partial(_run_row, command, add_arguments, args)
    with shown_progress(quiet) as tell:
        tell("list", done, len(listed))
        for job in jobs.run_jobs(listed, run, report, max(1, args.workers)):
            done += 1
            tell("list", done, len(listed))
            if not quiet:
                print(f"{job.options.get('output', '')}: {job.message}", file=sys.stderr)
    failed = sum(job.status == jobs.FAILED for job in listed)
    rows = [
        {"output": job.options.get("output"), "status": job.status, "seconds": round(job.seconds, 1), "message": job.message}
        for job in listed
    ]
    text = f"{len(listed) - failed} of {len(listed)} done; {report} lists them"
    return Outcome(text, {"report": report, "jobs": rows}, FAILED if failed else 0)


def _run_row(
    command: Command, add_arguments: Callable[[argparse.ArgumentParser], None], common: argparse.Namespace, own: list[str]
) -> str:
    parser = CommandParser()
    add_arguments(parser)
    return command(parser.parse_args(own, copy.copy(common)), unheard).text
