"""How a synthetic face is looked at: levelled and cut out, its mouth and eyes each in a window of their own.

Mouths lie lower in a long face than in a short one, so a window goes with the landmarks: what fills it is then the same part
of every face, and few people teach what it looks like in motion. The windows are told by histograms of oriented gradients
(Dalal & Triggs 2005), which light and skin hardly change.
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

SIDE = 128  # pixels of the cut
EYE_DISTANCE = 62.0  # between the outer corners of the eyes in it, pixels
EYE_LINE = 34.0  # pixels below its upper border
#: Points that hardly move with the face: corners of the eyes, ridge and root of the nose.
STEADY_POINTS = np.array([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 98, 327, 2])
POINT_SCALE = 5.0  # pixels of the cut: the unit in which the network takes points

MAGNIFICATION = 1.5  # pixels of a window to one of the cut
MOUTH_SIZE, EYE_SIZE = (72, 96), (80, 96)  # pixels of the windows: height, width
MOUTH_HEIGHT, EYE_HEIGHT = 36.0, 50.0  # pixels of a window above its point: an eye's window holds the brow, too
DIRECTIONS = 8  # of gradients
CELL, STRIDE, SURROUNDINGS = 8, 4, 24  # pixels: of a histogram, between two, and of what its contrast is measured by
FLAT = 1.3  # grey levels a pixel; gradients in flatter surroundings are not stretched further


def _mean_points() -> np.ndarray:
    """``(478, 2)`` the average head's points in the cut."""
    points = FaceModel.load().landmark_mean[:, :2].astype(np.float64) * [1, -1]
    right, left = points[STEADY_POINTS[0]], points[STEADY_POINTS[3]]
    scale = EYE_DISTANCE / np.linalg.norm(left - right)
    return (points - (right + left) / 2) * scale + [SIDE / 2, EYE_LINE]


MEAN_POINTS = _mean_points()


def placement(points: np.ndarray) -> np.ndarray:
    """The similarity ``(2, 3)`` that takes a picture's pixels to the cut's, by least squares over STEADY_POINTS of the
    face's landmarks ``(478, 2)`` (Umeyama 1991)."""
    source, target = points[STEADY_POINTS].astype(np.float64), MEAN_POINTS[STEADY_POINTS]
    mean, goal = source.mean(0), target.mean(0)
    a, b = source - mean, target - goal
    spread = max(float((a**2).sum()), 1e-9)
    cosine = (a * b).sum() / spread
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, goal - turn @ mean])


