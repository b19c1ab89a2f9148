"""Input features of the synthetic-face reader: an aligned crop of the face, with windows around the mouth and the eyes.

The windows are centred on landmarks, so that they contain the same part of every face whatever its proportions. Windows are
described by histograms of oriented gradients (Dalal & Triggs 2005), which depend little on lighting and skin colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.coefficients import ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES
from emotalker.face.geometry import mirror_partners
from emotalker.face.model import FaceModel
from emotalker.tracking.backends import FIT_POINTS

SIDE = 128  # side of the crop, pixels
EYE_DISTANCE = 62.0  # between the outer corners of the eyes in the crop, pixels
EYE_LINE = 34.0  # from the crop's upper border to the eyes, pixels
#: Points that hardly move with the expression: corners of the eyes, ridge and root of the nose.
RIGID_POINTS = np.array([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 98, 327, 2])
POINT_SCALE = 5.0  # pixels of the crop: the unit of the network's input points

MAGNIFICATION = 1.5  # window pixels per crop pixel
MOUTH_SIZE, EYE_SIZE = (72, 96), (80, 96)  # pixels of the windows: height, width
MOUTH_HEIGHT, EYE_HEIGHT = 36.0, 50.0  # window pixels above its centre point; an eye's window includes the brow
DIRECTIONS = 8  # orientation bins of a histogram
CELL, STRIDE, BLOCK = 8, 4, 24  # pixels: side of a histogram's cell, cell spacing, side of the contrast-normalisation block
MIN_CONTRAST = 1.3  # grey levels per pixel, added to a block's contrast so that flat areas are not amplified


def _mean_points() -> np.ndarray:
    """The mean head's landmarks ``(478, 2)`` in pixels of the crop."""
    points = FaceModel.load().landmark_mean[:, :2].astype(np.float64) * [1, -1]
    right, left = points[RIGID_POINTS[0]], points[RIGID_POINTS[3]]
    scale = EYE_DISTANCE / np.linalg.norm(left - right)
    return (points - (right + left) / 2) * scale + [SIDE / 2, EYE_LINE]


MEAN_POINTS = _mean_points()


def crop_transform(points: np.ndarray) -> np.ndarray:
    """The similarity transform ``(2, 3)`` from image to crop pixels: least squares over RIGID_POINTS of the landmarks
    ``(478, 2)`` (Umeyama 1991)."""
    source, target = points[RIGID_POINTS].astype(np.float64), MEAN_POINTS[RIGID_POINTS]
    mean, goal = source.mean(0), target.mean(0)
    a, b = source - mean, target - goal
    spread = max(float((a**2).sum()), 1e-9)
    cosine = (a * b).sum() / spread
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([rotation, goal - rotation @ mean])


def transform_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a transform ``(2, 3)`` to points ``(..., 2)``."""
    return points @ transform[:, :2].T + transform[:, 2]


def crop(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """The aligned face ``(SIDE, SIDE)`` uint8, grey, from an RGB image ``(H, W, 3)`` uint8."""
    # Sampled at twice the resolution and averaged, against aliasing when a large face is scaled down.
    fine = cv2.warpAffine(image, 2 * transform, (2 * SIDE, 2 * SIDE), borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(cv2.cvtColor(fine, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


_PARTNERS, _ = mirror_partners(FaceModel.load().landmark_mean)
#: The reader's P landmarks: FIT_POINTS and their mirror partners.
READ_POINTS = np.union1d(FIT_POINTS, _PARTNERS[FIT_POINTS])
#: Index in READ_POINTS of each point's mirror partner, ``(P,)``.
MIRRORED_POINTS = np.searchsorted(READ_POINTS, _PARTNERS[READ_POINTS])
_UNIT_MEAN = torch.from_numpy(MEAN_POINTS[READ_POINTS] / POINT_SCALE).float()

#: Indices in READ_POINTS whose mean is a window's centre: the outline of the lips, and the corners of an eye.
_LIPS = np.searchsorted(READ_POINTS, [0, 13, 14, 17, 37, 61, 84, 267, 291, 314])
_RIGHT_EYE, _LEFT_EYE = np.searchsorted(READ_POINTS, [[33, 133], [263, 362]])


def windows(grey: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a crop.

    Args:
        grey: the crop ``(SIDE, SIDE)`` uint8.
        points: its READ_POINTS ``(P, 2)``.

    Returns:
        the mouth ``MOUTH_SIZE`` uint8, and the right and the left eye ``(2, *EYE_SIZE)`` uint8. The left eye is mirrored, so
        that one basis describes both.
    """
    right = _window(grey, points[_RIGHT_EYE], EYE_SIZE, EYE_HEIGHT)
    left = _window(grey, points[_LEFT_EYE], EYE_SIZE, EYE_HEIGHT, mirrored=True)
    return _window(grey, points[_LIPS], MOUTH_SIZE, MOUTH_HEIGHT), np.stack([right, left])


def _window(grey: np.ndarray, points: np.ndarray, size: tuple[int, int], height: float, mirrored: bool = False) -> np.ndarray:
    # The halves: landmarks are measured from the image's border, OpenCV's coordinates from the centre of the first pixel.
    (x, y), step = points.mean(0), 1 / MAGNIFICATION
    across = -step if mirrored else step
    back = np.array([[across, 0, x + (0.5 - size[1] / 2) * across - 0.5], [0, step, y + (0.5 - height) * step - 0.5]])
    return cv2.warpAffine(
        grey, back, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )


