"""How far lip blendshapes part the lips, so that expressions do not open closures (docs/method.md 9)."""

from __future__ import annotations

from functools import cache

import numpy as np

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.space import EXPRESSIVE_LIPS
from emotalker.face.model import FaceModel
from emotalker.face.topology import EYE_CORNERS, INNER_LIPS


@cache
def lip_parting() -> np.ndarray:
    """Lip gap of the average head, over its eye distance, per unit of each lip entry of the arkit space, ``(L,)`` float32.

    Zero for EXPRESSIVE_LIPS: the head model parts the lips with them, people need not.
    """
    model, middle = FaceModel.load(), slice(3, 8)
    lower, upper = INNER_LIPS.lower[middle], INNER_LIPS.upper[middle]
    down = -(model.landmark_blendshapes[:, lower, 1] - model.landmark_blendshapes[:, upper, 1]).mean(1)  # y is up
    eyes = model.landmark_mean[EYE_CORNERS]
    distance = np.linalg.norm(eyes[0] + eyes[1] - eyes[2] - eyes[3]) / 2
    parting = dict(zip(ARKIT_BLENDSHAPES, down / distance, strict=True))
    return np.array([0.0 if n.startswith(EXPRESSIVE_LIPS) else parting.get(n, 0.0) for n in ARKIT.lip_names], np.float32)
