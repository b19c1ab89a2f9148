"""Expression shading: forehead lines, frown lines, nasolabial folds and the like, as ratio images.

A warp moves the skin of a photo but does not fold it. The change of brightness that an expression causes, the ratio of an
expressive to a neutral picture of the same face after alignment, transfers to other faces (Liu, Shan and Zhang 2001). Here
the logarithms of such ratios are regressed on blendshapes over many people (``tools/build_shading.py``), so any mixture of
blendshapes has a shading. docs/method.md 11.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from emotalker.coefficients import ARKIT
from emotalker.core.errors import CheckpointError
from emotalker.core.files import replace_on_success
from emotalker.face.geometry import barycentric
from emotalker.face.portrait import Portrait
from emotalker.face.topology import LEFT_EYE, OUTER_LIPS, RIGHT_EYE, SKIN_POINTS
from emotalker.render.drawing import Shade
from emotalker.render.fields import shading_ratio

#: Contrast of skin detail (standard deviation of log brightness below 2% of the face's height) at which shading acts in full,
#: and the least and the most it is scaled to: painted and blurred skin folds softly, wrinkled skin deeply.
TYPICAL_DETAIL, DETAIL_LIMITS = 0.055, (0.6, 1.25)
#: Log ratios beyond this are not reached: a fold is never black.
MAX_LOG_RATIO = 0.8
#: Factor of log ratios that brighten. Averages over people spread the highlights beside folds: at full strength skin looks
#: wet.
BRIGHTENING = 0.6

#: Margin around the landmarks in which the map to the canonical face is continued, relative to their extent.
_MARGIN = 0.15


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
        low, high = points.min(0), points.max(0)
        margin = _MARGIN * (high - low)
        self._spacing = max(1, portrait.size // 256)
        self._corner = low - margin
        count = np.ceil((high - low + 2 * margin) / self._spacing).astype(int)
        self._places = _canonical_places((points - self._corner) / self._spacing, model.landmarks, count)
        mask = _skin_mask(portrait.landmarks, portrait.size)
        self._skin = _canonical_skin(points, model, mask)
        self._entries = ARKIT.indices(model.names)
        self._log_ratios = model.log_ratios.reshape(len(model.names), -1)
        self._unshaded = np.ones(model.log_ratios.shape[1:], np.float32)
        face = tuple(slice(max(0, int(a)), int(np.ceil(b))) for a, b in zip(low[::-1], high[::-1], strict=True))
        self._strength = np.float32(strength * skin_detail(portrait.image[face].astype(np.float32), mask[face]))

    def __call__(self, change: np.ndarray) -> Shade:
        """The shading for a change of blendshapes ``(52,)`` against the photo."""
        amounts = self._strength * change[self._entries].astype(np.float32)
        shaded = bool(np.any(np.abs(amounts) > 1e-3))
        ratio = np.empty_like(self._unshaded) if shaded else self._unshaded
        if shaded:
            brightening, limit = np.float32(BRIGHTENING), np.float32(MAX_LOG_RATIO)
            shading_ratio(amounts, self._log_ratios, self._skin, brightening, limit, ratio.reshape(-1))
        x, y = (self._corner + 0.5 * self._spacing - 0.5).astype(np.float32)  # of the first node, as an index
        return Shade(ratio, self._places, x, y, np.float32(self._spacing), shaded)


def _canonical_places(points: np.ndarray, canonical: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Where the nodes of a grid lie in the canonical face, by barycentric coordinates of the landmarks.

    Outside the landmarks the map is continued: an affine map plus the nearest node's difference from it.

    Args:
        points: ``(468, 2)`` landmarks in the photo, in cells of the grid.
        canonical: ``(468, 2)`` of the canonical face.
        count: columns and rows.

    Returns:
        ``(rows, columns, 2)`` float32 indices.
    """
    corners, weights, inside = barycentric(points, (0, 0), count)
    place = (canonical[corners] * weights[..., None]).sum(1).reshape(*inside.shape, 2)
    affine = np.linalg.lstsq(np.column_stack([points, np.ones(len(points))]), canonical, rcond=None)[0]
    rows, columns = np.mgrid[: count[1], : count[0]] + 0.5
    far = columns[..., None] * affine[0] + rows[..., None] * affine[1] + affine[2]
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return (far + (place - far)[tuple(nearest)] - 0.5).astype(np.float32)


def _canonical_skin(points: np.ndarray, model: ShadingModel, mask: np.ndarray) -> np.ndarray:
    """The skin of the photo in the canonical face, ``(R * R,)`` float32: the mask ``(S, S)``, and 0 outside the landmarks."""
    size = model.log_ratios.shape[1]
    corners, weights, inside = canonical_triangles(model.landmarks.astype(np.float32).tobytes(), size)
    place = (points[corners] * weights[..., None]).sum(1).reshape(size, size, 2) - 0.5
    skin = cv2.remap(mask, place.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(skin * inside, np.float32).reshape(-1)


@lru_cache(maxsize=2)
def canonical_triangles(landmarks: bytes, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """:func:`barycentric` of all pixels of the canonical face, the same for every portrait: ``landmarks`` are the bytes of
    ``(468, 2)`` float32."""
    return barycentric(np.frombuffer(landmarks, np.float32).reshape(-1, 2), (0, 0), (size, size))


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
