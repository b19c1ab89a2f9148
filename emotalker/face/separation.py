"""Separates a picture into person and background with the person's matte.

With matte m, a pixel is ``I = m F + (1 - m) B``. The colours F of the person continue beyond its edge and those of the
background B behind the person, so that neither shows a rim of the other when the person moves or the background is replaced.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy

#: Exponent of the matte in the weights of the smooth estimates: pixels that are not almost pure hardly count.
_PURITY = 16

#: Width of the rim of the background that is not used to fill it behind the person, in sides of the picture.
_RIM = 0.02

#: Depth behind the person's edge to which the background's texture is mirrored, in sides of the picture.
_MIRRORED = 0.1

#: Repetitions of the correction: limiting the colours to 0..255 undoes a part of it.
_CORRECTIONS = 4

#: Half of the rim that a moving person takes along, in sides of the picture, and the least matte that counts as person.
_TAKEN_ALONG, _PERSON = 0.01, 0.02

#: Smallest side of the pyramid that fills large holes, pixels.
_COARSEST = 4


def separate(image: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the person and of the background, at all pixels.

    Estimates of both, filled from pure pixels, are corrected by the least change that makes ``m F + (1 - m) B`` the
    picture (as the last step of Forte 2021, arXiv:2011.13050, who blurs instead of filling).

    Args:
        image: RGB uint8 ``(H, W, 3)``.
        matte: ``(H, W)`` float32, 0..1.

    Returns:
        F and B, uint8 ``(H, W, 3)``. F is the picture where the matte is 1, and B where it is 0.
    """
    picture = image.astype(np.float32)
    person = fill(picture, matte**_PURITY)
    # The rim next to the person holds its blur and its finest hair.
    rim = max(3, round(_RIM * max(matte.shape)))
    pure = cv2.erode((1 - matte) ** _PURITY, np.ones((rim, rim), np.uint8))
    background = fill(picture, pure)
    person[matte == 1], background[matte == 0] = picture[matte == 1], picture[matte == 0]
    mixed = (matte > 0) & (matte < 1)
    share, target = matte[mixed][:, None], picture[mixed]
    f, b = person[mixed], background[mixed]
    for _ in range(_CORRECTIONS):
        error = (target - share * f - (1 - share) * b) / (share**2 + (1 - share) ** 2)
        f = np.clip(f + share * error, 0, 255)
        b = np.clip(b + (1 - share) * error, 0, 255)
    person[mixed], background[mixed] = f, b
    return np.rint(person).astype(np.uint8), np.rint(background).astype(np.uint8)


def moving_layers(image: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A moving person over its own background: the picture itself with a wider matte, and what is behind.

    The person takes a rim of the background along: a bright edge of the clothes or a hair that the matte misses would
    be seen where it stays behind. The rim fades out where the background is the picture's, so both layers add up to it.

    Args:
        image: RGB uint8 ``(H, W, 3)``.
        matte: ``(H, W)`` float32, 0..1.

    Returns:
        Matte ``(H, W)`` float32 and background ``(H, W, 3)`` uint8, which is the picture beyond half of the rim.
    """
    width = max(1.0, _TAKEN_ALONG * max(matte.shape))
    distance = cv2.distanceTransform((matte <= _PERSON).astype(np.uint8), cv2.DIST_L2, 5)
    fade = np.clip((distance - width) / width, 0, 1)
    picture, beyond = image.astype(np.float32), distance > width
    background = fill(picture, beyond.astype(np.float32))
    _continue_texture(background, picture, beyond.astype(np.float32))
    background[beyond] = picture[beyond]
    wide = 1 - fade * fade * (3 - 2 * fade)
    return wide.astype(np.float32), np.clip(background + 0.5, 0, 255).astype(np.uint8)


def _continue_texture(background: np.ndarray, picture: np.ndarray, pure: np.ndarray) -> None:
    """Continue the background behind the person's edge by its mirror image there, fading with depth, in place."""
    height, width = pure.shape
    covered = pure < 0.5
    if not covered.any() or covered.all():
        return
    depth, nearest = scipy.ndimage.distance_transform_edt(covered, return_indices=True)
    reach = _MIRRORED * max(height, width)
    grid = np.indices((height, width), dtype=np.float32)
    # Neighbours on a jagged edge have nearest points in different directions.
    offset = cv2.GaussianBlur((nearest - grid).transpose(1, 2, 0).astype(np.float32), (0, 0), max(1.0, 0.1 * reach))
    y, x = (np.ascontiguousarray(grid[axis] + 2 * offset[..., axis]) for axis in (0, 1))
    inside = (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)
    there = cv2.remap(pure, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) * inside
    fade = np.clip(1 - depth / reach, 0, 1).astype(np.float32)
    weight = cv2.GaussianBlur(there * covered, (0, 0), max(1.0, 0.03 * reach)) * there * covered * fade
    mirrored = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    background += weight[..., None] * (mirrored - background)


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
