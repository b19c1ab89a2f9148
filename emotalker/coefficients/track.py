"""Motion files: one ``.npz`` per clip, readable with NumPy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.coefficients.space import CoefficientSpace, get_space
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success


@dataclass
class MotionTrack:
    """A motion and its coefficient space.

    Attributes:
        coefficients: ``(T, D)`` float32 in the space's order and units.
        space: the layout, including ``fps``.
    """

    coefficients: np.ndarray
    space: CoefficientSpace

    def __post_init__(self) -> None:
        if self.coefficients.ndim != 2 or self.coefficients.shape[1] != self.space.dim:
            raise ValueError(f"a {self.space.name} track is (T, {self.space.dim}), not {self.coefficients.shape}")

    def save(self, path: str | os.PathLike) -> Path:
        """Write ``coefficients``, ``names``, ``fps`` and ``space`` to an ``.npz``; OutputError if that fails."""
        with replace_on_success(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                coefficients=self.coefficients.astype(np.float32),
                names=np.array(self.space.names),
                fps=self.space.fps,
                space=self.space.name,
            )
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> MotionTrack:
        """Read a file written by :meth:`save`; DataError if it is not one."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(file["coefficients"].astype(np.float32), get_space(str(file["space"])))
        except (OSError, KeyError, ValueError) as error:
            raise DataError(f"{path} is not a motion track written by EmoTalker: {error}") from error