def gradient_histograms(images: Tensor) -> Tensor:
    """Histograms of oriented gradients of images ``(B, H, W)``, ``(B, histogram_dim((H, W)))``.

    Each entry is the mean gradient in one direction over one cell, divided by the contrast of the block around the cell.
    """
    padded = F.pad(images[:, None], (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    angles = torch.arange(DIRECTIONS // 2) * (2 * torch.pi / DIRECTIONS)
    along = across * angles.cos().view(1, -1, 1, 1) + down * angles.sin().view(1, -1, 1, 1)
    along = torch.cat([along, -along], 1).relu_()
    # Cells overlap, so they are averaged in two steps: over squares of one stride, then over the squares of a cell.
    histograms = F.avg_pool2d(F.avg_pool2d(along, STRIDE), CELL // STRIDE, 1)
    energy = F.avg_pool2d(F.avg_pool2d(across.square() + down.square(), STRIDE), BLOCK // STRIDE, 1)
    contrast = F.interpolate(energy, histograms.shape[-2:], mode="bilinear").sqrt()
    return (histograms / (contrast + MIN_CONTRAST)).flatten(1)


def _cells(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] - CELL) // STRIDE + 1, (size[1] - CELL) // STRIDE + 1


def histogram_dim(size: tuple[int, int]) -> int:
    """Number of histogram entries of an image of ``size`` (height, width)."""
    return DIRECTIONS * math.prod(_cells(size))


MOUTH_DIM, EYE_DIM = histogram_dim(MOUTH_SIZE), histogram_dim(EYE_SIZE)
POINTS_DIM = 2 * len(READ_POINTS) + len(ARKIT_BLENDSHAPES)


class FaceFeatures(NamedTuple):
    """The network's input for B frames.

    Attributes:
        mouth: ``(B, MOUTH_DIM)`` gradient histograms.
        eyes: ``(B, 2, EYE_DIM)`` gradient histograms of the right eye and the mirrored left eye.
        landmarks: ``(B, POINTS_DIM)`` offsets of READ_POINTS from the mean head's, in units of POINT_SCALE, and scores.
    """

    mouth: Tensor
    eyes: Tensor
    landmarks: Tensor

    def mean(self) -> FaceFeatures:
        """The mean over the frames, ``B = 1``."""
        return FaceFeatures(*(values.mean(0, keepdim=True) for values in self))

    def mirrored(self) -> FaceFeatures:
        """The features of the mirrored frames."""
        mouth = self.mouth.unflatten(1, (DIRECTIONS, *_cells(MOUTH_SIZE)))
        directions = (DIRECTIONS // 2 - torch.arange(DIRECTIONS)) % DIRECTIONS
        width = 2 * len(READ_POINTS)
        points = self.landmarks[:, :width].unflatten(1, (-1, 2)) + _UNIT_MEAN
        points = points[:, MIRRORED_POINTS] * torch.tensor([-1.0, 1.0]) + torch.tensor([SIDE / POINT_SCALE, 0.0])
        scores = self.landmarks[:, width:][:, MIRRORED_BLENDSHAPES]
        landmarks = torch.cat([(points - _UNIT_MEAN).flatten(1), scores], 1)
        return FaceFeatures(mouth[:, directions].flip(3).flatten(1), self.eyes.flip(1), landmarks)


def extract_features(crops: np.ndarray, points: np.ndarray, scores: np.ndarray) -> FaceFeatures:
    """Features of crops ``(B, SIDE, SIDE)`` uint8, their READ_POINTS ``(B, P, 2)`` and blendshape scores ``(B, 52)``."""
    mouths, eyes = (np.stack(part) for part in zip(*map(windows, crops, points), strict=True))
    offsets = ((points - MEAN_POINTS[READ_POINTS]) / POINT_SCALE).reshape(len(points), -1)
    landmarks = np.concatenate([offsets, scores], 1).astype(np.float32)
    eyes = gradient_histograms(torch.from_numpy(eyes).flatten(0, 1).float()).unflatten(0, (-1, 2))
    return FaceFeatures(gradient_histograms(torch.from_numpy(mouths).float()), eyes, torch.from_numpy(landmarks))


@dataclass
class Observation:
    """The face of one frame as input of the reader.

    Attributes:
        features: of the frame, ``B = 1``; the histograms in half precision.
        points: ``(P, 2)`` READ_POINTS in pixels of the frame.
        transform: ``(2, 3)`` from the frame to the crop.
    """

    features: FaceFeatures
    points: np.ndarray
    transform: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, points: np.ndarray, scores: np.ndarray) -> Observation:
        """The observation of a face in an RGB image ``(H, W, 3)`` uint8 with landmarks ``(478, 2)`` and scores ``(52,)``."""
        transform, chosen = crop_transform(points), points[READ_POINTS]
        features = extract_features(crop(image, transform)[None], transform_points(transform, chosen)[None], scores[None])
        return cls(FaceFeatures(features.mouth.half(), features.eyes.half(), features.landmarks), chosen, transform)


def stack_features(observations: Sequence[Observation]) -> FaceFeatures:
    """The float32 features of at least one observation, one row each."""
    parts = zip(*(observation.features for observation in observations), strict=True)
    return FaceFeatures(*(torch.cat(values).float() for values in parts))
