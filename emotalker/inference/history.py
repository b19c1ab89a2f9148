"""The last rows of an array that grows, for computations on a stream with constant memory."""

from __future__ import annotations

import numpy as np


class History:
    """Rows of a stream, addressed by their number in the stream; all but the last ``capacity`` are forgotten.

    Args:
        capacity: number of rows that are kept.
        shape: of a row.

    Attributes:
        end: number of rows of the stream so far.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...] = ()):
        self.capacity, self.end = capacity, 0
        self._rows = np.zeros((0, *shape), np.float32)

    @property
    def start(self) -> int:
        """Number of the first row that is kept."""
        return self.end - len(self._rows)

    def append(self, rows: np.ndarray) -> None:
        """Add rows ``(N, ...)``."""
        self._rows = np.concatenate([self._rows, rows])[-self.capacity :].astype(np.float32, copy=False)
        self.end += len(rows)

    def replace_last(self, rows: np.ndarray) -> None:
        """Write rows in place of as many last ones."""
        if len(rows):
            self._rows[-len(rows) :] = rows

    def __call__(self, start: int, end: int) -> np.ndarray:
        """Rows ``start .. end``, ``end`` excluded; rows before the stream's first and after its last repeat these.

        Raises:
            ValueError: a row was forgotten, or there is none.
        """
        if not self.end or (start < self.start and self.start > 0):
            raise ValueError(f"rows from {start} on are asked for, rows {self.start} to {self.end} are kept")
        if start >= self.start and end <= self.end:
            return self._rows[start - self.start : end - self.start]
        return self._rows[np.arange(start, end).clip(self.start, self.end - 1) - self.start]
