"""Motion as CSV: a column of times in seconds and one for each entry of the coefficient space.

Live Link Face's files, which have a column ``Timecode``, are read by :mod:`emotalker.coefficients.live_link`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotalker.coefficients.resample import resample_motion
from emotalker.coefficients.space import SPACES, CoefficientSpace
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.limits import MAX_SECONDS

#: Largest file that is read, bytes: an hour at 60 frames/s is about a tenth of it.
MAX_BYTES = 1 << 30
#: Times may differ by this much from a regular grid to be taken for it, seconds.
TIME_TOLERANCE = 2e-3


def write_rows(path: str | os.PathLike, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """Write a CSV file; OutputError if that fails."""
    with replace_on_success(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return Path(path)


def read_rows(path: str | os.PathLike) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file; blank lines are skipped.

    Raises:
        DataError: it is no CSV file with a header and a row, or rows differ in length.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES >> 20} MiB; cut it into shorter recordings")
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path} as CSV: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path} has no rows; give a CSV file with a header and a row for each frame")
    header = [cell.strip() for cell in rows[0]]
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(f"{path}, row {line}: {len(row)} values for {len(header)} columns")
    return header, rows[1:]


def numbers(path: str | os.PathLike, header: Sequence[str], rows: list[list[str]]) -> np.ndarray:
    """Cells as ``(N, C)`` float64; DataError with row and column of the first cell that is no finite number."""
    values = np.empty((len(rows), len(header)))
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            try:
                values[r, c] = float(cell)
            except ValueError:
                values[r, c] = np.nan
            if not np.isfinite(values[r, c]):
                raise DataError(f"{path}, row {r + 2}, column {header[c]}: {cell!r} is not a number")
    return values


def on_grid(path: str | os.PathLike, times: np.ndarray, values: np.ndarray, space: CoefficientSpace) -> np.ndarray:
    """Frames at ``times (N,)`` seconds to the space's frame rate: ``(T, D)`` float32.

    The first frame is at time 0 of the result. Values are unchanged if the times already have that rate.

    Raises:
        DataError: times do not increase, or last for more than a day.
    """
    steps = np.diff(times)
    if (steps <= 0).any():
        raise DataError(f"{path}, row {int(np.argmax(steps <= 0)) + 3}: the time does not increase")
    times = times - times[0]
    if not times[-1] <= MAX_SECONDS:
        raise DataError(f"{path} lasts {times[-1]:.3g} s, more than a day; are its times in seconds?")
    if np.abs(times - np.arange(len(times)) / space.fps).max() <= TIME_TOLERANCE:
        return values.astype(np.float32)
    return resample_motion(times, values, space, space.fps)


def write_table(path: str | os.PathLike, coefficients: np.ndarray, space: CoefficientSpace) -> Path:
    """Write a motion ``(T, D)`` as CSV with the shortest decimals that give the same float32; OutputError if that fails."""
    rows = [
        [f"{frame / space.fps:.6g}", *(np.format_float_positional(value, trim="-") for value in row)]
        for frame, row in enumerate(np.asarray(coefficients, np.float32))
    ]
    return write_rows(path, ["time", *space.names], rows)


def read_table(path: str | os.PathLike, header: list[str], rows: list[list[str]]) -> tuple[np.ndarray, CoefficientSpace]:
    """A motion ``(T, D)`` float32 and its space from the header and rows of a CSV file.

    Columns may be in any order. Those of the face that are missing are zero, as in files edited by hand; unknown ones are an
    error.

    Raises:
        DataError: columns or values are missing, unknown or no numbers.
    """
    names = [name for name in header if name != "time"]
    if len(names) + 1 != len(header) or len(set(names)) != len(names):
        raise DataError(f"{path} needs one column named time and no column twice")
    space = next((s for s in SPACES.values() if names and set(names) <= set(s.names)), None)
    if space is None:
        known = {name for s in SPACES.values() for name in s.names}
        unknown = [name for name in names if name not in known]
        raise DataError(
            f"{path} has columns that no coefficient space has together: {', '.join((unknown or names)[:3])}; "
            "write one with emotalker infer --coefficients m.csv to see the names"
        )
    values = numbers(path, header, rows)
    full = np.zeros((len(rows), space.dim))
    full[:, space.indices(names)] = values[:, [i for i, name in enumerate(header) if name != "time"]]
    return on_grid(path, values[:, header.index("time")], full, space), space
