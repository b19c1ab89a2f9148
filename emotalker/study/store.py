"""Who rates what, and the answers: every change is one transaction."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emotalker.core.errors import ConfigError
from emotalker.study.database import ANSWER, RATER, STUDY, TASK, Database, sql
from emotalker.study.definition import Study
from emotalker.study.orders import balanced_orders


@dataclass(frozen=True)
class Task:
    """A page of a rater.

    Args:
        id: of the row.
        kind: ``item``, ``instructed`` or ``gold``.
        shown: item whose videos are shown; of a gold check, its name.
        videos: systems, left first; of a gold check ``better`` and ``worse``.
        expected: place to choose on a check, 0 for the left.
        number: pages that the rater has answered.
        total: pages that the rater gets at most.
    """

    id: int
    kind: str
    shown: str
    videos: list[str]
    expected: int | None
    number: int
    total: int


@dataclass(frozen=True)
class Finished:
    """The rater has nothing left to do; ``code`` proves it, and is None for a rater who has answered nothing."""

    code: str | None


class Store:
    """Assignment of items to raters and their answers, for one study in one database.

    Args:
        study: what is asked.
        database: where answers are kept; empty, or of the same study.
        clock: seconds since 1970.

    Raises:
        ConfigError: the database has answers of another study, or the study has changed since.
    """

    def __init__(self, study: Study, database: Database, clock: Callable[[], float] = time.time):
        self.study, self.database, self.clock = study, database, clock
        self.items = study.items
        with database.transaction() as connection:
            database.lock_all(connection)
            row = connection.execute(sql.select(STUDY)).first()
            if row is None:
                self.secret = secrets.token_hex(32)
                connection.execute(sql.insert(STUDY).values(id=1, fingerprint=study.fingerprint, secret=self.secret))
                orders = balanced_orders(list(study.systems), self.items, study.raters_per_item, study.seed)
                rows = [
                    {"kind": "item", "item": item, "slot": slot, "shown": item, "videos": json.dumps(order)}
                    for item, list_ in orders.items()
                    for slot, order in enumerate(list_)
                ]
                connection.execute(sql.insert(TASK), rows)
            elif row.fingerprint != study.fingerprint:
                raise ConfigError(
                    f"{database.address} has answers to other systems, items, criteria, raters, checks or seed than the "
                    "study's file names now; give another database, or undo the change"
                )
            else:
                self.secret = row.secret

    def sign(self, *parts: str) -> str:
        """32 hexadecimal digits that only this study's server can make."""
        return hmac.new(self.secret.encode(), json.dumps(parts).encode(), hashlib.sha256).hexdigest()[:32]

    def register(self, token: str) -> None:
        """Add the rater with this cookie, who has consented; nothing where there is one."""
        with self.database.transaction() as connection:
            if self._rater(connection, token) is None:
                number = connection.execute(sql.select(sql.func.count()).select_from(RATER)).scalar_one()
                values = {"token": _digest(token), "number": number, "consented": self.clock()}
                connection.execute(sql.insert(RATER).values(values))

    def next(self, token: str) -> Task | Finished | None:
        """The rater's page: the one left unanswered, else a new one; None where no rater has this cookie."""
        with self.database.transaction() as connection:
            rater = self._rater(connection, token)
            if rater is None:
                return None
            mine = connection.execute(sql.select(TASK).where(TASK.c.rater == rater.id).order_by(TASK.c.id)).all()
            rated = sum(task.kind == "item" for task in mine if task.answered)
            if rater.finished or rater.rejected:
                return Finished(self._finish(connection, rater))
            task = next((task for task in mine if not task.answered), None)
            if task is None:
                task = self._check(connection, rater, mine, rated, at_end=False) or self._claim(
                    connection, rater, mine, rated
                )
            if task is None and rated:
                task = self._check(connection, rater, mine, rated, at_end=True)
            if task is None:
                return Finished(self._finish(connection, rater) if rated else None)
            # Seen again, it is not given away for another while.
            connection.execute(sql.update(TASK).where(TASK.c.id == task.id).values(assigned=self.clock()))
            done = sum(task.answered is not None for task in mine)
            total = self._quota + len(self.study.checks)
            return Task(task.id, task.kind, task.shown, json.loads(task.videos), task.expected, done, total)

    def submit(self, token: str, task_id: int, places: Mapping[str, int]) -> bool:
        """Store the answers to a page.

        The first answer counts: the same page sent again changes nothing.

        Args:
            token: the rater's cookie.
            task_id: of the page.
            places: the chosen place by criterion, 0 for the left video.

        Returns:
            Whether the rater's answers are stored; False where the item was given to another rater meanwhile.

        Raises:
            ValueError: a criterion is missing, or a place does not exist.
        """
        with self.database.transaction() as connection:
            rater = self._rater(connection, token)
            task = connection.execute(sql.select(TASK).where(TASK.c.id == task_id)).first()
            if rater is None or task is None or task.rater != rater.id:
                return False
            videos = json.loads(task.videos)
            if set(places) != set(self.study.criteria) or not all(0 <= place < len(videos) for place in places.values()):
                raise ValueError("an answer is missing or unknown")
            if task.answered:
                return True
            rows = [{"task": task.id, "criterion": key, "place": at, "video": videos[at]} for key, at in places.items()]
            connection.execute(sql.insert(ANSWER), rows)
            connection.execute(sql.update(TASK).where(TASK.c.id == task.id).values(answered=self.clock()))
            if task.kind != "item" and any(place != task.expected for place in places.values()):
                self._reject(connection, rater)
            return True

    def _rater(self, connection, token: str):
        return connection.execute(sql.select(RATER).where(RATER.c.token == _digest(token))).first()

    @property
    def _quota(self) -> int:
        """Items that one rater sees at most."""
        return min(self.study.items_per_rater or len(self.items), len(self.items))

    def _claim(self, connection, rater, mine, rated: int):
        """A free place of an item that the rater has not seen: of those with the most free places, so that the last raters
        find enough different items, one whose order this rater has seen less often."""
        if rated >= self._quota:
            return None
        seen = {task.item for task in mine if task.kind == "item"}
        expired = sql.and_(TASK.c.answered.is_(None), TASK.c.assigned < self.clock() - 60 * self.study.minutes)
        free = sql.select(TASK).where(TASK.c.kind == "item", sql.or_(TASK.c.rater.is_(None), expired))
        tasks = [task for task in connection.execute(free) if task.item not in seen]
        if not tasks:
            return None
        own = list(self.items)
        random.Random(f"{self.study.seed}/rater/{rater.number}").shuffle(own)
        rank = {item: i for i, item in enumerate(own)}
        places: Counter = Counter()
        for task in mine:
            if task.kind == "item":
                places.update((video, place) for place, video in enumerate(json.loads(task.videos)))

        left = Counter(task.item for task in tasks)

        def preference(task) -> tuple[int, int, int, int]:
            repeated = sum(places[video, place] for place, video in enumerate(json.loads(task.videos)))
            return -left[task.item], repeated, rank[task.item], task.slot

        task = min(tasks, key=preference)
        connection.execute(sql.update(TASK).where(TASK.c.id == task.id).values(rater=rater.id))
        return task

    def _check(self, connection, rater, mine, rated: int, at_end: bool):
        """The attention check that is due after ``rated`` items, at places drawn for each rater; at the end, any left."""
        names = [name for name in self.study.checks if name not in {task.item for task in mine if task.kind != "item"}]
        if not names:
            return None
        generator = random.Random(f"{self.study.seed}/checks/{rater.number}")
        total = len(self.study.checks)
        due = {
            name: 1 + int((i + generator.random()) * (self._quota - 1) / total) for i, name in enumerate(self.study.checks)
        }
        name = names[0]
        if due[name] > rated and not at_end:
            return None
        kind = name.partition("-")[0]
        generator = random.Random(f"{self.study.seed}/check/{rater.number}/{name}")
        if kind == "gold":
            shown, videos = name, generator.sample(["better", "worse"], 2)
            expected = videos.index("better")
        else:  # an item that the rater has seen, in another order
            seen = generator.choice([task for task in mine if task.kind == "item"])
            shown, videos = seen.shown, json.loads(seen.videos)
            generator.shuffle(videos)
            expected = generator.randrange(len(videos))
        values = {"kind": kind, "item": name, "slot": rater.number, "shown": shown, "videos": json.dumps(videos)}
        connection.execute(sql.insert(TASK).values(rater=rater.id, expected=expected, **values))
        added = sql.and_(TASK.c.kind == kind, TASK.c.item == name, TASK.c.rater == rater.id)
        return connection.execute(sql.select(TASK).where(added)).one()

    def _reject(self, connection, rater) -> None:
        """After too many failed checks, other raters get the items that this one has had, in the same orders."""
        failed = (
            sql.select(sql.func.count(sql.distinct(TASK.c.id)))
            .join(ANSWER, ANSWER.c.task == TASK.c.id)
            .where(TASK.c.rater == rater.id, TASK.c.kind != "item", ANSWER.c.place != TASK.c.expected)
        )
        if rater.rejected or connection.execute(failed).scalar_one() <= self.study.allowed_failures:
            return
        connection.execute(sql.update(RATER).where(RATER.c.id == rater.id).values(rejected=self.clock()))
        spent = sql.select(TASK).where(TASK.c.rater == rater.id, TASK.c.kind == "item")
        for task in connection.execute(spent).all():
            last = sql.select(sql.func.max(TASK.c.slot)).where(TASK.c.kind == "item", TASK.c.item == task.item)
            slot = connection.execute(last).scalar_one() + 1
            connection.execute(
                sql.insert(TASK).values(kind="item", item=task.item, slot=slot, shown=task.item, videos=task.videos)
            )

    def _finish(self, connection, rater) -> str:
        if rater.finished:
            return rater.code
        code = self.sign("finished", rater.token)[:10].upper()
        connection.execute(sql.update(RATER).where(RATER.c.id == rater.id).values(finished=self.clock(), code=code))
        return code


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
