"""Expression shading: forehead lines, frown lines, nasolabial folds and the like, as ratio images.

A warp moves the skin of a photo but does not fold it. The change of brightness that an expression causes, the ratio of an
expressive to a neutral picture of the same face after alignment, transfers to other faces (Liu, Shan and Zhang 2001). Here
the logarithms of such ratios are regressed on blendshapes over many people (``tools/build_shading.py``), so any mixture of
blendshapes has a shading. docs/method.md 11.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.core.errors import CheckpointError
from emotalker.core.files import replace_on_success
from emotalker.face.geometry import barycentric
from emotalker.face.portrait import Portrait
from emotalker.face.topology import LEFT_EYE, OUTER_LIPS, RIGHT_EYE, SKIN_POINTS

#: Contrast of skin detail (standard deviation of log brightness below 2% of the face's height) at which shading acts in full,
#: and the least and the most it is scaled to: painted and blurred skin folds softly, wrinkled skin deeply.
TYPICAL_DETAIL, DETAIL_LIMITS = 0.055, (0.6, 1.25)
#: Log ratios beyond this are not reached: a fold is never black.
MAX_LOG_RATIO = 0.8
#: Factor of log ratios that brighten. Averages over people spread the highlights beside folds: at full strength skin looks
#: wet.
BRIGHTENING = 0.6


@dataclass(frozen=True)
class ShadingModel:
    """Attributes:
    names: the K blendshapes that have a shading.
    log_ratios: ``(K, S, S)`` float32, change of log brightness for a unit of each, in the canonical frontal face.
    landmarks: ``(468, 2)`` of the canonical face, pixels.
    source, licence: of the data it was measured on.
    """

    names: tuple[str, ...]
    log_ratios: np.ndarray
    landmarks: np.ndarray
    source: str
    licence: str

    @classmethod
    @cache
    def load(cls, path: str | os.PathLike | None = None) -> ShadingModel:
        """Read a file of :meth:`save`, by default the packaged one; CheckpointError if it is none."""
        path = Path(path) if path is not None else Path(str(files("emotalker") / "assets" / "shading.npz"))
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    tuple(str(name) for name in file["names"]),
                    file["log_ratios"].astype(np.float32),
                    file["landmarks"].astype(np.float32),
                    str(file["source"]),
                    str(file["licence"]),
                )
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise CheckpointError(f"{path} is no shading model ({error}); reinstall or rebuild it") from error

    def save(self, path: str | os.PathLike) -> Path:
        """Write an ``.npz``, ratios in half precision; OutputError if that cannot be done."""
        with replace_on_success(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                names=np.array(self.names),
                log_ratios=self.log_ratios.astype(np.float16),
                landmarks=self.landmarks.astype(np.float32),
                source=np.array(self.source),
                licence=np.array(self.licence),
            )
        return Path(path)


class PortraitShading:
    """Shades one portrait.

    Args:
        portrait: the picture and its landmarks.
        model: the shading model.
        strength: 1 as measured on people, 0 none.
    """

    def __init__(self, portrait: Portrait, model: ShadingModel, strength: float = 1.0):
        points = portrait.landmarks[SKIN_POINTS]
        low = np.clip(np.floor(points.min(0)), 0, portrait.size - 2).astype(int)
        high = np.clip(np.ceil(points.max(0)), low + 2, portrait.size).astype(int)
        self._slices = slice(low[1], high[1]), slice(low[0], high[0])
        self._image, self._face = portrait.image, portrait.image[self._slices].astype(np.float32)
        self._map, inside = _canonical_map(points, model.landmarks, low, high)
        self._skin = (inside * _skin_mask(portrait.landmarks, portrait.size)[self._slices]).astype(np.float32)
        self._entries = ARKIT.indices(model.names)
        self._ratios = model.log_ratios.reshape(len(model.names), -1)
        self._shape = model.log_ratios.shape[1:]
        self._strength = np.float32(strength * skin_detail(self._face, self._skin))

    def __call__(self, change: np.ndarray) -> np.ndarray:
        """The picture ``(S, S, 3)`` uint8 shaded for a change of blendshapes ``(52,)`` against the photo."""
        weights = self._strength * change[self._entries].astype(np.float32)
        if not np.any(np.abs(weights) > 1e-3):
            return self._image
        canonical = (weights @ self._ratios).reshape(self._shape)
        canonical = np.where(canonical > 0, BRIGHTENING * canonical, canonical)
        canonical = MAX_LOG_RATIO * np.tanh(canonical / MAX_LOG_RATIO)  # here, because the canonical face has fewer pixels
        log_ratio = cv2.remap(canonical, self._map, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        ratio = cv2.exp(cv2.multiply(log_ratio, self._skin))
        shaded = self._image.copy()
        shaded[self._slices] = cv2.multiply(self._face, cv2.merge([ratio] * 3), dtype=cv2.CV_8U)
        return shaded


def _canonical_map(
    points: np.ndarray, canonical: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a rectangle lies in the canonical face, by barycentric coordinates of the landmarks.

    Returns:
        ``(H, W, 2)`` float32 indices for :func:`cv2.remap`, and ``(H, W)`` float32, 1 inside the face.
    """
    corners, weights, inside = barycentric(points, low, high)
    place = (canonical[corners] * weights[..., None]).sum(1) - 0.5
    return place.reshape(*inside.shape, 2).astype(np.float32), inside.astype(np.float32)


def _skin_mask(landmarks: np.ndarray, size: int) -> np.ndarray:
    """1 on skin, 0 on eyes and lips, ``(S, S)`` float32 with soft borders."""
    mask = np.ones((size, size), np.float32)
    for opening in (LEFT_EYE, RIGHT_EYE, OUTER_LIPS):
        outline = np.concatenate([landmarks[opening.upper], landmarks[opening.lower[::-1]]])
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 0.0, shift=4)
    return cv2.GaussianBlur(mask, (0, 0), max(0.6, size / 300))


def skin_detail(face: np.ndarray, skin: np.ndarray) -> float:
    """How strongly the skin of a picture ``(H, W, 3)`` float32 is structured, within DETAIL_LIMITS; 1 is typical."""
    brightness = np.log(face.mean(-1) + 8)
    fine = brightness - cv2.GaussianBlur(brightness, (0, 0), 0.02 * len(face))
    detail = float(np.percentile(np.abs(fine[skin > 0.9]), 70)) if (skin > 0.9).any() else TYPICAL_DETAIL
    return float(np.clip(np.sqrt(detail / TYPICAL_DETAIL), *DETAIL_LIMITS))
