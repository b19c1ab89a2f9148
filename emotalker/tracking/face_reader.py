"""What a drawn face does, read from the picture itself.

MediaPipe's networks know photographs. On rendered and painted faces their landmarks and scores stay behind what is to be
seen, a pucker or a raised outer brow most of all. A small network, taught on drawings of the head model, whose motion is
known exactly, looks at the picture again, levelled and cut by the landmarks. It says whether the face is drawn at all, and if
so, where the head model's own points are, seen from MediaPipe's, and which actions the face makes. The fit takes both.

A wide mouth may smile or be wide. So the network sees each frame beside the average of the whole shot: what a face is like
and what it does come apart, as in the fit, where the frames share one identity. The picture is told by histograms of
oriented gradients (Dalal & Triggs 2005), which light and skin hardly change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.coefficients import ARKIT_ACTIONS
from emotalker.face.model import FaceModel
from emotalker.motion.checkpoint import load_checkpoint, shipped
from emotalker.tracking.backends import FIT_POINTS

SIDE = 128  # pixels of the cut
EYE_DISTANCE = 62.0  # between the outer corners of the eyes in it, pixels
EYE_LINE = 34.0  # pixels below its upper border
#: Points that hardly move with the face: corners of the eyes, ridge and root of the nose.
STEADY_POINTS = np.array([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 98, 327, 2])
POINT_SCALE = 5.0  # pixels of the cut: the unit in which the network takes points
DIRECTIONS = 8  # of gradients
CELL, STRIDE, SURROUNDINGS = 8, 4, 24  # pixels: of a histogram, between two, and of what its contrast is measured by
FLAT = 2.0  # grey levels a pixel; gradients in flatter surroundings are not stretched further


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


def gradient_histograms(cuts: Tensor) -> Tensor:
    """Cuts ``(B, SIDE, SIDE)`` of grey levels to ``(B, PICTURE_DIM)``: in each cell the gradients by direction, as shares of
    the surroundings' contrast."""
    padded = F.pad(cuts[:, None], (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    angles = torch.arange(DIRECTIONS) * (2 * torch.pi / DIRECTIONS)
    along = across * angles.cos().view(1, -1, 1, 1) + down * angles.sin().view(1, -1, 1, 1)
    histograms = F.avg_pool2d(along.relu(), CELL, STRIDE)
    energy = F.avg_pool2d(across.square() + down.square(), SURROUNDINGS, STRIDE)
    contrast = F.interpolate(energy, histograms.shape[-2:], mode="bilinear").sqrt()
    return (histograms / (contrast + FLAT)).flatten(1)


PICTURE_DIM = DIRECTIONS * ((SIDE - CELL) // STRIDE + 1) ** 2
POINTS_DIM = 2 * len(FIT_POINTS) + len(ARKIT_ACTIONS)


#: Each action's partner on the other side of the face, itself if it has none.
MIRRORED_ACTIONS = np.array([
    ARKIT_ACTIONS.index(n.replace("Left", "?").replace("Right", "Left").replace("?", "Right")) for n in ARKIT_ACTIONS
])  # fmt: skip


def _mirrored_points() -> np.ndarray:
    points = FaceModel.load().landmark_mean[FIT_POINTS]
    return np.argmin(((points[:, None] * [-1, 1, 1] - points) ** 2).sum(-1), 1)


#: Each of FIT_POINTS' partner on the other side of the face, ``(P,)``.
MIRRORED_POINTS = _mirrored_points()


def mirrored(pictures: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients ``(B, PICTURE_DIM)`` and landmarks ``(B, POINTS_DIM)`` to those of the mirrored cuts."""
    cells = (SIDE - CELL) // STRIDE + 1
    directions = (DIRECTIONS // 2 - torch.arange(DIRECTIONS)) % DIRECTIONS
    pictures = pictures.unflatten(1, (DIRECTIONS, cells, cells))[:, directions].flip(3).flatten(1)
    width = 2 * len(FIT_POINTS)
    points = landmarks[:, :width].unflatten(1, (-1, 2)) + _UNIT_MEAN
    points = points[:, MIRRORED_POINTS] * torch.tensor([-1.0, 1.0]) + torch.tensor([SIDE / POINT_SCALE, 0.0])
    return pictures, torch.cat([(points - _UNIT_MEAN).flatten(1), landmarks[:, width:][:, MIRRORED_ACTIONS]], 1)


_UNIT_MEAN = torch.from_numpy(MEAN_POINTS[FIT_POINTS] / POINT_SCALE).float()


@dataclass
class Look:
    """One frame's face, before it is read.

    Attributes:
        picture: ``(PICTURE_DIM,)`` float16, its gradients.
        landmarks: ``(POINTS_DIM,)`` FIT_POINTS less the average head's in POINT_SCALE pixels of the cut, and scores.
        points: ``(P, 2)`` FIT_POINTS in pixels of the frame.
        transform: ``(2, 3)`` from the frame to the cut.
    """

    picture: np.ndarray
    landmarks: np.ndarray
    points: np.ndarray
    transform: np.ndarray

    @classmethod
    def at(cls, image: np.ndarray, points: np.ndarray, scores: np.ndarray) -> Look:
        """Look at a face of an RGB picture ``(H, W, 3)`` uint8 with landmarks ``(478, 2)`` and scores ``(52,)``."""
        transform, chosen = placement(points), points[FIT_POINTS]
        grey = torch.from_numpy(cut(image, transform)[None]).float()
        told = landmark_entries(place(transform, chosen)[None], scores[None])[0]
        return cls(gradient_histograms(grey)[0].half().numpy(), told, chosen, transform)


def landmark_entries(points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """FIT_POINTS ``(B, P, 2)`` in the cut and scores ``(B, 52)`` as the network takes them, ``(B, POINTS_DIM)`` float32."""
    offsets = (points - MEAN_POINTS[FIT_POINTS]) / POINT_SCALE
    return np.concatenate([offsets.reshape(len(points), -1), scores], 1).astype(np.float32)


#: What a shot's frames have in common: the means of their gradients ``(1, PICTURE_DIM)`` and landmarks ``(1, POINTS_DIM)``.
Context = tuple[Tensor, Tensor]


def _stacked(looks: Sequence[Look]) -> tuple[Tensor, Tensor]:
    picture, landmarks = (np.stack([getattr(look, name) for look in looks]) for name in ("picture", "landmarks"))
    return torch.from_numpy(picture).float(), torch.from_numpy(landmarks)


def context_of(looks: Sequence[Look]) -> Context:
    """The context of a shot from frames of it, at least one."""
    pictures, landmarks = _stacked(looks)
    return pictures.mean(0, keepdim=True), landmarks.mean(0, keepdim=True)


@dataclass(frozen=True)
class FaceReaderConfig:
    """Attributes:
    picture: components kept of the gradients.
    landmarks: components kept of points and scores.
    hidden: width of a member's first layer.
    members: how many networks read each face; their mean counts.
    dropout: in training.
    """

    picture: int = 700
    landmarks: int = 250
    hidden: int = 1024
    members: int = 3
    dropout: float = 0.2

    def to_dict(self) -> dict:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> FaceReaderConfig:
        """Inverse of :meth:`to_dict`."""
        return cls(**values)


class Whitening(nn.Module):
    """Principal components scaled to like deviation, ``(B, entries)`` to ``(B, components)``; see :meth:`learn`."""

    def __init__(self, entries: int, components: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(entries))
        self.register_buffer("basis", torch.zeros(entries, components))

    def forward(self, values: Tensor) -> Tensor:
        return (values.float() - self.mean) @ self.basis

    def learn(self, values: Tensor, damping: float) -> None:
        """From examples ``(N, entries)``. Components much weaker than the middle one times ``damping`` are not raised."""
        values = values.float()
        self.mean.copy_(values.mean(0))
        count = self.basis.shape[1]
        _, singular, directions = torch.pca_lowrank(values - self.mean, count, center=False, niter=2)
        variance = singular.square() / len(values)
        self.basis.copy_(directions / (variance + damping * variance[count // 2]).sqrt().clamp(min=1e-6))


class Member(nn.Module):
    """One of the networks that read a face: descriptions ``(B, entries)`` to actions ``(B, 52)`` and shifts ``(B, P, 2)``."""

    def __init__(self, entries: int, config: FaceReaderConfig):
        super().__init__()
        half = config.hidden // 2
        self.body = nn.Sequential(
            nn.Linear(entries, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, half),
            nn.ReLU(),
        )
        self.actions = nn.Linear(half, len(ARKIT_ACTIONS))
        self.shifts = nn.Linear(half, 2 * len(FIT_POINTS))

    def forward(self, described: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(described)
        return self.actions(hidden), self.shifts(hidden).unflatten(1, (-1, 2))


class FaceReader(nn.Module):
    """Gradients, landmarks and scores of a frame and of its shot to actions and the landmarks' corrections.

    Several networks, alike but for where their training began, err differently; their mean errs less than each.

    Args:
        config: sizes.
    """

    Config = FaceReaderConfig

    def __init__(self, config: FaceReaderConfig):
        super().__init__()
        self.config = config
        self.of_picture = Whitening(PICTURE_DIM, config.picture)
        self.of_landmarks = Whitening(POINTS_DIM, config.landmarks)
        described = config.picture + config.landmarks
        self.members = nn.ModuleList(Member(2 * described, config) for _ in range(config.members))
        self.drawn = nn.Linear(described, 1)

    def describe(self, picture: Tensor, landmarks: Tensor) -> Tensor:
        """Gradients ``(B, PICTURE_DIM)`` and landmarks ``(B, POINTS_DIM)`` to descriptions ``(B, D)``."""
        return torch.cat([self.of_picture(picture), self.of_landmarks(landmarks)], 1)

    def forward(self, described: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read frames.

        Args:
            described: ``(B, D)`` of :meth:`describe`.
            context: ``(B, D)`` or ``(1, D)``, their means over the shots.

        Returns:
            actions ``(M, B, 52)`` by each of the M members, not limited to 0..1; shifts ``(M, B, P, 2)`` of the points in
            pixels of the cut; and logits ``(B,)`` of the shots' being drawn.
        """
        beside = torch.cat([described, described - context], 1)
        actions, shifts = zip(*(member(beside) for member in self.members), strict=True)
        return torch.stack(actions), torch.stack(shifts), self.drawn(context)[:, 0]

    @torch.inference_mode()
    def is_drawn(self, context: Context) -> bool:
        """Whether a shot shows no photograph."""
        return bool(self.drawn(self.describe(*context)) > 0)

    @torch.inference_mode()
    def read(self, looks: Sequence[Look], context: Context) -> tuple[np.ndarray, np.ndarray]:
        """Read frames of one shot, each as it is and in a mirror: the mean of all readings errs less.

        Args:
            looks: T of them, at least one.
            context: of the shot.

        Returns:
            FIT_POINTS corrected ``(T, P, 2)`` in pixels of the frames, and actions ``(T, 52)`` in 0..1.
        """
        given = _stacked(looks)
        actions, shifts, _ = self(self.describe(*given), self.describe(*context))
        others, there, _ = self(self.describe(*mirrored(*given)), self.describe(*mirrored(*context)))
        actions = ((actions + others[..., MIRRORED_ACTIONS]) / 2).mean(0)
        shifts = ((shifts + there[:, :, MIRRORED_POINTS] * torch.tensor([-1.0, 1.0])) / 2).mean(0)
        points, transforms = (np.stack([getattr(look, name) for look in looks]) for name in ("points", "transform"))
        back = np.linalg.inv(transforms[:, :2, :2])
        moved = points + np.einsum("tij,tpj->tpi", back, shifts.numpy().astype(np.float64))
        return moved, actions.numpy().clip(0, 1)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> FaceReader:
        """The shipped network, or that of another checkpoint; CheckpointError if it cannot be read."""
        return load_checkpoint(path if path is not None else shipped("tracker") / "face_reader.safetensors", "face_reader")
