"""Detection of cuts between the shots of a video."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

THUMBNAIL = 32  # pixels
BINS = 16
#: Thresholds of a cut: the mean change of the pixels (1 is full scale), and either its ratio to the shot's median change or
#: the change of the colour histogram. Fast head turns reach a mean change of 0.06 and a histogram change of 0.15.
MIN_CHANGE, RELATIVE_CHANGE, MIN_COLOR_CHANGE = 0.10, 5.0, 0.45
HISTORY = 12  # frames
#: Largest motion of one face between two frames, in face sizes, and largest ratio of its sizes.
MAX_STEP, MAX_SCALING = 0.5, 1.5


class CutDetector:
    """Compares thumbnails of successive frames; must be called with every frame in order."""

    def __init__(self) -> None:
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._shape: tuple[int, ...] | None = None
        self._changes: deque[float] = deque(maxlen=HISTORY)

    def __call__(self, frame: np.ndarray) -> bool:
        """Whether this frame ``(H, W, 3)`` uint8 begins another shot; False for the first frame."""
        small = cv2.resize(frame, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        colors = np.concatenate(
            [np.bincount(channel.ravel() * BINS // 256, minlength=BINS) for channel in small.T.astype(int)]
        )
        last, self._last = self._last, (small.astype(np.float32) / 255, colors / THUMBNAIL**2)
        resized, self._shape = self._shape is not None and self._shape != frame.shape, frame.shape
        if last is None:
            return False
        change = float(np.abs(self._last[0] - last[0]).mean())
        color_change = float(np.abs(self._last[1] - last[1]).sum() / 6)  # 1 if the histograms are disjoint in all channels
        usual = float(np.median(self._changes)) if self._changes else 0.0
        cut = resized or (change > MIN_CHANGE and (change > RELATIVE_CHANGE * usual or color_change > MIN_COLOR_CHANGE))
        if cut:
            self._changes.clear()
        else:
            self._changes.append(change)
        return cut


def is_jump(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether landmarks ``(L, 2)`` of successive frames are too far apart to be of the same face."""
    boxes = np.stack([[points.min(0), points.max(0)] for points in (before, after)])
    size = (boxes[:, 1] - boxes[:, 0]).max(1)
    step = np.linalg.norm(boxes[1].mean(0) - boxes[0].mean(0))
    return bool(step > MAX_STEP * size.max() or size.max() > MAX_SCALING * size.min())