def place(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points ``(..., 2)`` through a transform ``(2, 3)``."""
    return points @ transform[:, :2].T + transform[:, 2]


def cut(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """The levelled face ``(SIDE, SIDE)`` uint8, grey, out of an RGB picture ``(H, W, 3)`` uint8."""
    # Sampled twice as finely and averaged: a large face is made smaller without aliasing.
    fine = cv2.warpAffine(image, 2 * transform, (2 * SIDE, 2 * SIDE), borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(cv2.cvtColor(fine, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


_PARTNERS, _ = mirror_partners(FaceModel.load().landmark_mean)
#: FIT_POINTS and their partners on the other side of the face, and where among them each one's partner is, ``(P,)``.
READ_POINTS = np.union1d(FIT_POINTS, _PARTNERS[FIT_POINTS])
MIRRORED_POINTS = np.searchsorted(READ_POINTS, _PARTNERS[READ_POINTS])
_UNIT_MEAN = torch.from_numpy(MEAN_POINTS[READ_POINTS] / POINT_SCALE).float()

#: Places in READ_POINTS of what a window is centred on: the lips all round, and the corners of an eye.
_LIPS = np.searchsorted(READ_POINTS, [0, 13, 14, 17, 37, 61, 84, 267, 291, 314])
_RIGHT_EYE, _LEFT_EYE = np.searchsorted(READ_POINTS, [[33, 133], [263, 362]])


def windows(grey: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mouth ``MOUTH_SIZE`` and the right and the left eye ``(2, *EYE_SIZE)`` uint8 of a cut ``(SIDE, SIDE)`` uint8 with
    READ_POINTS ``(P, 2)`` in it. The left eye is mirrored, to look as right ones do."""
    right = _window(grey, points[_RIGHT_EYE], EYE_SIZE, EYE_HEIGHT)
    left = _window(grey, points[_LEFT_EYE], EYE_SIZE, EYE_HEIGHT, in_mirror=True)
    return _window(grey, points[_LIPS], MOUTH_SIZE, MOUTH_HEIGHT), np.stack([right, left])


def _window(
    grey: np.ndarray, points: np.ndarray, size: tuple[int, int], height: float, in_mirror: bool = False
) -> np.ndarray:
    # Points are measured from the picture's border, OpenCV's from the middle of its first pixel: hence the halves.
    (x, y), step = points.mean(0), 1 / MAGNIFICATION
    across = -step if in_mirror else step
    back = np.array([[across, 0, x + (0.5 - size[1] / 2) * across - 0.5], [0, step, y + (0.5 - height) * step - 0.5]])
    return cv2.warpAffine(
        grey, back, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )


def gradient_histograms(pictures: Tensor) -> Tensor:
    """Grey levels ``(B, H, W)`` to ``(B, histogram_dim((H, W)))``: in each cell the gradients by direction, as shares of the
    surroundings' contrast."""
    padded = F.pad(pictures[:, None], (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    angles = torch.arange(DIRECTIONS // 2) * (2 * torch.pi / DIRECTIONS)
    along = across * angles.cos().view(1, -1, 1, 1) + down * angles.sin().view(1, -1, 1, 1)
    along = torch.cat([along, -along], 1).relu_()
    # Cells overlap: their means are those of blocks a stride wide, which are taken once.
    histograms = F.avg_pool2d(F.avg_pool2d(along, STRIDE), CELL // STRIDE, 1)
    energy = F.avg_pool2d(F.avg_pool2d(across.square() + down.square(), STRIDE), SURROUNDINGS // STRIDE, 1)
    contrast = F.interpolate(energy, histograms.shape[-2:], mode="bilinear").sqrt()
    return (histograms / (contrast + FLAT)).flatten(1)


def _cells(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] - CELL) // STRIDE + 1, (size[1] - CELL) // STRIDE + 1


def histogram_dim(size: tuple[int, int]) -> int:
    """Entries of the histograms of a picture of ``size`` (height, width)."""
    return DIRECTIONS * math.prod(_cells(size))


MOUTH_DIM, EYE_DIM = histogram_dim(MOUTH_SIZE), histogram_dim(EYE_SIZE)
POINTS_DIM = 2 * len(READ_POINTS) + len(ARKIT_BLENDSHAPES)


class FaceFeatures(NamedTuple):
    """What the network gets of B frames.

    Attributes:
        mouth: ``(B, MOUTH_DIM)`` gradients.
        eyes: ``(B, 2, EYE_DIM)`` gradients of the right eye and of the left one in a mirror.
        landmarks: ``(B, POINTS_DIM)`` READ_POINTS less the average head's in POINT_SCALE pixels of the cut, and scores.
    """

    mouth: Tensor
    eyes: Tensor
    landmarks: Tensor

    def mean(self) -> FaceFeatures:
        """Of all frames, ``B = 1``."""
        return FaceFeatures(*(values.mean(0, keepdim=True) for values in self))

    def mirrored(self) -> FaceFeatures:
        """The same of the mirrored frames."""
        mouth = self.mouth.unflatten(1, (DIRECTIONS, *_cells(MOUTH_SIZE)))
        turned = (DIRECTIONS // 2 - torch.arange(DIRECTIONS)) % DIRECTIONS
        width = 2 * len(READ_POINTS)
        points = self.landmarks[:, :width].unflatten(1, (-1, 2)) + _UNIT_MEAN
        points = points[:, MIRRORED_POINTS] * torch.tensor([-1.0, 1.0]) + torch.tensor([SIDE / POINT_SCALE, 0.0])
        scores = self.landmarks[:, width:][:, MIRRORED_BLENDSHAPES]
        landmarks = torch.cat([(points - _UNIT_MEAN).flatten(1), scores], 1)
        return FaceFeatures(mouth[:, turned].flip(3).flatten(1), self.eyes.flip(1), landmarks)


def extract_features(cuts: np.ndarray, points: np.ndarray, scores: np.ndarray) -> FaceFeatures:
    """Look at cuts ``(B, SIDE, SIDE)`` uint8 with READ_POINTS ``(B, P, 2)`` in them and scores ``(B, 52)``."""
    mouths, eyes = (np.stack(part) for part in zip(*map(windows, cuts, points), strict=True))
    offsets = ((points - MEAN_POINTS[READ_POINTS]) / POINT_SCALE).reshape(len(points), -1)
    landmarks = np.concatenate([offsets, scores], 1).astype(np.float32)
    eyes = gradient_histograms(torch.from_numpy(eyes).flatten(0, 1).float()).unflatten(0, (-1, 2))
    return FaceFeatures(gradient_histograms(torch.from_numpy(mouths).float()), eyes, torch.from_numpy(landmarks))


@dataclass
class Observation:
    """One frame's face, before it is read.

    Attributes:
        seen: of the frame, ``B = 1``, in half precision.
        points: ``(P, 2)`` READ_POINTS in pixels of the frame.
        transform: ``(2, 3)`` from the frame to the cut.
    """

    seen: FaceFeatures
    points: np.ndarray
    transform: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, points: np.ndarray, scores: np.ndarray) -> Observation:
        """Look at a face of an RGB picture ``(H, W, 3)`` uint8 with landmarks ``(478, 2)`` and scores ``(52,)``."""
        transform, chosen = placement(points), points[READ_POINTS]
        seen = extract_features(cut(image, transform)[None], place(transform, chosen)[None], scores[None])
        return cls(FaceFeatures(seen.mouth.half(), seen.eyes.half(), seen.landmarks), chosen, transform)


def stack_features(observations: Sequence[Observation]) -> FaceFeatures:
    """All of several observations, at least one."""
    return FaceFeatures(*(torch.cat(parts).float() for parts in zip(*(look.seen for look in observations), strict=True)))
