"""Report of a study: tables as CSV, a summary in Markdown, the figure."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from emotalker.core.errors import DataError, MissingExtraError
from emotalker.core.files import replace_on_success
from emotalker.evaluation.tables import markdown_table
from emotalker.study.analysis import ALL, Preference, pairs, preferences, significance
from emotalker.study.answers import Answers
from emotalker.study.definition import Study


def write_report(study: Study, answers: Answers, folder: str | os.PathLike) -> list[Path]:
    """Write report.md, preferences.png and five CSV files.

    Args:
        study: what was asked.
        answers: all answers; those of raters who failed attention checks are left out and counted.
        folder: where to write.

    Returns:
        The files.

    Raises:
        DataError: there are no answers that count.
        MissingExtraError: matplotlib or krippendorff is not installed.
    """
    folder = Path(folder)
    valid, excluded = answers.valid(study), answers.excluded(study)
    if not valid:
        raise DataError(
            f"no answers count: there are {len(answers.answers)}, and {len(excluded)} of {len(answers.raters)} raters failed "
            "attention checks; wait for more, or raise allowed_failures in the study's file"
        )
    systems, criteria = list(study.systems), list(study.criteria)
    rates = preferences(valid, systems, criteria)
    paired, tested = pairs(valid, systems, criteria), significance(valid, systems, criteria)
    places = len(systems)
    written = [
        _write(
            folder / "preferences.csv",
            "criterion system chosen answers rate wilson_low wilson_high bootstrap_low bootstrap_high",
            ((r.criterion, r.system, r.chosen, r.answers, r.rate, *r.wilson, *r.bootstrap) for r in rates),
        ),
        _write(
            folder / "pairs.csv",
            "criterion first second for_first for_second p p_holm",
            ((r.criterion, r.first, r.second, r.for_first, r.for_second, r.p, r.p_holm) for r in paired),
        ),
        _write(
            folder / "tests.csv",
            "criterion p_raters p_place krippendorff_alpha",
            ((r.criterion, r.p_raters, r.p_place, r.alpha) for r in tested),
        ),
        _write(
            folder / "raters.csv",
            "rater code finished checks failed excluded " + " ".join(f"chose_place_{i + 1}" for i in range(places)),
            (
                (r.name, r.code, int(r.finished), r.checks, r.failed, int(r.name in excluded))
                + tuple(sum(a.rater == r.name and a.place == place for a in answers.answers) for place in range(places))
                for r in answers.raters.values()
            ),
        ),
        _write(
            folder / "answers.csv",
            "rater item criterion system place excluded",
            ((a.rater, a.item, a.criterion, a.system, a.place + 1, int(a.rater in excluded)) for a in answers.answers),
        ),
    ]
    with replace_on_success(folder / "report.md") as temporary:
        temporary.write_text(_markdown(study, answers, rates, paired, tested), encoding="utf-8")
    return [*written, folder / "report.md", save_figure(folder / "preferences.png", rates, systems, [*criteria, ALL])]


def _write(path: Path, columns: str, rows: Iterable[Sequence[object]]) -> Path:
    with replace_on_success(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns.split())
        writer.writerows(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in rows)
    return path


def _markdown(study: Study, answers: Answers, rates: Sequence[Preference], paired, tested) -> str:
    valid, excluded = answers.valid(study), answers.excluded(study)
    unchecked = sum(rater.checks == 0 for rater in answers.raters.values())
    seen: dict[str, set[str]] = {}
    for a in valid:
        seen.setdefault(a.item, set()).add(a.rater)
    complete = sum(len(raters) >= study.raters_per_item for raters in seen.values())
    systems = list(study.systems)
    by_cell = {(r.criterion, r.system): r for r in rates}

    def cell(criterion: str, system: str) -> str:
        r = by_cell[criterion, system]
        low, high = r.bootstrap if criterion == ALL else r.wilson
        interval = "" if math.isnan(low) else f" ({100 * low:.0f}-{100 * high:.0f})"
        return f"{100 * r.rate:.1f}{interval}"

    counted = (
        f"{len(valid)} answers of {len({a.rater for a in valid})} raters to {len(seen)} items count; {complete} of "
        f"{len(study.items)} items have {study.raters_per_item} raters or more. {len(excluded)} of {len(answers.raters)} "
        f"raters failed more than {study.allowed_failures} attention checks and are left out with "
        f"{len(answers.answers) - len(valid)} answers. {unchecked} raters have met no attention check."
    )
    rows = [[criterion, *(cell(criterion, system) for system in systems)] for criterion in [*study.criteria, ALL]]
    parts = [
        f"# {study.title}",
        counted,
        "## Preference, percent",
        markdown_table(["criterion", *systems], rows),
        "Intervals of 95%: Wilson's by criterion, which takes answers as independent; over all criteria by resampling "
        "raters. preferences.csv has both.",
        "## Systems, places, agreement",
        markdown_table(
            ["criterion", "p, by raters", "p, place", "alpha"],
            [[r.criterion, r.p_raters, r.p_place, r.alpha] for r in tested],
        ),
        f"p by raters: {'sign test' if len(systems) == 2 else 'Friedman test'} over raters. p of place: chi-square; small "
        "values mean that raters favour a place, whatever is shown there. alpha: Krippendorff's, nominal; 1 is agreement, 0 "
        "chance.",
        "## Pairs",
        markdown_table(
            ["criterion", "first", "second", "for first", "for second", "p", "p, Holm"],
            [[r.criterion, r.first, r.second, r.for_first, r.for_second, r.p, r.p_holm] for r in paired],
        ),
        "p: exact binomial test, two-sided, answers independent; Holm's correction over the pairs of a criterion.",
    ]
    return "\n\n".join(parts) + "\n"


def save_figure(
    path: str | os.PathLike, rates: Sequence[Preference], systems: Sequence[str], criteria: Sequence[str]
) -> Path:
    """Write bars of preference by criterion and system with their intervals (Wilson's; over all criteria by raters).

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the figure needs matplotlib: pip install 'emotalker[study]'") from error
    figure = Figure(figsize=(1.5 + 1.5 * len(criteria), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / len(systems)
    by_cell = {(r.criterion, r.system): r for r in rates}
    for i, system in enumerate(systems):
        rows = [by_cell[criterion, system] for criterion in criteria]
        heights = [100 * r.rate for r in rows]
        intervals = [r.wilson if not math.isnan(r.wilson[0]) else r.bootstrap for r in rows]
        errors = [
            [max(0.0, h - 100 * low) for h, (low, _) in zip(heights, intervals, strict=True)],
            [max(0.0, 100 * high - h) for h, (_, high) in zip(heights, intervals, strict=True)],
        ]
        at = [j + (i - (len(systems) - 1) / 2) * width for j in range(len(criteria))]
        axes.bar(at, heights, width * 0.92, yerr=errors, capsize=3, label=system, error_kw={"lw": 1})
    axes.axhline(100 / len(systems), color="0.4", lw=1, ls="--", label="chance")
    axes.set_xticks(range(len(criteria)), [criterion.replace(" ", "\n", 1) for criterion in criteria])
    axes.set_ylabel("preferred by raters, %")
    axes.set_ylim(0, 100)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=len(systems) + 1, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.14))
    with replace_on_success(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return Path(path)
