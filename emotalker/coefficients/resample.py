"""Resampling in time: constant frame rates, irregular frame times, and changes of speed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.coefficients.space import BLINKS, CoefficientSpace

#: Interval in seconds above which two frames are not interpolated: the first is repeated up to the second.
MAX_INTERVAL = 0.25


def resampled_length(frames: int, fps: float, new_fps: float) -> int:
    """Number of frames at ``new_fps`` within the duration of ``frames`` at ``fps``; at least 1."""
    return max(1, int(np.floor(frames * new_fps / fps + 1e-6)))


def resample(values: np.ndarray, fps: float, new_fps: float) -> np.ndarray:
    """Resample over time by cubic convolution (Keys 1981), with a wider kernel against aliasing when downsampling.

    Args:
        values: ``(T, ...)`` at ``fps``; finite.

    Returns:
        ``(T', ...)`` in the same floating type, frame k at time k / ``new_fps``; the end frames are repeated.
    """
    if abs(fps - new_fps) < 1e-6:
        return values
    width = max(1.0, fps / new_fps)
    centres = np.arange(resampled_length(len(values), fps, new_fps)) * (fps / new_fps)
    taps = np.floor(centres)[:, None] + np.arange(-np.ceil(2 * width), np.ceil(2 * width) + 1)
    weights = _keys(np.abs(taps - centres[:, None]) / width)
    weights /= weights.sum(1, keepdims=True)
    frames = taps.astype(int).clip(0, len(values) - 1)
    flat = values.reshape(len(values), -1)
    out = np.einsum("ok,okc->oc", weights, flat[frames])
    return out.reshape(len(centres), *values.shape[1:]).astype(values.dtype)


def resample_angles(angles: np.ndarray, fps: float, new_fps: float) -> np.ndarray:
    """Resample pitch, yaw, roll ``(T, 3)`` in radians as normalised quaternions of continuous sign."""
    if abs(fps - new_fps) < 1e-6:
        return angles
    from scipy.spatial.transform import Rotation  # imported here, because that takes a tenth of a second

    quaternions = Rotation.from_matrix(rotation_matrix(angles.astype(np.float64))).as_quat()
    flips = np.cumprod(np.where((quaternions[1:] * quaternions[:-1]).sum(1) < 0, -1, 1))
    quaternions[1:] *= flips[:, None]
    return rotation_angles(Rotation.from_quat(resample(quaternions, fps, new_fps)).as_matrix()).astype(angles.dtype)


def _keys(x: np.ndarray) -> np.ndarray:
    """Keys' cubic kernel for non-negative distances, a = -1/2."""
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def fast_entries(space: CoefficientSpace) -> np.ndarray:
    """Entries with short extremes that resampling must keep: lips, and blinks if the space contains them."""
    return np.union1d(space.lip, [space.index(name) for name in BLINKS if name in space.names]).astype(int)


def frames_at(frames: int, fps: float, new_fps: float) -> int:
    """The smallest number of frames at ``new_fps`` that lasts as long as ``frames`` at ``fps``."""
    return int(np.ceil(frames * new_fps / fps - 1e-6))


def change_frame_rate(motion: np.ndarray, space: CoefficientSpace, new_fps: float) -> np.ndarray:
    """A motion at a higher frame rate, of the same duration.

    Blendshapes are interpolated by monotone cubics (Fritsch and Carlson 1980), which never leave the range of the two frames
    around them, so that lips that stay closed stay closed; the pose by cubic convolution. Where the lips close or the lids
    are shut for one frame only, the nearest new frame takes this frame as it is: a closure between two new frames would be
    lost otherwise.

    Args:
        motion: ``(T, D)`` at the space's rate.
        new_fps: not below it.

    Returns:
        ``(T', D)`` float32, frame k at time k / ``new_fps``; T' is the smallest number that lasts as long. The last frame is
        repeated.
    """
    if abs(space.fps - new_fps) < 1e-6:
        return motion
    length = frames_at(len(motion), space.fps, new_fps)
    padded = np.concatenate([motion, motion[-1:], motion[-1:]]).astype(np.float64)
    times = np.arange(length) * (space.fps / new_fps)
    from scipy.interpolate import PchipInterpolator  # imported here, because that takes half a second

    curve = PchipInterpolator(np.arange(len(padded)), padded)
    out = curve(times)
    for entries, openness in _openings(padded, space):
        (at,) = np.nonzero(_turning(openness[:, None])[:, 0])
        shut = at[openness[at] <= np.minimum(openness[at - 1], openness[at + 1])]
        nearest = np.rint(shut * (new_fps / space.fps)).astype(int)
        inside = nearest < length
        out[np.ix_(nearest[inside], entries)] = padded[np.ix_(shut[inside], entries)]
    angles, shifts = np.split(np.arange(space.dim)[space.pose], [3])
    out[:, angles] = resample_angles(padded[:, angles], space.fps, new_fps)[:length]
    out[:, shifts] = resample(padded[:, shifts], space.fps, new_fps)[:length]
    return out.astype(np.float32)


def _openings(motion: np.ndarray, space: CoefficientSpace) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Entries of lips and of lids, and how far they are open in each frame ``(T,)``; none in spaces without such names."""
    if {"jawOpen", "mouthClose"} <= set(space.names):
        yield space.lip, motion[:, space.index("jawOpen")] - motion[:, space.index("mouthClose")]
    if set(BLINKS) <= set(space.names):
        lids = space.indices(BLINKS)
        yield lids, -motion[:, lids].sum(1)


def resample_motion(
    times: np.ndarray, coefficients: np.ndarray, space: CoefficientSpace, fps: float, duration: float | None = None
) -> np.ndarray:
    """Resample a motion with irregular frame times.

    Angles are interpolated spherically, all other entries linearly. Local extremes of lips and blinks are copied to the
    nearest frame, because interpolation would flatten them. Missing frames are not interpolated: a frame is valid if both
    neighbours are, or if the nearest one is and is at most half a frame away.

    Args:
        times: ``(N,)`` seconds, strictly increasing.
        coefficients: ``(N, D)``; a row with NaN is a frame without a face.
        space: the layout.
        fps: of the result.
        duration: of the result in seconds, from time 0; by default up to the end of the last frame.

    Returns:
        ``(T, D)`` float32, frame k at k / fps; NaN for missing frames.
    """
    times = np.asarray(times, np.float64)
    if duration is None:
        duration = times[-1] + (min(np.median(np.diff(times)), MAX_INTERVAL) if len(times) > 1 else 1 / fps)
    targets = np.arange(max(1, round(duration * fps))) / fps
    return sample_motion(times, coefficients, space, targets, 1 / fps)


def sample_motion(
    times: np.ndarray, coefficients: np.ndarray, space: CoefficientSpace, targets: np.ndarray, period: float
) -> np.ndarray:
    """:func:`resample_motion` at given ``targets (T,)``, a ``period`` apart, in seconds."""
    times, values = np.asarray(times, np.float64), np.asarray(coefficients, np.float64)
    valid = np.isfinite(values).all(1)
    after = np.searchsorted(times, targets, side="right").clip(1, max(len(times) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    interval = np.where(after > before, times[after] - times[before], 1.0)
    weight = ((targets - times[before]) / interval).clip(0, 1)
    weight = np.where((interval > MAX_INTERVAL) & (weight < 1), 0.0, weight)
    nearest = np.where(weight < 0.5, before, after)
    both = valid[before] & valid[after]
    close = valid[nearest] & (np.abs(targets - times[nearest]) <= period / 2 + 1e-6)
    reach = np.maximum(period, np.diff(times).max(initial=0.0).clip(max=MAX_INTERVAL))
    inside = (targets >= times[0] - period / 2 - 1e-6) & (targets <= times[-1] + reach)
    weight = np.where(both, weight, (nearest == after) & (after > before))
    usable = inside & (both | close)

    out = np.full((len(targets), space.dim), np.nan)
    first, second, weight = values[before[usable]], values[after[usable]], weight[usable, None]
    # a neighbour with weight 0 may be NaN
    first, second = np.where(weight == 1, second, first), np.where(weight == 0, first, second)
    out[usable] = first + weight * (second - first)
    angles = np.arange(space.dim)[space.pose][:3]
    out[np.ix_(usable, angles)] = _slerp(first[:, angles], second[:, angles], weight)
    _keep_extremes(out, targets, period, times, values, fast_entries(space))
    return out.astype(np.float32)


def _slerp(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Spherical interpolation of Euler angles ``(N, 3)`` with weights ``(N, 1)``."""
    if len(first) == 0:
        return first
    from scipy.spatial.transform import Rotation  # imported here, because that takes a tenth of a second

    start, stop = (Rotation.from_matrix(rotation_matrix(angles)) for angles in (first, second))
    turn = (start.inv() * stop).as_rotvec() * weight
    return rotation_angles((start * Rotation.from_rotvec(turn)).as_matrix())


def _keep_extremes(
    out: np.ndarray, targets: np.ndarray, period: float, times: np.ndarray, values: np.ndarray, entries: np.ndarray
) -> None:
    """Write local extremes of the given entries into the nearest target frames. If there are several for one frame, the one
    that differs most from the mean of the neighbouring frames is used."""
    if len(times) < 3:
        return
    chosen = values[:, entries]
    row, column = np.nonzero(_turning(chosen))
    frame = np.round((times[row] - targets[0]) / period).astype(int)
    near = (frame >= 0) & (frame < len(targets))
    row, column, frame = row[near], column[near], frame[near]
    padded = np.pad(out[:, entries], ((1, 1), (0, 0)), mode="edge")
    height = np.abs(chosen[row, column] - (padded[frame, column] + padded[frame + 2, column]) / 2)
    finite = np.isfinite(height) & np.isfinite(out[frame, entries[column]])
    order = np.flatnonzero(finite)[np.argsort(height[finite], kind="stable")]  # the largest is written last
    row, column, frame = row[order], column[order], frame[order]
    out[frame, entries[column]] = chosen[row, column]


def _turning(values: np.ndarray) -> np.ndarray:
    """Local extremes of each column of ``(N, C)``, including plateaus: bool, same shape."""
    sign = np.sign(np.nan_to_num(np.diff(values, axis=0)))
    step = np.arange(len(sign))[:, None]
    before = np.maximum.accumulate(np.where(sign != 0, step, 0))  # the last step with a change
    after = np.minimum.accumulate(np.where(sign != 0, step, len(sign) - 1)[::-1])[::-1]
    turning = np.zeros(values.shape, bool)
    turning[1:-1] = np.take_along_axis(sign, before[:-1], 0) * np.take_along_axis(sign, after[1:], 0) < 0
    return turning


def change_speed(values: np.ndarray, speed: float, frames: int, axis: int = 0) -> np.ndarray:
    """The first ``frames`` frames of a track at another speed, linearly interpolated.

    Args:
        values: frames along ``axis``; floating point.
        speed: factor; 1.1 is 10% faster.
        frames: length of the result along ``axis``; the last frame is repeated beyond the end.
    """
    # the time of a frame is the centre of its interval
    length = values.shape[axis]
    time = np.clip((np.arange(frames) + 0.5) * speed - 0.5, 0, length - 1)
    before = np.minimum(time.astype(int), max(0, length - 2))
    weight = (time - before).astype(np.float32).reshape([-1 if i == axis % values.ndim else 1 for i in range(values.ndim)])
    first, second = (np.take(values, index, axis) for index in (before, np.minimum(before + 1, length - 1)))
    return first * (1 - weight) + second * weight
