"""Rigid pose, the pinhole camera, and barycentric coordinates in a picture.

Model space: centimetres, x to the viewer's right, y up, z towards the viewer. The camera is at the origin and its optical
axis is -z, so a face in front of it has negative z. Pixels: x right, y down, origin at the picture's top-left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike


def align_rigid(source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares rotation and translation between corresponding points (Kabsch, 1976).

    Args:
        source, target: ``(N, 3)`` corresponding points.
        weights: ``(N,)`` non-negative, or None for equal weights.

    Returns:
        ``rotation (3, 3)``, ``translation (3,)``: ``source @ rotation.T + translation`` approximates ``target``.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    w = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    source_mean, target_mean = w @ source, w @ target
    covariance = (target - target_mean).T @ ((source - source_mean) * w[:, None])
    u, _, vt = np.linalg.svd(covariance)
    handedness = np.sign(np.linalg.det(u @ vt))
    rotation = u @ np.diag([1.0, 1.0, handedness]) @ vt
    return rotation, target_mean - rotation @ source_mean


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with its principal point at the picture's centre.

    Attributes:
        focal: focal length in pixels.
        width, height: picture size in pixels.
    """

    focal: float
    width: int
    height: int

    @classmethod
    def default(cls, width: int, height: int) -> Camera:
        """The camera assumed for a picture of unknown focal length: twice the longer side (28 degrees field of view)."""
        return cls(2.0 * max(width, height), width, height)

    def project(self, points: ArrayLike) -> np.ndarray:
        """Camera-space points ``(..., 3)`` in cm to pixels ``(..., 2)``: u right, v down."""
        points = np.asarray(points)
        scale = self.focal / -points[..., 2]
        return np.stack([self.width / 2 + scale * points[..., 0], self.height / 2 - scale * points[..., 1]], -1)

    def project_with_depth(self, points: ArrayLike) -> np.ndarray:
        """Camera-space points ``(..., 3)`` in cm to ``(..., 3)``: u, v in pixels and depth in cm, for the rasteriser."""
        points = np.asarray(points)
        return np.concatenate([self.project(points), -points[..., 2:]], -1)


def mirror_partners(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each point ``(N, 3)`` the index of the point nearest to its mirror image across x = 0, and their distance."""
    distance, index = scipy.spatial.cKDTree(points).query(points * [-1, 1, 1])
    return index, distance


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals ``(V, 3)`` of a mesh ``(V, 3)``, ``(F, 3)``; counter-clockwise triangles face outwards."""
    corners = vertices[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.empty_like(vertices)
    for axis in range(3):
        normals[:, axis] = np.bincount(triangles.ravel(), np.repeat(face[:, axis], 3), len(vertices))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def barycentric(points: np.ndarray, low: Sequence[int], high: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the pixels of a rectangle lie in the Delaunay triangulation of points.

    Args:
        points: ``(N, 2)`` pixels.
        low, high: ``(x, y)`` of the rectangle's first pixel, and of the pixel after its last.

    Returns:
        ``(H * W, 3)`` indices of the triangle's corners, ``(H * W, 3)`` weights of the corners, and ``(H, W)`` bool, whether
        the pixel is inside the triangulation; outside it, corners and weights are those of an arbitrary triangle.
    """
    rows, columns = np.mgrid[low[1] : high[1], low[0] : high[0]]
    pixels = np.stack([columns, rows], -1).reshape(-1, 2) + 0.5
    mesh = scipy.spatial.Delaunay(points)
    triangle = mesh.find_simplex(pixels)
    known = np.maximum(triangle, 0)
    transform = mesh.transform[known]
    weights = np.einsum("nij,nj->ni", transform[:, :2], pixels - transform[:, 2])
    weights = np.concatenate([weights, 1 - weights.sum(1, keepdims=True)], 1)
    return mesh.simplices[known], weights, (triangle >= 0).reshape(rows.shape)
