"""Linear prior of blendshapes given a fit to 68 landmarks, estimated from fully tracked faces.

Some blendshapes displace the 68 points similarly: funnel and pucker, a raised and a shrugged upper lip, a squint and a half
closed lid. A fit without a prior distributes a movement over all of them. The prior is a linear regression from such fits to
the tracked blendshapes of the same frames: the tracked motion is projected to 68 points and fitted again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.core.errors import CheckpointError
from emotalker.core.files import replace_on_success

RIDGE = 1e-4  # added to the mean squares, so that blendshapes that hardly move in the corpora predict nothing


@dataclass(frozen=True)
class SparsePrior:
    """Expected blendshapes given a fit without a prior.

    Attributes:
        slopes: ``(52, 52)`` from fitted to expected blendshapes. There is no constant term: a fit at rest gives rest.
    """

    slopes: np.ndarray

    def __call__(self, fitted: np.ndarray) -> np.ndarray:
        """Fitted blendshapes ``(T, 52)`` to expected ones in 0..1."""
        return np.clip(fitted @ self.slopes, 0, 1)

    @classmethod
    def fit(cls, fitted: np.ndarray, tracked: np.ndarray) -> SparsePrior:
        """Ridge regression from fits to 68 points to tracked blendshapes of the same frames, ``(N, 52)`` each."""
        x, y = fitted.astype(np.float64), tracked.astype(np.float64)
        return cls(np.linalg.solve(x.T @ x / len(x) + RIDGE * np.eye(x.shape[1]), x.T @ y / len(x)))

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> SparsePrior:
        """Read a file written by :meth:`save`, by default the packaged one; CheckpointError if it is invalid."""
        path = Path(path) if path is not None else Path(str(files("emotalker") / "assets" / "sparse_prior.npz"))
        try:
            with np.load(path, allow_pickle=False) as file:
                if tuple(file["names"]) != ARKIT_BLENDSHAPES:
                    raise ValueError("its blendshapes are not ARKit's")
                return cls(file["slopes"].astype(np.float64))
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise CheckpointError(f"{path} is not a sparse-landmark prior ({error}); reinstall or rebuild it") from error

    def save(self, path: str | os.PathLike) -> Path:
        """Write an ``.npz``; OutputError if that fails."""
        with replace_on_success(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, names=np.array(ARKIT_BLENDSHAPES), slopes=self.slopes.astype(np.float32))
        return Path(path)
