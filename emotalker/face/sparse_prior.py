"""What 68 landmarks do not show, learnt from faces of which a tracker saw everything.

Several blendshapes move the 68 points alike: a funnel and a pucker, a raised upper lip and a shrugged one, a squint and a half
shut lid. A fit without a prior shares a movement out among all of them. Real faces do not, and the tracked corpora say how
they do: their motion is reduced to 68 points and fitted, and a linear regression leads from that back to what was tracked.
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

RIDGE = 1e-4  # of the mean square of a frame's blendshapes: what hardly moves in the corpora predicts nothing


@dataclass(frozen=True)
class SparsePrior:
    """Where a face's blendshapes most probably are, given the fit without a prior.

    Attributes:
        slopes: ``(52, 52)`` from fitted to expected blendshapes. There is no constant: a face at rest is expected to rest.
    """

    slopes: np.ndarray

    def __call__(self, fitted: np.ndarray) -> np.ndarray:
        """Fitted blendshapes ``(T, 52)`` to expected ones in 0..1."""
        return np.clip(fitted @ self.slopes, 0, 1)

    @classmethod
    def learn(cls, fitted: np.ndarray, tracked: np.ndarray) -> SparsePrior:
        """Ridge regression over frames of the same faces, fitted to 68 points and tracked, ``(N, 52)`` each."""
        x, y = fitted.astype(np.float64), tracked.astype(np.float64)
        return cls(np.linalg.solve(x.T @ x / len(x) + RIDGE * np.eye(x.shape[1]), x.T @ y / len(x)))

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> SparsePrior:
        """Read a file of :meth:`save`, by default the packaged one; CheckpointError if it is none."""
        path = Path(path) if path is not None else Path(str(files("emotalker") / "assets" / "sparse_prior.npz"))
        try:
            with np.load(path, allow_pickle=False) as file:
                if tuple(file["names"]) != ARKIT_BLENDSHAPES:
                    raise ValueError("its blendshapes are not ARKit's")
                return cls(file["slopes"].astype(np.float64))
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise CheckpointError(f"{path} is no prior of sparse landmarks ({error}); reinstall or rebuild it") from error

    def save(self, path: str | os.PathLike) -> Path:
        """Write an ``.npz``; OutputError if that cannot be done."""
        with replace_on_success(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, names=np.array(ARKIT_BLENDSHAPES), slopes=self.slopes.astype(np.float32))
        return Path(path)
