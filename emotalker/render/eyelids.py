"""Light on closed eyelids: the skin that is in the shadow of the brow and the lashes while the eye is open."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from emotalker.face.portrait import Portrait
from emotalker.face.topology import LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE, SKIN_POINTS, Contours
from emotalker.render.shading import ShadingModel, canonical_triangles
from emotalker.render.warp import smoothstep

#: Brightness of a closed lid relative to the skin below the eye, and the most that the logarithm of its brightness rises.
_LID, _MOST = 0.82, 0.32

#: The lightened part of the way from the lid's edge to the brow: in full up to the first, not from the second.
_REACH = (0.55, 0.9)


def with_lit_lids(model: ShadingModel, portrait: Portrait) -> ShadingModel:
    """The shading model with two more entries for one portrait, which lighten the lids as they close.

    A closing lid in a warped photo is the skin between lashes and brow, stretched. In the photo it lies in a fold or in
    shadow, and a closed eye would look like a dark band.
    """
    size = model.log_ratios.shape[-1]
    corners, weights, inside = canonical_triangles(model.landmarks.astype(np.float32).tobytes(), size)
    points = portrait.landmarks[SKIN_POINTS]
    place = ((points[corners] * weights[..., None]).sum(1) - 0.5).reshape(size, size, 2).astype(np.float32)
    rows = []
    for eye, brow in ((LEFT_EYE, LEFT_BROW), (RIGHT_EYE, RIGHT_BROW)):
        row = cv2.remap(_missing_light(portrait, eye, brow), place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rows.append(row * inside)
    return replace(
        model,
        names=(*model.names, "eyeBlinkLeft", "eyeBlinkRight"),
        log_ratios=np.concatenate([model.log_ratios, np.array(rows, np.float32)]),
    )


def _missing_light(portrait: Portrait, eye: Contours, brow: np.ndarray) -> np.ndarray:
    """How much the logarithm of the lid's brightness rises when it closes, ``(S, S)`` float32, 0 elsewhere."""
    points, size = portrait.landmarks, portrait.size
    upper, lower = points[eye.upper], points[eye.lower]
    width = np.linalg.norm(upper[-1] - upper[0])
    # Broad shadow counts; creases and lashes stay dark lines.
    thin = 2 * round(0.05 * width) + 1
    brightness = cv2.morphologyEx(
        portrait.image.mean(-1).astype(np.float32), cv2.MORPH_CLOSE, np.ones((thin, thin), np.uint8)
    )
    brightness = cv2.GaussianBlur(brightness, (0, 0), 0.04 * width)
    rows, columns = np.mgrid[:size, :size] + 0.5
    bottom = np.interp(columns[0], *lower.T)
    below = (
        (rows > bottom + 0.25 * width) & (rows < bottom + 0.5 * width) & (columns > upper[0, 0]) & (columns < upper[-1, 0])
    )
    if not below.any():
        return np.zeros((size, size), np.float32)
    missing = np.log(_LID * np.median(brightness[below]) / np.maximum(brightness, 1))
    top = np.interp(columns[0], *upper.T)
    edge = points[brow]
    edge = edge[np.argsort(edge[:, 0])]
    reach = np.maximum(top - np.interp(columns[0], *edge.T), 0.1 * width)
    up = (top - rows) / reach
    along = np.abs(columns[0] - upper[[0, -1], 0].mean()) / (width / 2)
    weight = (
        (up > -0.1) * (1 - smoothstep((up - _REACH[0]) / (_REACH[1] - _REACH[0]))) * (1 - smoothstep((along - 0.85) / 0.3))
    )
    return cv2.GaussianBlur((np.clip(missing, 0, _MOST) * weight).astype(np.float32), (0, 0), 0.04 * width)
