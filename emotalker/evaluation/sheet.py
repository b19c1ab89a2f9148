"""The sheet of a set of videos: a table of all measures, and what each can and cannot show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emotalker.evaluation.metrics.measure import MEASURES, Measure, measure_of
from emotalker.evaluation.scorer import REAL
from emotalker.evaluation.scoring import ClipResult, mean_values, set_values
from emotalker.evaluation.tables import latex_table, markdown_table

#: Measures whose value for generated videos is suspect where it is better than that of real ones, and the better direction.
SUSPECT = {"sync_distance": -1, "sync_confidence": 1, "lse_d": -1, "lse_c": 1}


def sheet(results: Sequence[ClipResult], title: str, latex: bool = False) -> str:
    """Everything about one set of videos, as Markdown.

    Args:
        results: of :func:`~emotalker.evaluation.scoring.score_pairs`.
        title: heading.
        latex: the table in LaTeX instead of Markdown.
    """
    scored = [result for result in results if not result.message]
    values = mean_values(scored) | set_values(scored)
    parts = [f"## {title}", counts(results)]
    if scored:
        parts += [value_table(values, latex), *warnings(values, scored), notes(values)]
    failed = [f"- `{result.pair.id}`: {result.message}" for result in results if result.message]
    return "\n\n".join(parts + (["### Clips that could not be scored", "\n".join(failed)] if failed else []))


def counts(results: Sequence[ClipResult]) -> str:
    """One sentence: clips, samples, references, failures."""
    scored = [result for result in results if not result.message]
    references = {len(result.pair.references) for result in scored} or {0}
    span = f"{min(references)}" if len(references) == 1 else f"{min(references)} to {max(references)}"
    return (
        f"{len(scored)} of {len(results)} videos of {len({r.pair.clip for r in results})} clips scored, each against {span} "
        f"reference{'s' * (span != '1')}."
    )


def value_table(values: Mapping[str, float], latex: bool = False) -> str:
    """One row a measure: generated and real."""
    rows = [[m.heading, values.get(m.key, float("nan")), values.get(REAL + m.key, float("nan"))] for m in present(values)]
    return (latex_table if latex else markdown_table)(["measure", "generated", "real"], rows)


def present(values: Mapping[str, float]) -> list[Measure]:
    """The measures that have a value, in the order of MEASURES; accuracies at the end."""
    keys = [key.removeprefix(REAL) for key in values]
    order = [measure.key for measure in MEASURES]
    found = {key: measure for key in keys if (measure := measure_of(key)) is not None}
    return sorted(found.values(), key=lambda m: order.index(m.key) if m.key in order else len(order))


def warnings(values: Mapping[str, float], results: Sequence[ClipResult]) -> list[str]:
    """Sentences about values that should not be taken at their face value."""
    found = []
    for key, sign in SUSPECT.items():
        made, real = values.get(key), values.get(REAL + key)
        if made is not None and real is not None and sign * (made - real) > 0:
            found.append(
                f"**Suspect:** {measure_of(key).title} {made:.3f} is better than that of the real videos, {real:.3f}. It "
                "shows that the lips follow what the judge listens to, not that they are more in sync than real ones."
            )
    lengths = [(r.values.get("frames"), r.values.get(REAL + "frames")) for r in results]
    unequal = sum(a is not None and b is not None and abs(a - b) > max(5, 0.1 * b) for a, b in lengths)
    if unequal:
        found.append(f"**Lengths differ** by more than a tenth in {unequal} clips; the longer video was cut.")
    return found


def notes(values: Mapping[str, float]) -> str:
    """What each measure with a value can and cannot show."""
    lines = ["What the measures can and cannot show:", ""]
    return "\n".join(lines + [f"- **{m.title}.** {m.shows} {m.limits}" for m in present(values)])
