"""CPBD, the cumulative probability of blur detection: sharpness of one picture without a reference.

Narvekar and Karam, "A no-reference image blur metric based on the cumulative probability of blur detection (CPBD)", IEEE
Transactions on Image Processing 20(9), 2011. Values agree with those of the package ``cpbd``, which published figures of
talking heads come from: blocks are chosen by Canny's edges, widths are measured at thinned Sobel edges.
"""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.core.errors import MissingExtraError

BLOCK = 64  # side of a block, pixels
#: A block with a smaller fraction of Canny's edge pixels is smooth and is not counted.
EDGE_FRACTION = 0.002
#: Width in pixels of an edge whose blur is just noticed, for a contrast of the block up to LOW_CONTRAST and above it.
JUST_NOTICEABLE, LOW_CONTRAST = (5.0, 3.0), 50
BETA = 3.6
#: Probability of detection at the just noticeable width in percent, 1 - 1/e.
DETECTED = 63
#: Longest distance that is followed on either side of an edge, pixels.
REACH = 100


def cpbd(image: np.ndarray) -> float:
    """CPBD of a picture, 0 (blurred) to 1 (sharp).

    The probability that the blur of an edge of width w is detected is ``1 - exp(-(w / w_JNB)^beta)``; the measure is the
    fraction of edges for which it is at most 63 %, that is, which are not wider than w_JNB.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8, at least 64 pixels on either side.

    Returns:
        NaN if there are no edges, where the package returns 0.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    try:
        from skimage.feature import canny
    except ImportError as error:
        raise MissingExtraError("CPBD needs scikit-image: pip install 'emotalker[evaluation]'") from error
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    gray = gray.astype(np.float64)
    edges, widths = canny(gray), np.where(sobel_edges(gray), edge_widths(gray), 0)
    sharp, counted = 0, 0
    for y in range(0, gray.shape[0] - BLOCK + 1, BLOCK):
        for x in range(0, gray.shape[1] - BLOCK + 1, BLOCK):
            block = slice(y, y + BLOCK), slice(x, x + BLOCK)
            if edges[block].mean() <= EDGE_FRACTION:
                continue
            found = widths[block][widths[block] > 0]
            noticeable = JUST_NOTICEABLE[int(int(np.ptp(gray[block])) > LOW_CONTRAST)]
            percent = np.round(100 * (1 - np.exp(-((found / noticeable) ** BETA))))
            sharp += int((percent <= DETECTED).sum())
            counted += len(found)
    return sharp / counted if counted else float("nan")


def sobel_edges(gray: np.ndarray) -> np.ndarray:
    """``(H, W)`` bool: squared horizontal Sobel gradients above a threshold that are larger than both neighbours in their row
    or in their column.

    The threshold is twice the root of the mean square, compared with squares, as in the package.
    """
    smooth = cv2.sepFilter2D(gray, cv2.CV_64F, np.array([1.0, 0, -1]), np.array([1.0, 2, 1]), borderType=cv2.BORDER_REFLECT)
    strength = (smooth / 8) ** 2
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    padded = np.pad(strength, 1)
    rows = (strength > padded[1:-1, :-2]) & (strength > padded[1:-1, 2:])
    columns = (strength > padded[:-2, 1:-1]) & (strength > padded[2:, 1:-1])
    return rows | columns


def edge_widths(gray: np.ndarray) -> np.ndarray:
    """Width ``(H, W)`` in pixels of the edge at each pixel (Marziliano et al. 2002), 0 where the gradient is not horizontal.

    The brightness is followed to the left from the left neighbour and to the right from the right one, as long as it goes on
    falling and rising as the gradient says; the widths of both sides, at least one pixel each, are added.
    """
    vertical, horizontal = np.gradient(gray)
    angle = np.where(horizontal == 0, 0, np.degrees(np.arctan2(vertical, horizontal)))
    turned = np.abs(np.round(angle / 45))
    width = np.zeros(gray.shape, np.int64)
    if not angle.any():
        return width
    step = np.diff(gray, axis=1)
    for direction, chosen in ((step, turned == 0), (-step, turned == 4)):
        along = direction > 0
        left = np.pad(_run_lengths(along), ((0, 0), (1, 0)))  # steps in a row that end at each pixel
        right = np.pad(_run_lengths(along[:, ::-1])[:, ::-1], ((0, 0), (0, 1)))  # that begin at it
        total = np.minimum(left[:, :-2], REACH) + np.minimum(right[:, 2:], REACH) + 2
        inner = chosen[1:-1, 1:-1]
        width[1:-1, 1:-1][inner] = total[1:-1][inner]
    return width


def _run_lengths(flags: np.ndarray) -> np.ndarray:
    """For each entry of ``(H, W)`` bool, the number of true entries in a row that end at it."""
    position = np.arange(1, flags.shape[1] + 1)
    last_false = np.maximum.accumulate(np.where(flags, 0, position), axis=1)
    return position - last_false
