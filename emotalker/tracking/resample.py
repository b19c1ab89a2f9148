"""Motion at the times of a video's frames to motion at a steady rate."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from emotalker.coefficients import CoefficientSpace
from emotalker.face.geometry import rotation_angles, rotation_matrix
from emotalker.training.calibration import BLINKS

#: Seconds between two frames above which the first is taken to stand still until the second is shown.
MAX_INTERVAL = 0.25


def fast_entries(space: CoefficientSpace) -> np.ndarray:
    """Entries whose short extremes matter: lips, and blinks if the space names them."""
    return np.union1d(space.lip, [space.index(name) for name in BLINKS if name in space.names]).astype(int)


def resample_motion(
    times: np.ndarray, coefficients: np.ndarray, space: CoefficientSpace, fps: float, duration: float | None = None
) -> np.ndarray:
    """Resample a motion with any timing.

    Angles are interpolated as rotations (spherically), the rest linearly; the lips' and the blinks' extremes, which fall
    between two frames otherwise, go to the nearest frame in full. Where the face was not seen nothing is made up: a frame is
    known if the frames around it are, or if the nearest one is and lies within half a frame.

    Args:
        times: ``(N,)`` seconds, strictly increasing.
        coefficients: ``(N, D)``; a row that holds NaN is a frame without a face.
        space: the layout.
        fps: of the result.
        duration: seconds it covers, from time 0; by default to the last frame's end.

    Returns:
        ``(T, D)`` float32, frame k at k / fps; NaN where the face is not known.
    """
    times = np.asarray(times, np.float64)
    if duration is None:
        duration = times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 1 / fps)
    targets = np.arange(max(1, round(duration * fps))) / fps
    return sample_motion(times, coefficients, space, targets, 1 / fps)


def sample_motion(
    times: np.ndarray, coefficients: np.ndarray, space: CoefficientSpace, targets: np.ndarray, period: float
) -> np.ndarray:
    """:func:`resample_motion` at given ``targets (T,)``, a ``period`` apart, in seconds."""
    times, values = np.asarray(times, np.float64), np.asarray(coefficients, np.float64)
    known = np.isfinite(values).all(1)
    after = np.searchsorted(times, targets, side="right").clip(1, max(len(times) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    interval = np.where(after > before, times[after] - times[before], 1.0)
    share = ((targets - times[before]) / interval).clip(0, 1)
    share = np.where((interval > MAX_INTERVAL) & (share < 1), 0.0, share)
    nearest = np.where(share < 0.5, before, after)
    both = known[before] & known[after]
    close = known[nearest] & (np.abs(targets - times[nearest]) <= period / 2 + 1e-6)
    reach = np.maximum(period, np.diff(times).max(initial=0.0).clip(max=MAX_INTERVAL))
    inside = (targets >= times[0] - period / 2 - 1e-6) & (targets <= times[-1] + reach)
    share = np.where(both, share, (nearest == after) & (after > before))
    usable = inside & (both | close)

    out = np.full((len(targets), space.dim), np.nan)
    first, second, weight = values[before[usable]], values[after[usable]], share[usable, None]
    first, second = np.where(weight == 1, second, first), np.where(weight == 0, first, second)  # the other may be NaN
    out[usable] = first + weight * (second - first)
    angles = np.arange(space.dim)[space.pose][:3]
    out[np.ix_(usable, angles)] = _slerp(first[:, angles], second[:, angles], weight)
    _keep_extremes(out, targets, period, times, values, fast_entries(space))
    return out.astype(np.float32)


def _slerp(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if len(first) == 0:
        return first
    start, stop = (Rotation.from_matrix(rotation_matrix(angles)) for angles in (first, second))
    turn = (start.inv() * stop).as_rotvec() * weight
    return rotation_angles((start * Rotation.from_rotvec(turn)).as_matrix())


def _keep_extremes(
    out: np.ndarray, targets: np.ndarray, period: float, times: np.ndarray, values: np.ndarray, entries: np.ndarray
) -> None:
    """Write the local extremes of the fast entries into the nearest target frames; of several, the one that stands out most
    from the frames before and after."""
    if len(times) < 3:
        return
    chosen = values[:, entries]
    row, column = np.nonzero(_turning(chosen))
    frame = np.round((times[row] - targets[0]) / period).astype(int)
    near = (frame >= 0) & (frame < len(targets))
    row, column, frame = row[near], column[near], frame[near]
    padded = np.pad(out[:, entries], ((1, 1), (0, 0)), mode="edge")
    height = np.abs(chosen[row, column] - (padded[frame, column] + padded[frame + 2, column]) / 2)
    known = np.isfinite(height) & np.isfinite(out[frame, entries[column]])
    order = np.flatnonzero(known)[np.argsort(height[known], kind="stable")]  # the highest is written last
    row, column, frame = row[order], column[order], frame[order]
    out[frame, entries[column]] = chosen[row, column]


def _turning(values: np.ndarray) -> np.ndarray:
    """Where each column of ``(N, C)`` turns from rising to falling or back, plateaus whole: bool, same shape."""
    sign = np.sign(np.nan_to_num(np.diff(values, axis=0)))
    step = np.arange(len(sign))[:, None]
    before = np.maximum.accumulate(np.where(sign != 0, step, 0))  # the last step that was no standstill
    after = np.minimum.accumulate(np.where(sign != 0, step, len(sign) - 1)[::-1])[::-1]
    turning = np.zeros(values.shape, bool)
    turning[1:-1] = np.take_along_axis(sign, before[:-1], 0) * np.take_along_axis(sign, after[1:], 0) < 0
    return turning
