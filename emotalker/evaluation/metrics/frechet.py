"""Fréchet distance of two sets of features: FID on Inception's, E-FID on expression coefficients."""

from __future__ import annotations

import numpy as np


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of two Gaussians fitted to features ``(N, D)`` and ``(M, D)`` (Heusel et al. 2017, FID).

    ``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))``. It grows with the inverse of N: sets are comparable at equal
    sizes only, which should be well above D.

    Returns:
        NaN with fewer than two features in one of the sets.
    """
    if min(len(a), len(b)) < 2:
        return float("nan")
    a, b = a.astype(np.float64), b.astype(np.float64)
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = _root(covariance_a)
    # trace of (S_a S_b)^(1/2) from a symmetric product, which singular covariances do not disturb
    shared = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(0)).sum()
    trace = np.trace(covariance_a) + np.trace(covariance_b) - 2 * shared
    return float(np.square(a.mean(0) - b.mean(0)).sum() + trace)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Square root of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
