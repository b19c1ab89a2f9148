"""Blendshapes and landmark corrections of synthetic faces, predicted from the image.

MediaPipe's networks are trained on photographs. On synthetic (not photographed) faces their landmarks and scores
underestimate the motion, most of all a pucker or a raised outer brow. A small network, trained on renderings of the head
model with exactly known motion, predicts from the features of :mod:`emotalker.synthetic.observation` whether a shot shows
synthetic faces, the offsets from MediaPipe's landmarks to the head model's, and the blendshapes. The fit uses both.

A wide mouth can be a smile or part of the identity. The network therefore also takes the mean features of the shot's frames
(the context), as the fit shares one identity between frames. The mouth is predicted from the mouth's window only and the
other parts from the eyes' windows, because a network that takes the whole face overfits to the identities in training.
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

#: Masks of the blendshapes and the READ_POINTS (those below the nose) that are predicted from the mouth's window. The others
#: are predicted from the eyes' windows.
MOUTH_BLENDSHAPES = np.isin(ARKIT_BLENDSHAPES, ARKIT.lip_names)
MOUTH_POINTS = MEAN_POINTS[READ_POINTS, 1] > MEAN_POINTS[2, 1]


class Whitening(nn.Module):
    """PCA whitening, ``(B, entries)`` to ``(B, components)``; :meth:`fit` sets its buffers.

    Args:
        entries: input width.
        components: output width.
    """

    def __init__(self, entries: int, components: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(entries))
        self.register_buffer("basis", torch.zeros(entries, components))

    def forward(self, values: Tensor) -> Tensor:
        return (values.float() - self.mean) @ self.basis

    def fit(self, values: Tensor, damping: float) -> None:
        """Compute the basis from examples ``(N, entries)``.

        Args:
            values: the examples.
            damping: this multiple of the median component's variance is added to all, so that weak components are not
                amplified to unit variance.
        """
        values = values.float()
        self.mean.copy_(values.mean(0))
        count = self.basis.shape[1]
        _, singular, directions = torch.pca_lowrank(values - self.mean, count, center=False, niter=2)
        variance = singular.square() / len(values)
        self.basis.copy_(directions / (variance + damping * variance[count // 2]).sqrt().clamp(min=1e-6))


class EnsembleMember(nn.Module):
    """One network of the ensemble: two MLPs, for the mouth and for the rest of the face.

    Args:
        config: sizes.
    """

    def __init__(self, config: FaceReaderConfig):
        super().__init__()
        of_mouth = torch.from_numpy(np.concatenate([MOUTH_BLENDSHAPES, np.repeat(MOUTH_POINTS, 2)]))
        self.mouth = _mlp(2 * (config.mouth + config.landmarks), int(of_mouth.sum()), config)
        self.eyes = _mlp(2 * (2 * config.eye + config.landmarks), int((~of_mouth).sum()), config)
        order = torch.cat([of_mouth.nonzero(), (~of_mouth).nonzero()])[:, 0].argsort()
        self.register_buffer("order", order, persistent=False)

    def forward(self, mouth: Tensor, eyes: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors of the mouth and of the eyes ``(B, entries)`` to blendshapes ``(B, 52)`` and shifts ``(B, P, 2)``."""
        output = torch.cat([self.mouth(mouth), self.eyes(eyes)], 1)[:, self.order]
        count = len(MOUTH_BLENDSHAPES)
        return output[:, :count], output[:, count:].unflatten(1, (-1, 2))


