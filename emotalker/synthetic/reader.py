"""What a synthetic face does, read from the picture itself.

MediaPipe's networks know photographs. On rendered and painted faces their landmarks and scores stay behind what is to be
seen, a pucker or a raised outer brow most of all. A small network, taught on drawings of the head model, whose motion is
known exactly, looks at the picture again (:mod:`emotalker.synthetic.observation`). It says whether the face is drawn at all, and
if so, where the head model's own points are, seen from MediaPipe's, and which blendshapes the face makes. The fit takes both.

A wide mouth may smile or be wide. So the network sees each frame beside the average of the whole shot: what a face is like
and what it does come apart, as in the fit, where the frames share one identity. What the mouth does is read from the mouth
alone and the rest from the eyes: who sees all of a face learns people by heart, and knows strangers less well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES
from emotalker.core.checkpoint import load_checkpoint, register_model, shipped
from emotalker.settings.networks import FaceReaderConfig
from emotalker.synthetic.observation import (
    EYE_DIM,
    MEAN_POINTS,
    MIRRORED_POINTS,
    MOUTH_DIM,
    POINTS_DIM,
    READ_POINTS,
    FaceFeatures,
    Observation,
    stack_features,
)
from emotalker.tracking.backends import FIT_POINTS

#: Which blendshapes and READ_POINTS the mouth's window tells; the rest is read from the eyes' windows.
OF_MOUTH = np.isin(ARKIT_BLENDSHAPES, ARKIT.lip_names)
LOW = MEAN_POINTS[READ_POINTS, 1] > MEAN_POINTS[2, 1]  # below the nose


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
    """One of the networks that read a face.

    Args:
        config: sizes.
    """

    def __init__(self, config: FaceReaderConfig):
        super().__init__()
        low = torch.from_numpy(np.concatenate([OF_MOUTH, np.repeat(LOW, 2)]))
        self.mouth = _layers(2 * (config.mouth + config.landmarks), int(low.sum()), config)
        self.eyes = _layers(2 * (2 * config.eye + config.landmarks), int((~low).sum()), config)
        self.register_buffer("order", torch.cat([low.nonzero(), (~low).nonzero()])[:, 0].argsort(), persistent=False)

    def forward(self, mouth: Tensor, eyes: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptions of the mouth and of the eyes ``(B, entries)`` to blendshapes ``(B, 52)`` and shifts ``(B, P, 2)``."""
        read = torch.cat([self.mouth(mouth), self.eyes(eyes)], 1)[:, self.order]
        return read[:, : len(OF_MOUTH)], read[:, len(OF_MOUTH) :].unflatten(1, (-1, 2))


def _layers(entries: int, results: int, config: FaceReaderConfig) -> nn.Sequential:
    half = config.hidden // 2
    return nn.Sequential(
        nn.Linear(entries, config.hidden),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, half),
        nn.ReLU(),
        nn.Linear(half, results),
    )


@register_model("face_reader")
class SyntheticFaceReader(nn.Module):
    """Gradients, landmarks and scores of a frame and of its shot to blendshapes and the landmarks' corrections.

    Several networks, alike but for where their training began, err differently; their mean errs less than each.

    Args:
        config: sizes.
    """

    Config = FaceReaderConfig
    name = "face reader"

    def __init__(self, config: FaceReaderConfig):
        super().__init__()
        self.config = config
        self.of_mouth = Whitening(MOUTH_DIM, config.mouth)
        self.of_eye = Whitening(EYE_DIM, config.eye)
        self.of_landmarks = Whitening(POINTS_DIM, config.landmarks)
        self.members = nn.ModuleList(Member(config) for _ in range(config.members))
        self.synthetic_head = nn.Linear(sum(self.parts), 1)

    @property
    def parts(self) -> tuple[int, int, int]:
        """Entries of a description that tell the mouth, the landmarks and the eyes, in this order."""
        return self.config.mouth, self.config.landmarks, 2 * self.config.eye

    def describe(self, seen: FaceFeatures) -> Tensor:
        """What is seen of B frames to descriptions ``(B, D)``."""
        eyes = self.of_eye(seen.eyes.flatten(0, 1)).unflatten(0, (-1, 2)).flatten(1)
        return torch.cat([self.of_mouth(seen.mouth), self.of_landmarks(seen.landmarks), eyes], 1)

    def forward(self, described: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read frames.

        Args:
            described: ``(B, D)`` of :meth:`describe`.
            context: ``(B, D)`` or ``(1, D)``, their means over the shots.

        Returns:
            blendshapes ``(M, B, 52)`` by each of the M members, not limited to 0..1; shifts ``(M, B, P, 2)`` of the points in
            pixels of the cut; and logits ``(B,)`` of the shots' being drawn.
        """
        mouth, landmarks, eyes = (
            torch.cat(both, 1)
            for both in zip(described.split(self.parts, 1), (described - context).split(self.parts, 1), strict=True)
        )
        mouth, eyes = torch.cat([mouth, landmarks], 1), torch.cat([eyes, landmarks], 1)
        blendshapes, shifts = zip(*(member(mouth, eyes) for member in self.members), strict=True)
        return torch.stack(blendshapes), torch.stack(shifts), self.synthetic_head(context)[:, 0]

    def observe(self, image: np.ndarray, points: np.ndarray, scores: np.ndarray) -> Observation:
        """Features of an RGB frame ``(H, W, 3)`` uint8 with landmarks ``(478, 2)`` and blendshape scores ``(52,)``."""
        return Observation.of(image, points, scores)

    def context(self, observations: Sequence[Observation]) -> FaceFeatures:
        """The mean features of several frames of a shot."""
        return stack_features(observations).mean()

    @torch.inference_mode()
    def applies_to(self, context: FaceFeatures) -> bool:
        """Whether a shot shows synthetic faces and no photographs."""
        return bool(self.synthetic_head(self.describe(context)) > 0)

    @torch.inference_mode()
    def read(self, observations: Sequence[Observation], context: FaceFeatures) -> tuple[np.ndarray, np.ndarray]:
        """Read frames of one shot, each as it is and in a mirror: the mean of all readings errs less.

        Args:
            observations: T of them, at least one.
            context: the mean of what is seen of the shot.

        Returns:
            FIT_POINTS corrected ``(T, P, 2)`` in pixels of the frames, and blendshapes ``(T, 52)`` in 0..1.
        """
        seen = stack_features(observations)
        blendshapes, shifts, _ = self(self.describe(seen), self.describe(context))
        others, there, _ = self(self.describe(seen.mirrored()), self.describe(context.mirrored()))
        blendshapes = ((blendshapes + others[..., MIRRORED_BLENDSHAPES]) / 2).mean(0)
        shifts = ((shifts + there[:, :, MIRRORED_POINTS] * torch.tensor([-1.0, 1.0])) / 2).mean(0)
        points, transforms = (np.stack([getattr(look, name) for look in observations]) for name in ("points", "transform"))
        back = np.linalg.inv(transforms[:, :2, :2])
        moved = points + np.einsum("tij,tpj->tpi", back, shifts.numpy().astype(np.float64))
        return moved[:, np.searchsorted(READ_POINTS, FIT_POINTS)], blendshapes.numpy().clip(0, 1)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> SyntheticFaceReader:
        """The shipped network, or that of another checkpoint; CheckpointError if it cannot be read."""
        return load_checkpoint(path if path is not None else shipped("tracker") / "face_reader.safetensors", "face_reader")
