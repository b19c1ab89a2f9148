"""The study as a project of Amazon Mechanical Turk: a layout in HTML, a table of items, and videos with opaque names."""

from __future__ import annotations

import csv
import os
import random
import secrets
import shutil
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

import emotalker
from emotalker.core.errors import ConfigError, OutputError
from emotalker.core.files import replace_on_success
from emotalker.study.definition import LETTERS, Study
from emotalker.study.orders import balanced_orders

ASSETS = Path(emotalker.__file__).parent / "assets"


def export(study: Study, base_url: str, folder: str | os.PathLike) -> list[Path]:
    """Write layout.html, items.csv, key.csv and the folder videos.

    A row of items.csv is one HIT for ``raters_per_item`` workers. Its orders are those of ``serve``; the layout takes one of
    them by the id of the assignment. key.csv says which video is whose and is not for the web.

    Args:
        study: what is asked.
        base_url: where the folder videos will be on the web.
        folder: empty or missing.

    Raises:
        ConfigError: ``base_url`` is no HTTPS address.
        OutputError: the folder is not empty, or cannot be written.
    """
    folder = Path(folder)
    if not base_url.startswith("https://") or any(character in base_url for character in "\"'<>\\ ;$"):
        raise ConfigError(f"{base_url} is no web address for Mechanical Turk; give one that begins with https://")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"cannot export to {folder}: it is not an empty folder; give another")
    try:
        (folder / "videos").mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}; choose a writable folder") from error
    generator = random.Random(f"{study.seed}/mturk")
    key: list[tuple[str, str, str]] = []

    def publish(path: Path, item: str, owner: str) -> str:
        name = secrets.token_hex(16) + path.suffix.lower()
        shutil.copyfile(path, folder / "videos" / name)
        key.append((name, item, owner))
        return name

    orders = balanced_orders(list(study.systems), study.items, study.raters_per_item, study.seed)
    names = {(item, system): publish(study.path(system, item), item, system) for item in orders for system in study.systems}
    rows: list[dict[str, object]] = []

    def add(lists: Sequence[Sequence[str]], expected: str = "", instructed: bool = False) -> None:
        text = ";".join(" ".join(order) for order in lists)
        row = {"item": secrets.token_hex(8), "base_url": base_url.rstrip("/"), "orders": text}
        rows.append({**row, "expected": expected, "instructed": int(instructed)})

    for item, lists in orders.items():
        add([[names[item, system] for system in order] for order in lists])
    for _ in range(study.instructed_checks):
        item = generator.choice(list(orders))
        lists = [[names[item, system] for system in order] for order in orders[item]]
        add(lists, expected=generator.choice(lists[0]), instructed=True)
    for i, check in enumerate(study.gold_checks):
        better, worse = (publish(getattr(check, kind), f"gold-{i}", kind) for kind in ("better", "worse"))
        add([[better, worse], [worse, better]], expected=better)
    generator.shuffle(rows)
    return [
        _write_layout(study, folder / "layout.html"),
        _write_table(folder / "items.csv", list(rows[0]), (list(row.values()) for row in rows)),
        _write_table(folder / "key.csv", ["video", "item", "system"], key),
        folder / "videos",
    ]


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with replace_on_success(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def _write_layout(study: Study, path: Path) -> Path:
    questions = "\n".join(_question(i, question, len(study.systems)) for i, question in enumerate(study.criteria.values()))
    answers = "\n".join(f'<input type="hidden" name="q{i}" id="q{i}" value="">' for i in range(len(study.criteria)))
    consent = "".join(f"<p>{_text(part)}</p>" for part in study.consent.split("\n\n") if part.strip())
    template = Template((ASSETS / "mturk.html").read_text(encoding="utf-8"))
    text = template.safe_substitute(
        title=_text(study.title),
        style=(ASSETS / "study.css").read_text(encoding="utf-8"),
        consent=consent,
        questions=questions,
        answers=answers,
    )
    with replace_on_success(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _question(index: int, question: str, count: int) -> str:
    choices = "".join(
        f'<label><input type="radio" name="choice{index}" value="{place}" required> Video {LETTERS[place]}</label>'
        for place in range(count)
    )
    return f'<fieldset><legend>{_text(question)}</legend><div class="choices">{choices}</div></fieldset>'


def _text(text: str) -> str:
    """HTML of a text in which Mechanical Turk finds no variables."""
    return escape(text).replace("$", "&#36;")
