"""Does a face live? Blinks, brows, gaze and head, as numbers that real talkers have too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.evaluation.tables import markdown_table

#: Lids this far down at the least, both eyes' mean, are a blink; they have to open by half of it before the next.
SHUT = 0.5
BLINKS = ARKIT.indices(["eyeBlinkLeft", "eyeBlinkRight"])
BROWS = ARKIT.indices(["browInnerUp", "browOuterUpLeft", "browOuterUpRight", "browDownLeft", "browDownRight"])
GAZE = ARKIT.indices([name for name in ARKIT.expression_names if name.startswith("eyeLook")])


def count_blinks(motion: np.ndarray) -> int:
    """Blinks in a motion ``(T, D)`` of the arkit space."""
    lids, blinks, shut = motion[:, BLINKS].mean(1), 0, False
    for value in lids:
        if value > SHUT and not shut:
            blinks, shut = blinks + 1, True
        elif value < SHUT / 2:
            shut = False
    return blinks


def motion_statistics_table(groups: dict[str, Sequence[np.ndarray]]) -> str:
    """Rates and amplitudes by group of motions ``(T, D)``."""
    header = ["", "blinks a minute", "brows", "gaze", "head (degrees)", "head (degrees a second)"]
    rows = []
    for name, motions in groups.items():
        minutes = sum(map(len, motions)) / ARKIT.fps / 60
        angles = [np.degrees(m[:, ARKIT.pose][:, :3]) for m in motions]
        rows.append(
            [
                name,
                f"{sum(map(count_blinks, motions)) / minutes:.1f}",
                float(np.mean([m[:, BROWS].std(0) for m in motions])),
                float(np.mean([m[:, GAZE].std(0) for m in motions])),
                f"{np.mean([np.sqrt(a.var(0).mean()) for a in angles]):.2f}",
                f"{np.mean([np.linalg.norm(np.diff(a, axis=0), axis=1).mean() for a in angles]) * ARKIT.fps:.2f}",
            ]
        )
    return markdown_table(header, rows)
