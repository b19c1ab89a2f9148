"""The renderer in a closed loop: one facial action at a time is put into a photo, and read by the landmarker's scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.evaluation.tables import markdown_table
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.resting import entries
from emotalker.render.base import Renderer

#: Facial actions, both sides of the face together.
ACTIONS = (
    "browDown", "browInnerUp", "browOuterUp", "mouthSmile", "mouthFrown", "noseSneer", "eyeSquint", "eyeWide", "jawOpen",
    "mouthPucker", "mouthUpperUp", "mouthStretch",
)  # fmt: skip
LEVELS = np.linspace(0, 1, 6, dtype=np.float32)


def responses(renderer: Renderer, landmarker: FaceLandmarker, actions: Sequence[str] = ACTIONS) -> np.ndarray:
    """Scores of each action, rendered alone at LEVELS, less the score at level 0.

    Returns:
        ``(len(actions), len(LEVELS))``; NaN where no face is found.
    """
    motion = np.zeros((len(actions), len(LEVELS), ARKIT.dim), np.float32)
    for row, action in zip(motion, actions, strict=True):
        row[:, entries(action)] = LEVELS[:, None]
    scores = np.full((len(actions), len(LEVELS)), np.nan)
    for i, frame in enumerate(renderer.render(motion.reshape(-1, ARKIT.dim))):
        action, level = divmod(i, len(LEVELS))
        faces = landmarker.detect(np.ascontiguousarray(frame))
        if faces:
            scores[action, level] = faces[0].scores[entries(actions[action])].mean()
    return scores - scores[:, :1]


def slope_and_correlation(response: np.ndarray) -> tuple[float, float]:
    """Least-squares slope and correlation of scores ``(P, len(LEVELS))`` of P portraits with the levels; NaN are left out."""
    levels = np.broadcast_to(LEVELS, response.shape)
    known = np.isfinite(response)
    x, y = levels[known], response[known]
    if len(x) < 2 or y.std() < 1e-6:
        return 0.0, 0.0
    return float(np.polyfit(x, y, 1)[0]), float(np.corrcoef(x, y)[0, 1])


def response_table(response: np.ndarray, actions: Sequence[str] = ACTIONS) -> str:
    """Slope and correlation by action, from ``(P, len(actions), len(LEVELS))``."""
    rows = [[action, *slope_and_correlation(response[:, i])] for i, action in enumerate(actions)]
    return markdown_table(["", "slope", "r"], rows)
