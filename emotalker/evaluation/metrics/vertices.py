"""LVE, MVE, FDD, MEE, CE and diversity of 3-D faces, as ProbTalk3D defines them (Wu et al. 2024, arXiv:2409.07966).

ProbTalk3D computes them on FLAME's 5,023 vertices in metres, with head pose zero; here they are computed on this project's
head model in millimetres, so values are comparable between systems that are scored on one head, not with published tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.face.model import FaceModel
from emotalker.face.topology import INNER_LIPS, OUTER_LIPS

MILLIMETRES = 10.0  # in a unit of the head model
#: Vertices of the skin at most this far from a landmark of the lips belong to the lips, in the model's unit (cm).
LIP_DISTANCE = 0.6
MEASURES = ("LVE", "MVE", "FDD", "MEE", "CE", "diversity")


@dataclass(frozen=True)
class FaceVertices:
    """Vertices of the face's front on the average head, and which of them belong to the lips and to the upper face.

    Args:
        model: the head.
    """

    model: FaceModel

    @cached_property
    def face(self) -> np.ndarray:
        """Indices of skin vertices that some blendshape moves by more than 0.1 mm."""
        skin = np.unique(self.model.triangles[self.model.parts["skin"]])
        moved = np.linalg.norm(self.model.blendshape_basis[:, skin], axis=-1).max(0)
        return skin[moved > 0.1 / MILLIMETRES]

    @cached_property
    def lips(self) -> np.ndarray:
        """Positions in :attr:`face` of the lips' vertices."""
        points = self.model.landmark_mean[np.concatenate([*INNER_LIPS, *OUTER_LIPS])]
        rest = self.model.vertices[self.face]
        distance = np.linalg.norm(rest[:, None] - points[None], axis=-1).min(1)
        return np.flatnonzero(distance < LIP_DISTANCE)

    @cached_property
    def upper(self) -> np.ndarray:
        """Positions in :attr:`face` of the upper face: above the lower end of the nose's bridge, that is eyes, brows and
        forehead."""
        return np.flatnonzero(self.model.vertices[self.face, 1] > self.model.landmark_mean[195, 1])

    def displacement(self, motion: np.ndarray) -> np.ndarray:
        """``(T, D)`` of the arkit space to displacements from the neutral head ``(T, V, 3)`` in mm, without head pose."""
        basis = self.model.blendshape_basis[:, self.face]
        return np.tensordot(motion[:, ARKIT.expression], basis, 1) * MILLIMETRES


def lip_vertex_error(made: np.ndarray, real: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Per frame the largest squared distance of a lip vertex, ``(T, V, 3)`` to ``(T,)`` in squared units; its mean is LVE."""
    return np.square(made[:, lips] - real[:, lips]).sum(-1).max(1)


def mean_vertex_error(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Per frame the mean distance of all vertices, ``(T, V, 3)`` to ``(T,)``; its mean is MVE."""
    return np.linalg.norm(made - real, axis=-1).mean(1)


def dynamics(displacement: np.ndarray, upper: np.ndarray) -> float:
    """Mean over the upper face of the standard deviation over time of a vertex' squared displacement, from ``(T, V, 3)``.

    FDD is this of the real motion less that of the generated one (CodeTalker, Xing et al. 2023): positive where the generated
    upper face moves too little.
    """
    return float(np.square(displacement[:, upper]).sum(-1).std(0).mean())


def vertex_measures(samples: Sequence[np.ndarray], real: np.ndarray, lips: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """All MEASURES of one recording, ``(6,)``.

    LVE, MVE and FDD are of the first sample, as in ProbTalk3D. MEE: LVE of the mean of all samples. CE: the smallest LVE of a
    sample. Diversity: mean distance of vertices over all pairs of samples (ProbTalk3D draws five random pairs of ten).

    Args:
        samples: generated displacements ``(T, V, 3)`` from the neutral face.
        real: ``(T, V, 3)``; all are cut to the shortest.
        lips, upper: indices of vertices.

    Returns:
        LVE, MEE and CE in squared units, FDD in squared units, MVE and diversity in units; diversity is NaN for one sample.
    """
    n = min(len(real), *map(len, samples))
    real, samples = real[:n], [s[:n] for s in samples]
    first = samples[0]
    errors = [lip_vertex_error(s, real, lips).mean() for s in samples]
    apart = [mean_vertex_error(a, b).mean() for a, b in combinations(samples, 2)]
    return np.array(
        [
            errors[0],
            mean_vertex_error(first, real).mean(),
            dynamics(real, upper) - dynamics(first, upper),
            lip_vertex_error(np.mean(samples, 0), real, lips).mean(),
            min(errors),
            np.mean(apart) if apart else np.nan,
        ]
    )
