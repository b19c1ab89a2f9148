"""Rates and ranges of blinks, brows, gaze and head motion, for comparison with real talkers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.evaluation.tables import markdown_table

#: A blink begins where the mean of both eyeBlink entries passes SHUT and ends where it falls below half of it.
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


def brow_deviation(motion: np.ndarray) -> float:
    """Standard deviation over a motion ``(T, D)``, mean of the brow entries."""
    return float(motion[:, BROWS].std(0).mean())


def gaze_deviation(motion: np.ndarray) -> float:
    """Standard deviation over a motion ``(T, D)``, mean of the gaze entries."""
    return float(motion[:, GAZE].std(0).mean())


def head_deviation(motion: np.ndarray) -> float:
    """Standard deviation of the three angles over a motion ``(T, D)``, root mean square, in degrees."""
    return float(np.sqrt(_angles(motion).var(0).mean()))


def head_speed(motion: np.ndarray) -> float:
    """Mean speed of the three angles together, in degrees a second."""
    return float(np.linalg.norm(np.diff(_angles(motion), axis=0), axis=1).mean() * ARKIT.fps)


def _angles(motion: np.ndarray) -> np.ndarray:
    return np.degrees(motion[:, ARKIT.pose][:, :3])


def motion_statistics_table(groups: dict[str, Sequence[np.ndarray]]) -> str:
    """Rates and ranges by group of motions ``(T, D)``: means over the motions."""
    header = ["", "blinks a minute", "brows", "gaze", "head (degrees)", "head (degrees a second)"]
    rows = []
    for name, motions in groups.items():
        minutes = sum(map(len, motions)) / ARKIT.fps / 60
        brows, gaze, head, speed = (
            float(np.mean([measure(m) for m in motions]))
            for measure in (brow_deviation, gaze_deviation, head_deviation, head_speed)
        )
        blinks = sum(map(count_blinks, motions)) / minutes
        rows.append([name, f"{blinks:.1f}", brows, gaze, f"{head:.2f}", f"{speed:.2f}"])
    return markdown_table(header, rows)
