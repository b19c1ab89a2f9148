"""Answers of a study as plain records, from the database or from Mechanical Turk's results."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass, field

from emotalker.core.errors import DataError
from emotalker.study.definition import Study


@dataclass(frozen=True)
class Answer:
    """One rater's choice for one criterion of one item; ``place`` is where the chosen video was, 0 for the left."""

    rater: str
    item: str
    criterion: str
    system: str
    place: int


@dataclass
class Rater:
    """What one rater did.

    Args:
        name: number, or the worker's id.
        checks: attention checks answered.
        failed: attention checks failed.
        finished: whether the rater came to the last page.
        code: code of completion.
    """

    name: str
    checks: int = 0
    failed: int = 0
    finished: bool = False
    code: str = ""


@dataclass
class Answers:
    """All answers of a study, those of excluded raters too.

    Args:
        answers: in the order of raters.
        raters: by name.
    """

    answers: list[Answer] = field(default_factory=list)
    raters: dict[str, Rater] = field(default_factory=dict)

    def excluded(self, study: Study) -> set[str]:
        """Raters who failed more attention checks than the study allows."""
        return {rater.name for rater in self.raters.values() if rater.failed > study.allowed_failures}

    def valid(self, study: Study) -> list[Answer]:
        """Answers of raters who are not excluded."""
        excluded = self.excluded(study)
        return [answer for answer in self.answers if answer.rater not in excluded]


def read_database(study: Study, address: str) -> Answers:
    """Answers in the database that ``serve`` keeps.

    Raises:
        DataError: there is no such database, or it belongs to another study.
    """
    from emotalker.study.database import ANSWER, RATER, STUDY, TASK, Database, sql

    with Database(address, create=False).transaction() as connection:
        stored = connection.execute(sql.select(STUDY.c.fingerprint)).scalar()
        if stored != study.fingerprint:
            raise DataError(f"{address} has no answers to this study as its file is now; name the file given to serve")
        raters = connection.execute(sql.select(RATER).order_by(RATER.c.number)).all()
        rows = connection.execute(
            sql.select(TASK.c.rater, TASK.c.kind, TASK.c.item, TASK.c.expected, TASK.c.id, ANSWER)
            .join(ANSWER, ANSWER.c.task == TASK.c.id)
            .order_by(TASK.c.rater, TASK.c.id, ANSWER.c.criterion)
        ).all()
    names = {rater.id: str(rater.number + 1) for rater in raters}
    result = Answers(raters={names[r.id]: Rater(names[r.id], finished=bool(r.finished), code=r.code or "") for r in raters})
    checks: dict[int, tuple[str, bool]] = {}
    for row in rows:
        name = names[row.rater]
        if row.kind == "item":
            result.answers.append(Answer(name, row.item, row.criterion, row.video, row.place))
        else:
            checks[row.id] = (name, checks.get(row.id, (name, True))[1] and row.place == row.expected)
    for name, passed in checks.values():
        result.raters[name].checks += 1
        result.raters[name].failed += not passed
    return result


def read_mturk(study: Study, results: str | os.PathLike, key: str | os.PathLike) -> Answers:
    """Answers in the file of results that Mechanical Turk offers for a batch of ``export``.

    Args:
        study: what was asked.
        results: Batch_*_results.csv.
        key: the key.csv that ``export`` wrote; it says which video is whose.

    Raises:
        DataError: a file cannot be read, or the results do not belong to the key.
    """
    owners = {row["video"]: (row["item"], row["system"]) for row in _rows(key, ("video", "item", "system"))}
    result = Answers()
    failed: dict[str, dict[str, bool]] = defaultdict(dict)
    needed = ("WorkerId", "AssignmentStatus", "Input.item", "Input.expected", "Answer.order")
    for row in _rows(results, needed + tuple(f"Answer.q{i}" for i in range(len(study.criteria)))):
        name = row["WorkerId"]
        result.raters.setdefault(name, Rater(name, finished=True))
        if row["AssignmentStatus"] == "Rejected":
            continue
        order = row["Answer.order"].split()
        chosen = {criterion: row[f"Answer.q{i}"] for i, criterion in enumerate(study.criteria)}
        unknown = [video for video in chosen.values() if video not in owners or video not in order]
        if unknown:
            raise DataError(f"{results}: video {unknown[0]!r} is not in {key}; give the key.csv of the same export")
        if row["Input.expected"]:
            failed[name][row["Input.item"]] = any(video != row["Input.expected"] for video in chosen.values())
            continue
        for criterion, video in chosen.items():
            item, system = owners[video]
            result.answers.append(Answer(name, item, criterion, system, order.index(video)))
    for name, checks in failed.items():
        result.raters[name].checks, result.raters[name].failed = len(checks), sum(checks.values())
    return result


def _rows(path: str | os.PathLike, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}; give a CSV file") from error
    missing = [column for column in columns if not rows or column not in rows[0]]
    if missing:
        raise DataError(f"{path} has no column {missing[0]}; give the file as Mechanical Turk or export wrote it")
    return rows