def _mlp(entries: int, results: int, config: FaceReaderConfig) -> nn.Sequential:
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
    """Ensemble that predicts blendshapes and landmark corrections from the features of a frame and of its shot.

    The members differ in their initialisation only. The mean of their predictions has a smaller error than each member's.

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
        self.members = nn.ModuleList(EnsembleMember(config) for _ in range(config.members))
        self.synthetic_head = nn.Linear(sum(self.parts), 1)

    @property
    def parts(self) -> tuple[int, int, int]:
        """Sizes of a descriptor's parts: mouth, landmarks and eyes, in this order."""
        return self.config.mouth, self.config.landmarks, 2 * self.config.eye

    def describe(self, features: FaceFeatures) -> Tensor:
        """Descriptors ``(B, D)``, the whitened features of B frames."""
        eyes = self.of_eye(features.eyes.flatten(0, 1)).unflatten(0, (-1, 2)).flatten(1)
        return torch.cat([self.of_mouth(features.mouth), self.of_landmarks(features.landmarks), eyes], 1)

    def forward(self, described: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predictions of each member.

        Args:
            described: descriptors ``(B, D)`` of :meth:`describe`.
            context: ``(B, D)`` or ``(1, D)``, mean descriptors of the context frames.

        Returns:
            blendshapes ``(M, B, 52)`` of the M members, not limited to 0..1; shifts ``(M, B, P, 2)`` of the points in pixels
            of the crop; and logits ``(B,)`` or ``(1,)`` that the context shows synthetic faces.
        """
        mouth, landmarks, eyes = (
            torch.cat(both, 1)
            for both in zip(described.split(self.parts, 1), (described - context).split(self.parts, 1), strict=True)
        )
        mouth, eyes = torch.cat([mouth, landmarks], 1), torch.cat([eyes, landmarks], 1)
        blendshapes, shifts = zip(*(member(mouth, eyes) for member in self.members), strict=True)
        return torch.stack(blendshapes), torch.stack(shifts), self.synthetic_head(context)[:, 0]

    def observe(self, image: np.ndarray, points: np.ndarray, scores: np.ndarray) -> Observation:
        """The observation of an RGB frame ``(H, W, 3)`` uint8 with landmarks ``(478, 2)`` and blendshape scores ``(52,)``."""
        return Observation.of(image, points, scores)

    def context(self, observations: Sequence[Observation]) -> FaceFeatures:
        """The mean features of a shot's context frames."""
        return stack_features(observations).mean()

    @torch.inference_mode()
    def applies_to(self, context: FaceFeatures) -> bool:
        """Whether a shot with this context is predicted to show synthetic faces instead of photographed ones."""
        return bool(self.synthetic_head(self.describe(context)) > 0)

    @torch.inference_mode()
    def read(self, observations: Sequence[Observation], context: FaceFeatures) -> tuple[np.ndarray, np.ndarray]:
        """Predictions for frames of one shot, averaged over the members and over each frame and its mirror image.

        Args:
            observations: of T frames, at least one.
            context: mean features of the shot, from :meth:`context`.

        Returns:
            corrected FIT_POINTS ``(T, F, 2)`` in pixels of the frames, and blendshapes ``(T, 52)`` in 0..1.
        """
        features = stack_features(observations)
        blendshapes, shifts, _ = self(self.describe(features), self.describe(context))
        mirrored, mirrored_shifts, _ = self(self.describe(features.mirrored()), self.describe(context.mirrored()))
        blendshapes = ((blendshapes + mirrored[..., MIRRORED_BLENDSHAPES]) / 2).mean(0)
        shifts = ((shifts + mirrored_shifts[:, :, MIRRORED_POINTS] * torch.tensor([-1.0, 1.0])) / 2).mean(0)
        points, transforms = (np.stack([getattr(o, name) for o in observations]) for name in ("points", "transform"))
        back = np.linalg.inv(transforms[:, :2, :2])
        moved = points + np.einsum("tij,tpj->tpi", back, shifts.numpy().astype(np.float64))
        return moved[:, np.searchsorted(READ_POINTS, FIT_POINTS)], blendshapes.numpy().clip(0, 1)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> SyntheticFaceReader:
        """Load a checkpoint, by default the shipped one; CheckpointError if it cannot be read."""
        return load_checkpoint(path if path is not None else shipped("tracker") / "face_reader.safetensors", "face_reader")
