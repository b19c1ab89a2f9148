"""The supplement's Table 1 and Table 3, with published rows beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotalker.evaluation.metrics.measure import measure_of
from emotalker.evaluation.scorer import REAL
from emotalker.evaluation.scoring import ClipResult, mean_values, set_values
from emotalker.evaluation.sheet import present
from emotalker.evaluation.tables import latex_table, markdown_table

#: Columns of Table 1 that only publications have.
PUBLISHED_ONLY = {"syncnet_confidence": "Sync conf, published ↑", "paper_accuracy": "Emo acc, published ↑"}
#: Measures that are not in Table 1 but in a system's own sheet.
SHEET_ONLY = ("sync_offset", "blinks", "brows", "gaze", "head", "head_speed", "jitter", "diversity")


def summary_table(
    results: Mapping[str, Sequence[ClipResult]], published: Sequence[Mapping[str, Any]] = (), latex: bool = False
) -> str:
    """Table 1: one row a system, the real videos, and the published rows.

    Args:
        results: by system.
        published: entries of ``published.yaml``.
        latex: instead of Markdown.
    """
    values = {name: _values(rows) for name, rows in results.items()}
    real = next(
        ({k.removeprefix(REAL): v for k, v in row.items() if k.startswith(REAL)} for row in values.values() if row), {}
    )
    shown = {key for row in values.values() for key in row} | set(real)
    columns = [m for m in present(dict.fromkeys(shown, 0.0)) if m.key not in SHEET_ONLY]
    entries = [entry for entry in published if entry["table"] == "summary"]
    extra = [key for key in PUBLISHED_ONLY if any(key in entry["measures"] for entry in entries)]
    keys = [*(m.key for m in columns), *extra]
    rows: list[list[str | float]] = [[name, *(row.get(key, float("nan")) for key in keys)] for name, row in values.items()]
    if any(np.isfinite(real.get(m.key, np.nan)) for m in columns):
        rows.append(["real videos", *(real.get(key, float("nan")) for key in keys)])
    for entry in entries:
        for row in entry["rows"]:
            known = dict(zip(entry["measures"], row["values"], strict=True))
            rows.append([f"published: {row['system']}", *(float(known.get(key, "nan")) for key in keys)])
    header = ["", *(m.heading for m in columns), *(PUBLISHED_ONLY[key] for key in extra)]
    return (latex_table if latex else markdown_table)(header, rows)


def level_table(
    results: Mapping[str, Sequence[ClipResult]],
    published: Sequence[Mapping[str, Any]] = (),
    key: str = "f_lmd",
    latex: bool = False,
) -> str:
    """Table 3: a landmark distance by emotion and level, one row for each level and system.

    Absolute distances where there are any, else those of aligned first frames; the title says which.

    Args:
        key: ``f_lmd`` or ``m_lmd``.
    """
    scored = {name: [r for r in rows if not r.message] for name, rows in results.items()}
    everything = [r for rows in scored.values() for r in rows]
    measured = key if any(r.values.get(key) is not None for r in everything) else f"{key}_first"
    entries = [entry for entry in published if entry["table"] == "levels" and measured == key]
    emotions = sorted({r.pair.emotion for r in everything if r.pair.emotion} | {e for t in entries for e in t["emotions"]})
    levels = sorted({r.pair.level for r in everything}, key=lambda level: level or 0)
    rows: list[list[str | float]] = []
    for level in levels:
        label = "all levels" if level is None else f"level {level}"
        for name, clips in scored.items():
            cells = []
            for emotion in emotions:
                found = [r.values.get(measured) for r in clips if (r.pair.emotion, r.pair.level) == (emotion, level)]
                known = [value for value in found if value is not None]
                cells.append(float(np.mean(known)) if known else float("nan"))
            rows.append([f"{label}, {name}", *cells])
        for entry in entries:
            known = dict(zip(entry["emotions"], entry[key].get(level, []), strict=False))
            if known:
                cells = [float(known.get(emotion, "nan")) for emotion in emotions]
                rows.append([f"{label}, published: {entry['system']}", *cells])
    return (latex_table if latex else markdown_table)([measure_of(measured).heading, *emotions], rows)


def _values(results: Sequence[ClipResult]) -> dict[str, float]:
    scored = [result for result in results if not result.message]
    return mean_values(scored) | set_values(scored) if scored else {}
