"""Diversity of several videos or motions generated from one recording."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np


def diversity(samples: Sequence[np.ndarray]) -> float:
    """Mean distance between two samples of one recording: Euclidean over a frame's entries, mean over frames and pairs.

    Args:
        samples: sequences ``(T, D)``, cut to the shortest; NaN frames are left out.

    Returns:
        In the unit of the entries; NaN with fewer than two samples.
    """
    if len(samples) < 2:
        return float("nan")
    n = min(map(len, samples))
    cut = [s[:n].reshape(n, -1) for s in samples]
    known = np.all([np.isfinite(s).all(1) for s in cut], axis=0)
    if not known.any():
        return float("nan")
    return float(np.mean([np.linalg.norm(a[known] - b[known], axis=1).mean() for a, b in combinations(cut, 2)]))
