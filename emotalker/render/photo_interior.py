"""The mouth interior that a photo shows, divided into what is fixed to the head and what moves with the jaw."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from emotalker.face.portrait import Portrait
from emotalker.render.opening_line import OpeningEdges
from emotalker.render.warp import Region, smoothstep

#: Brightness relative to well-lit enamel from which a pixel belongs to a tooth.
_TOOTH_LEVEL = 0.5

#: Least gap of the lips over the mouth's width at which tongue and lower teeth can be visible.
_PARTED = 0.12

#: Where between the lips the upper teeth can end, and how dark the darkest row there is against the brightest above it.
_RANGE, _DIP = (0.25, 0.85), 0.7

#: Places between the lips, 0 at the upper and 1 at the lower one.
_CENTRES = np.linspace(0.05, 0.95, 19)

#: Colour times opacity ``(H, W, 3)`` in 0..255, and opacity ``(H, W, 1)``; float32.
Picture = tuple[np.ndarray, np.ndarray]


class PhotoInterior(NamedTuple):
    """Attributes:
    upper: the upper teeth.
    jaw: the tongue with the lower teeth.
    biting: row of the lower teeth's biting edge, pixels.

    Each is None where the photo does not show it.
    """

    upper: Picture | None
    jaw: Picture | None
    biting: float | None


def photo_interior(
    portrait: Portrait, region: Region, edges: OpeningEdges, enamel: np.ndarray, shadow: np.ndarray
) -> PhotoInterior:
    """What the photo shows between its lips.

    Args:
        portrait: the picture.
        region: the rectangle of the result.
        edges: inner lip edges in the photo.
        enamel: ``(3,)`` colour of well-lit teeth, 0..255.
        shadow: ``(H, W, 3)`` brightness below the lips as they are in the photo; it is divided out.
    """
    picture = portrait.image[region.slices].astype(np.float32)
    corner = np.array([region.x, region.y])
    outline = np.concatenate([edges.upper, edges.lower[::-1]]) - corner
    mask = np.zeros((region.height, region.width), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, shift=4)
    mask = cv2.erode(mask, np.ones((3, 3), np.uint8))  # remove the rim, which is blended with the lips
    teeth = mask * (picture.mean(-1) > _TOOTH_LEVEL * enamel.mean())
    if (teeth > 0).sum() < 0.01 * mask.size:
        return PhotoInterior(None, None, None)
    xs = np.arange(region.width) + 0.5
    top, bottom = (np.interp(xs, *(edge - corner).T) for edge in (edges.upper, edges.lower))
    gap = np.maximum(bottom - top, 1e-3)
    between = ((np.arange(region.height)[:, None] + 0.5 - top) / gap).astype(np.float32)  # 0 and 1 at the lips
    width = np.linalg.norm(edges.upper[-1] - edges.upper[0])
    end, biting = 1.0, None
    if gap.max() > _PARTED * width:
        rows = _whiteness(picture, mask, between)
        end = _end_of_upper_teeth(rows)
        start = _start_of_lower_teeth(rows, end, _TOOTH_LEVEL * enamel.min())
        middle = int(np.argmax(gap))
        biting = None if start is None else float(top[middle] + start * gap[middle])

    # Gaps between the teeth belong to them.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, 2 * (max(3, round(0.1 * width)),))
    closed = np.minimum(mask, cv2.morphologyEx(teeth * (between < end), cv2.MORPH_CLOSE, kernel))
    lit = picture / shadow

    def layer(cover: np.ndarray) -> Picture:
        cover = cv2.GaussianBlur(cover.astype(np.float32) / 255, (0, 0), 1.0)[..., None]
        return lit * cover, cover

    upper = layer(closed * (between < end))
    return PhotoInterior(upper, layer(mask * smoothstep((between - end) / 0.12 + 0.5)) if end < 1 else None, biting)


def _whiteness(picture: np.ndarray, mask: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Least colour channel by place between the lips at _CENTRES in the middle of the mouth; the tongue is red.

    Args:
        picture: ``(H, W, 3)``.
        mask: ``(H, W)``, not zero inside the lips.
        between: ``(H, W)``, 0 at the upper and 1 at the lower lip.
    """
    columns = np.flatnonzero((mask > 0).any(0))
    third = len(columns) // 3
    inside = mask[:, columns[third : len(columns) - third]] > 0
    place, white = (values[:, columns[third : len(columns) - third]][inside] for values in (between, picture.min(-1)))
    order = np.argsort(place)
    # A running mean over a tenth of the gap.
    total = np.concatenate([[0], np.cumsum(white[order])])
    low, high = (np.searchsorted(place[order], _CENTRES + offset) for offset in (-0.05, 0.05))
    return (total[high] - total[low]) / np.maximum(high - low, 1)


def _end_of_upper_teeth(rows: np.ndarray) -> float:
    """The darkest place between the lips below bright teeth, from :func:`_whiteness`; 1 if only upper teeth show."""
    first, last = np.searchsorted(_CENTRES, _RANGE)
    inside = np.arange(first, last)
    darkest = inside[np.argmin(rows[inside])]
    dark = rows[darkest] < _DIP * rows[:darkest].max()
    return float(_CENTRES[darkest]) if dark and darkest < inside[-1] else 1.0


def _start_of_lower_teeth(rows: np.ndarray, end: float, least: float) -> float | None:
    """Where the lower teeth begin below the ``end`` of the upper ones; None if nothing there is as white as ``least``."""
    below = np.arange(np.searchsorted(_CENTRES, end, side="right"), len(_CENTRES))
    if not len(below) or rows[below].max() < least:
        return None
    return float(_CENTRES[below[np.argmax(rows[below] > 0.8 * rows[below].max())]])
