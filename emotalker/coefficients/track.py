"""Motion files: ``.npz``, readable with NumPy, or ``.csv``, readable with a spreadsheet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotalker.coefficients.live_link import load_csv
from emotalker.coefficients.space import CoefficientSpace, get_space
from emotalker.coefficients.table import write_table
from emotalker.core.arrays import open_arrays
from emotalker.core.errors import DataError, MissingExtraError, OutputError
from emotalker.core.files import replace_on_success

if TYPE_CHECKING:
    import pandas


@dataclass
class MotionTrack:
    """A motion and its coefficient space. ``motion["jawOpen"]`` is a column, ``np.asarray(motion)`` all of them.

    Attributes:
        coefficients: ``(T, D)`` float32 in the space's order and units.
        space: the layout, including ``fps``.
    """

    coefficients: np.ndarray
    space: CoefficientSpace

    def __post_init__(self) -> None:
        if self.coefficients.ndim != 2 or self.coefficients.shape[1] != self.space.dim:
            raise ValueError(f"a {self.space.name} track is (T, {self.space.dim}), not {self.coefficients.shape}")

    def __len__(self) -> int:
        return len(self.coefficients)

    def __getitem__(self, name: str) -> np.ndarray:
        """The column ``(T,)`` of an entry, a view; KeyError if the space has no such entry."""
        if name not in self.space.names:
            raise KeyError(f"{name!r}; the entries of the space {self.space.name} are {', '.join(self.space.names)}")
        return self.coefficients[:, self.space.index(name)]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.coefficients, dtype, copy=copy)

    @property
    def times(self) -> np.ndarray:
        """``(T,)`` float64 seconds of the frames from the start."""
        return np.arange(len(self)) / self.space.fps

    def table(self) -> dict[str, np.ndarray]:
        """Columns ``(T,)`` by name, for ``pandas.DataFrame``: ``time`` in seconds, then every entry of the space.

        Blendshapes are 0..1, angles in radians, translations in centimetres.
        """
        return {"time": self.times} | {name: self[name] for name in self.space.names}

    def to_frame(self) -> pandas.DataFrame:
        """:meth:`table` as a pandas data frame with the time as its index.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingExtraError("a data frame needs pandas: pip install pandas") from error
        return pandas.DataFrame(self.table()).set_index("time")

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

    def without_gaps(self, path: str | os.PathLike) -> MotionTrack:
        """The motion with the nearest frame with a face in place of each without; DataError with ``path`` if none has one."""
        found = np.flatnonzero(np.isfinite(self.coefficients).all(1))
        if not len(found):
            raise DataError(f"no frame of {path} has a face; give one with a clearly visible face")
        frames = np.arange(len(self.coefficients))
        after = np.searchsorted(found, frames).clip(0, len(found) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.abs(found[before] - frames) <= np.abs(found[after] - frames)
        return type(self)(self.coefficients[found[np.where(nearer, before, after)]], self.space)

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
            if float(file["fps"]) != space.fps:
                raise ValueError(f"it has {file['fps']} frames/s, and the space {space.name} {space.fps}")
            if tuple(file["names"]) != space.names:
                raise ValueError(f"its entries are not those of the space {space.name} in order")
            track = cls(file["coefficients"].astype(np.float32), space)
        missing = np.isnan(track.coefficients).all(axis=1)
        if not missing.size or not np.isfinite(track.coefficients[~missing]).all():
            raise DataError(f"{path} has no frames, or single values that are not finite; make it again")
        return track
