"""Separates a picture into person and background with the person's matte.

With matte m, a pixel is ``I = m F + (1 - m) B``. The colours F of the person continue beyond its edge and those of the
background B behind the person, so that neither shows a rim of the other when the person moves or the background is replaced.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Exponent of the matte in the weights of the smooth estimates: pixels that are not almost pure hardly count.
_PURITY = 16

#: Repetitions of the correction: limiting the colours to 0..255 undoes a part of it.
_CORRECTIONS = 4

#: Smallest side of the pyramid that fills large holes, pixels.
_COARSEST = 4


def separate(image: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the person and of the background, at all pixels.

    Smooth estimates of both, filled from pure pixels, are corrected by the least change that makes ``m F + (1 - m) B`` the
    picture (as the last step of Forte 2021, arXiv:2011.13050, who blurs instead of filling).

    Args:
        image: RGB uint8 ``(H, W, 3)``.
        matte: ``(H, W)`` float32, 0..1.

    Returns:
        F and B, uint8 ``(H, W, 3)``. F is the picture where the matte is 1, and B where it is 0. In between, B keeps less of
        the correction the more of a pixel is the person.
    """
    picture = image.astype(np.float32)
    person = fill(picture, matte**_PURITY)
    background = fill(picture, (1 - matte) ** _PURITY)
    person[matte == 1], background[matte == 0] = picture[matte == 1], picture[matte == 0]
    mixed = (matte > 0) & (matte < 1)
    share, target = matte[mixed][:, None], picture[mixed]
    f, b = person[mixed], background[mixed]
    for _ in range(_CORRECTIONS):
        error = (target - share * f - (1 - share) * b) / (share**2 + (1 - share) ** 2)
        f = np.clip(f + share * error, 0, 255)
        b = np.clip(b + (1 - share) * error, 0, 255)
    # Away from pure background, a colour that fits neither is rather the person's own edge, which must not stay behind.
    background[mixed] += (1 - share) ** 6 * (b - background[mixed])
    person[mixed] = f
    return np.rint(person).astype(np.uint8), np.rint(background).astype(np.uint8)


def fill(picture: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill the pixels of low weight smoothly from those around (push-pull; Gortler et al. 1996, section 3.6).

    Args:
        picture: float32 ``(H, W, C)``.
        weight: ``(H, W)`` float32, 0..1; 1 keeps a pixel.
    """
    height, width = weight.shape
    if min(height, width) <= _COARSEST or weight.min() > 0.999:
        total = max(float(weight.sum()), 1e-6)
        mean = (picture * weight[..., None]).sum((0, 1)) / total
        return weight[..., None] * picture + (1 - weight[..., None]) * mean
    coarse_weight = cv2.pyrDown(weight)
    coarse = cv2.pyrDown(picture * weight[..., None]) / np.maximum(coarse_weight, 1e-6)[..., None]
    # A quarter of the pixels is enough to know the coarser one.
    below = fill(coarse, np.minimum(4 * coarse_weight, 1))
    guess = cv2.pyrUp(below, dstsize=(width, height))
    return guess + weight[..., None] * (picture - guess)
