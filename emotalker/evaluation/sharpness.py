"""CPBD, the cumulative probability of blur detection: sharpness of one picture without a reference.

Narvekar and Karam, "A no-reference image blur metric based on the cumulative probability of blur detection (CPBD)", IEEE
Transactions on Image Processing 20(9), 2011. The authors choose blocks by Canny's edges and measure widths at Sobel's; here
both are Sobel's, so values are comparable with each other and only roughly with published ones.
"""

from __future__ import annotations

import cv2
import numpy as np

BLOCK = 64  # side of a block, pixels
#: A block with a smaller fraction of edge pixels is smooth and is not counted.
EDGE_FRACTION = 0.002
#: Width in pixels of an edge whose blur is just noticed, for a contrast of the block up to LOW_CONTRAST and above it.
JUST_NOTICEABLE, LOW_CONTRAST = (5.0, 3.0), 50
BETA = 3.6
#: Probability of detection at the just noticeable width, 1 - 1/e.
DETECTED = 1 - np.exp(-1.0)


def cpbd(image: np.ndarray) -> float:
    """CPBD of a picture, 0 (blurred) to 1 (sharp).

    The probability that the blur of an edge of width w is detected is ``1 - exp(-(w / w_JNB)^beta)``; the measure is the
    fraction of edges for which it is at most 63 %, that is, which are not wider than w_JNB.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8, at least 64 pixels on either side.

    Returns:
        NaN if there are no edges.
    """
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    gray = gray.astype(np.float32)
    edges, width = vertical_edges(gray), edge_widths(gray)
    sharp, counted = 0, 0
    for y in range(0, gray.shape[0] - BLOCK + 1, BLOCK):
        for x in range(0, gray.shape[1] - BLOCK + 1, BLOCK):
            block = slice(y, y + BLOCK), slice(x, x + BLOCK)
            if edges[block].mean() <= EDGE_FRACTION:
                continue
            contrast = gray[block].max() - gray[block].min()
            probability = 1 - np.exp(-((width[block][edges[block]] / JUST_NOTICEABLE[int(contrast > LOW_CONTRAST)]) ** BETA))
            sharp += int((probability <= DETECTED + 1e-6).sum())
            counted += int(edges[block].sum())
    return sharp / counted if counted else float("nan")


def vertical_edges(gray: np.ndarray) -> np.ndarray:
    """``(H, W)`` bool: maxima along rows of the squared horizontal Sobel gradient, above four times its mean."""
    gradient = cv2.Sobel(gray, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REPLICATE) ** 2
    before, after = np.roll(gradient, 1, 1), np.roll(gradient, -1, 1)
    edges = (gradient > 4 * gradient.mean()) & (gradient >= before) & (gradient > after)
    edges[:, [0, -1]] = False
    return edges


def edge_widths(gray: np.ndarray) -> np.ndarray:
    """Width ``(H, W)`` in pixels of the edge at each pixel (Marziliano et al. 2002): the distance between the nearest local
    extrema of its row on either side, for a rising or a falling edge according to the local slope."""
    step = np.diff(gray, axis=1)
    rising = gray[:, 2:] > gray[:, :-2]
    width = np.zeros(gray.shape, np.float32)
    for direction, chosen in ((step, rising), (-step, ~rising)):
        along = direction > 0
        right = _run_lengths(along[:, ::-1])[:, ::-1]  # steps that go on from each pixel to the right
        left = _run_lengths(along)
        # pixel x has step x - 1 on its left and step x on its right
        total = left[:, :-1] + right[:, 1:]
        width[:, 1:-1][chosen] = total[chosen]
    return width


def _run_lengths(flags: np.ndarray) -> np.ndarray:
    """For each entry of ``(H, W)`` bool, the number of true entries in a row that end at it."""
    position = np.arange(1, flags.shape[1] + 1)
    last_false = np.maximum.accumulate(np.where(flags, 0, position), axis=1)
    return position - last_false
