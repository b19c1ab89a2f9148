"""Interpolates scattered displacements to a dense field that is discontinuous only across the lips and the eyelids.

A smooth interpolant in the plane cannot separate two lips, because points a pixel apart must move alike. Every point
therefore gets a third coordinate: positive above an opening, negative below it, largest in the middle and zero at the
corners. In this lifted space the lips are far apart, so one smooth radial-basis interpolant gives a field that is
discontinuous across the opening and smooth around its corners. Evaluated with the lifted coordinate of one side everywhere,
the field extends that side's motion past the opening: the upper and the lower *layer*.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from scipy.spatial.distance import cdist

from emotalker.render.opening_line import LOWER, UPPER, OpeningLine
from emotalker.render.sampling import COMPILED

#: Constant of the multiquadric kernel, in units of the field's scale; below the distance of neighbouring points.
_TIP = 0.015
#: Channels up to which a field is evaluated by a compiled loop, which needs no matrix of all distances; with more, a matrix
#: product is faster.
_FEW_CHANNELS = 4


class DisplacementField:
    """A vector-valued interpolant over the plane with discontinuities across opening lines.

    The kernel is the multiquadric with an affine part. It is smoother than linear interpolation and does not overshoot like
    thin-plate splines where points are sparse.

    Args:
        points: ``(N, 2)`` pixels.
        values: ``(N, C)`` at the points.
        lines: where the field may be discontinuous.
        sides: indices of the points above and below each line. Detected points of closed lips may be on the wrong side of the
            line by a pixel.
        scale: unit of length, pixels (a face height); makes smoothing independent of the resolution.
        smoothing: weight of smoothness against exact interpolation; reduces the noise of single points.
    """

    def __init__(
        self,
        points: np.ndarray,
        values: np.ndarray,
        lines: Sequence[OpeningLine],
        sides: Sequence[tuple[np.ndarray, np.ndarray]],
        scale: float,
        smoothing: float = 5e-3,
    ):
        self.lines, self.scale = tuple(lines), scale
        height = np.zeros(len(points))
        for line, (upper, lower) in zip(self.lines, sides, strict=True):
            side = np.where(line.local(points)[1] < 0, UPPER, LOWER)
            side[upper], side[lower] = UPPER, LOWER
            height += line.height(points, side)
        self._centres = np.column_stack([points, height]) / scale
        n = len(points)
        affine = self._affine(self._centres)
        system = np.zeros((n + 4, n + 4))
        system[:n, :n] = self._kernel(self._centres) + smoothing * np.eye(n)
        system[:n, n:], system[n:, :n] = affine, affine.T
        system[n:, n:] = 1e-9 * np.eye(4)
        right = np.zeros((n + 4, values.shape[1]))
        right[:n] = values
        self._weights = np.linalg.solve(system, right).astype(np.float32)

    @staticmethod
    def _affine(lifted: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(lifted)), lifted])

    def _kernel(self, lifted: np.ndarray) -> np.ndarray:
        return -np.sqrt(cdist(lifted, self._centres, "sqeuclidean") + _TIP**2)

    def __call__(self, points: np.ndarray, side: float | None = None, line: int | None = None) -> np.ndarray:
        """Evaluate at points ``(M, 2)`` in pixels: ``(M, C)`` float32.

        Args:
            points: where to evaluate.
            side: UPPER or LOWER, to extend that side's layer across the line with index ``line``.
            line: index of that line.
        """
        height = np.zeros(len(points))
        for index, opening_line in enumerate(self.lines):
            height += opening_line.height(points, side if index == line else None)
        lifted = np.column_stack([points, height]) / self.scale
        n = len(self._centres)
        affine = self._affine(lifted).astype(np.float32) @ self._weights[n:]
        if self._weights.shape[1] > _FEW_CHANNELS:
            return self._kernel(lifted).astype(np.float32) @ self._weights[:n] + affine
        columns = (np.ascontiguousarray(a.T, np.float32) for a in (lifted, self._centres, self._weights[:n]))
        add_multiquadrics(*columns, affine)
        return affine


@njit(**COMPILED)
def add_multiquadrics(points, centres, weights, out):
    """``out[m] -= sum_n weights[:, n] sqrt(|points[:, m] - centres[:, n]|^2 + tip^2)``.

    Args:
        points, centres: ``(3, M)`` and ``(3, N)`` float32.
        weights: ``(C, N)`` float32.
        out: ``(M, C)`` float32, changed.
    """
    tip = np.float32(_TIP * _TIP)
    distances = np.empty(centres.shape[1], np.float32)
    for m in range(points.shape[1]):
        x, y, z = points[0, m], points[1, m], points[2, m]
        for n in range(centres.shape[1]):
            dx, dy, dz = x - centres[0, n], y - centres[1, n], z - centres[2, n]
            distances[n] = np.sqrt(dx * dx + dy * dy + dz * dz + tip)
        for c in range(weights.shape[0]):
            total = np.float32(0)
            for n in range(centres.shape[1]):
                total += weights[c, n] * distances[n]
            out[m, c] -= total
