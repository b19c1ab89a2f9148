"""Statistics of the answers: preferences, intervals, significance, agreement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotalker.core.errors import MissingExtraError
from emotalker.study.answers import Answer

#: Name of the row over all criteria together.
ALL = "all criteria"
RESAMPLES = 2000


@dataclass(frozen=True)
class Preference:
    """How often one system was chosen for one criterion.

    Args:
        criterion, system: of the row.
        chosen: answers for the system.
        answers: all answers.
        rate: share of the answers.
        wilson: 95% interval that takes answers as independent.
        bootstrap: 95% interval by resampling raters, whose answers depend on each other.
    """

    criterion: str
    system: str
    chosen: int
    answers: int
    rate: float
    wilson: tuple[float, float]
    bootstrap: tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Whether one system was chosen more often than another.

    Args:
        criterion, first, second: of the row.
        for_first, for_second: answers for each.
        p: exact two-sided binomial test against equal chances, answers independent.
        p_holm: ``p`` corrected over the pairs of the criterion (Holm 1979).
    """

    criterion: str
    first: str
    second: str
    for_first: int
    for_second: int
    p: float
    p_holm: float


@dataclass(frozen=True)
class Test:
    """Tests of one criterion over all systems.

    Args:
        criterion: of the row.
        p_raters: whether systems differ, by raters: Friedman's test over each rater's counts; for two systems a sign test
            over raters. NaN where it is not defined.
        p_place: whether places differ, chi-square against equal chances; small values show that raters favour a place.
        alpha: Krippendorff's alpha, nominal: 1 for agreement, 0 for chance. NaN where it is not defined.
    """

    criterion: str
    p_raters: float
    p_place: float
    alpha: float


def wilson(chosen: int, answers: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval (1927) of a proportion, by default of 95%; NaN without answers."""
    if answers == 0:
        return float("nan"), float("nan")
    p, square = chosen / answers, z * z / answers
    centre = (p + square / 2) / (1 + square)
    half = z / (1 + square) * np.sqrt(p * (1 - p) / answers + square / (4 * answers))
    return (0.0 if chosen == 0 else float(centre - half)), (1.0 if chosen == answers else float(centre + half))


def bootstrap(counts: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% percentile interval of a proportion by resampling raters.

    Args:
        counts: ``(raters, 2)``, times chosen and answers.
        seed: of the resampling.
    """
    if len(counts) < 2 or counts[:, 1].sum() == 0:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))
    sums = counts[drawn].sum(1)
    low, high = np.nanpercentile(sums[:, 0] / np.maximum(sums[:, 1], 1), [2.5, 97.5])
    return float(low), float(high)


def preferences(answers: Sequence[Answer], systems: Sequence[str], criteria: Sequence[str]) -> list[Preference]:
    """Rates by criterion and over all criteria; the interval over all is by raters alone (Wilson's is NaN)."""
    rows = []
    raters = sorted({answer.rater for answer in answers})
    for criterion in [*criteria, ALL]:
        chosen = [a for a in answers if criterion in (ALL, a.criterion)]
        by_rater = Counter((a.rater, a.system) for a in chosen)
        total = Counter(a.rater for a in chosen)
        for system in systems:
            counts = np.array([(by_rater[rater, system], total[rater]) for rater in raters]).reshape(-1, 2)
            k, n = int(counts[:, 0].sum()), int(counts[:, 1].sum())
            interval = (float("nan"), float("nan")) if criterion == ALL else wilson(k, n)
            rows.append(Preference(criterion, system, k, n, k / n if n else float("nan"), interval, bootstrap(counts)))
    return rows


def pairs(answers: Sequence[Answer], systems: Sequence[str], criteria: Sequence[str]) -> list[Pair]:
    """Binomial tests of each pair of systems by criterion, among the answers for one of the two."""
    from scipy.stats import binomtest

    rows = []
    for criterion in criteria:
        counts = Counter(a.system for a in answers if a.criterion == criterion)
        named = [(a, b) for i, a in enumerate(systems) for b in systems[i + 1 :]]
        p = [binomtest(counts[a], counts[a] + counts[b]).pvalue if counts[a] + counts[b] else 1.0 for a, b in named]
        rows += [
            Pair(criterion, a, b, counts[a], counts[b], float(value), corrected)
            for (a, b), value, corrected in zip(named, p, holm(p), strict=True)
        ]
    return rows


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm, A simple sequentially rejective multiple test procedure, 1979)."""
    corrected, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = float(largest)
    return corrected


def significance(answers: Sequence[Answer], systems: Sequence[str], criteria: Sequence[str]) -> list[Test]:
    """Tests over all systems, and agreement, by criterion."""
    rows = []
    for criterion in criteria:
        chosen = [a for a in answers if a.criterion == criterion]
        rows.append(
            Test(criterion, _by_raters(chosen, systems), _places(chosen, len(systems)), agreement(chosen, list(systems)))
        )
    return rows


def _by_raters(answers: Sequence[Answer], systems: Sequence[str]) -> float:
    from scipy.stats import binomtest, friedmanchisquare

    counts: dict[str, Counter] = defaultdict(Counter)
    for answer in answers:
        counts[answer.rater][answer.system] += 1
    table = np.array([[counts[rater][system] for system in systems] for rater in sorted(counts)]).reshape(-1, len(systems))
    if len(systems) == 2:
        first, second = int((table[:, 0] > table[:, 1]).sum()), int((table[:, 0] < table[:, 1]).sum())
        return float(binomtest(first, first + second).pvalue) if first + second else float("nan")
    if len(table) < 2 or (table == table[:, :1]).all():
        return float("nan")
    return float(friedmanchisquare(*table.T).pvalue)


def _places(answers: Sequence[Answer], places: int) -> float:
    from scipy.stats import chisquare

    if not answers:
        return float("nan")
    return float(chisquare(np.bincount([a.place for a in answers], minlength=places)).pvalue)


def agreement(answers: Sequence[Answer], systems: list[str]) -> float:
    """Krippendorff's alpha of the choices of one criterion, nominal, by the package ``krippendorff``.

    Returns:
        NaN where no item has two raters, or where all answers are the same.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        import krippendorff
    except ImportError as error:
        raise MissingExtraError("agreement of raters needs krippendorff: pip install 'emotalker[study]'") from error
    items, raters = sorted({a.item for a in answers}), sorted({a.rater for a in answers})
    data = np.full((len(raters), len(items)), np.nan)
    for a in answers:
        data[raters.index(a.rater), items.index(a.item)] = systems.index(a.system)
    shared = data[:, (~np.isnan(data)).sum(0) >= 2]
    if len(np.unique(shared[~np.isnan(shared)])) < 2:
        return float("nan")
    return float(krippendorff.alpha(reliability_data=data, level_of_measurement="nominal"))
