"""Motion files: ``.npz``, readable with NumPy, or ``.csv``, readable with a spreadsheet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.coefficients.live_link import load_csv
from emotalker.coefficients.space import CoefficientSpace, get_space
from emotalker.coefficients.table import write_table
from emotalker.core.arrays import open_arrays
from emotalker.core.errors import DataError, OutputError
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
        """Write an ``.npz`` with ``coefficients``, ``names``, ``fps`` and ``space``, or a ``.csv`` (:mod:`.table`).

        Raises:
            OutputError: the file cannot be written or has another suffix.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".csv":
            return write_table(path, self.coefficients, self.space)
        if suffix != ".npz":
            raise OutputError(f"cannot write motion to {path}: give a name ending in .npz or .csv")
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
        """Read a file of :meth:`save`, or a recording of Live Link Face (:mod:`.live_link`).

        Frames without a face, in tracked videos, are rows of NaN.

        Raises:
            DataError: it is none, it has no frame, or single values are not finite.
        """
        if Path(path).suffix.lower() == ".csv":
            coefficients, name = load_csv(path)
            return cls(coefficients, get_space(name))
        with open_arrays(path, "{path} is not a motion track written by EmoTalker: {reason}") as file:
            space = get_space(str(file["space"]))
            if tuple(file["names"]) != space.names:
                raise ValueError(f"its entries are not those of the space {space.name} in order")
            track = cls(file["coefficients"].astype(np.float32), space)
        missing = np.isnan(track.coefficients).all(1)
        if not len(missing) or not np.isfinite(track.coefficients[~missing]).all():
            raise DataError(f"{path} has no frames, or single values that are not finite; make it again")
        return track
