"""The lip branch: lips from the mel window of each frame and the expression of the rest of the face (docs/method.md 5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.audio.mel import lip_windows
from emotalker.coefficients.space import CoefficientSpace, get_space
from emotalker.coefficients.statistics import Standardizer
from emotalker.core.checkpoint import register_model
from emotalker.settings.networks import LipSize

#: Mel windows that are encoded together: the first layers' outputs of more do not fit the processor's cache.
_TOGETHER = 64


@dataclass(frozen=True)
class LipConfig(LipSize):
    """Attributes:
    space: name of the coefficient space, which determines the lip entries.
    """

    space: str = "arkit"


class ConvBlock(nn.Module):
    """Wav2Lip's block: convolution, batch norm, optional residual, ReLU; ``(B, C, H, W)`` to ``(B, C', H', W')``."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride=1, padding: int = 1, residual: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return F.relu(y + x if self.residual else y)


class MelEncoder(nn.Sequential):
    """Embedding of one mel window, ``(B, 1, 80, 16)`` to ``(B, audio_dim, 1, 1)`` (Wav2Lip's audio encoder)."""

    def __init__(self, config: LipConfig):
        layers: list[nn.Module] = []
        inputs = 1
        # 80 x 16 -> 80 x 16 -> 27 x 16 -> 9 x 6 -> 3 x 3 -> 1 x 1
        for width, stride in zip(config.channels, [1, (3, 1), 3, (3, 2)], strict=True):
            layers.append(ConvBlock(inputs, width, stride=stride))
            layers += [ConvBlock(width, width, residual=True) for _ in range(config.blocks)]
            inputs = width
        layers.append(ConvBlock(inputs, config.audio_dim, padding=0))
        super().__init__(*layers, ConvBlock(config.audio_dim, config.audio_dim, kernel=1, padding=0))


class TemporalBlock(nn.Module):
    """x + conv3(ReLU(x)) over time, end frames repeated: ``(B, W, F)`` to the same, any F >= 1."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.relu(x))


@register_model("lip")
class LipBranch(nn.Module):
    """Predicts lip entries from mel windows, the non-lip expression of each frame and the portrait's lips.

    The audio embedding of each frame is concatenated with the reference expression, in which the face branch's prediction
    replaces the non-lip entries. Temporal convolutions follow; training uses five frames, inference any number. Before
    training, ``standardizer.set`` takes the statistics of the complete space, including pose. Source: docs/method.md 5.
    """

    Config = LipConfig

    def __init__(self, config: LipConfig):
        super().__init__()
        self.config = config
        space = self.space
        lip = torch.as_tensor(space.lip)
        expression = torch.arange(space.expression.stop)
        self.register_buffer("lip", lip, persistent=False)
        self.register_buffer("face_expression", expression[~torch.isin(expression, lip)], persistent=False)
        self.standardizer = Standardizer(space.dim)
        self.mel_encoder = MelEncoder(config)
        inputs = config.audio_dim + len(expression) + config.num_emotions
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Conv1d(inputs, config.hidden_dim, 1),
            *[TemporalBlock(config.hidden_dim) for _ in range(config.temporal_layers)],
            nn.ReLU(),
            nn.Conv1d(config.hidden_dim, len(lip), 1),
        )

    @cached_property
    def space(self) -> CoefficientSpace:
        """The coefficient space of inputs and outputs."""
        return get_space(self.config.space)

    def windows(self, mel: Tensor, num_frames: int) -> Tensor:
        """Mel spectrogram ``(B, 80, T)`` of a complete recording to the input of :meth:`forward` ``(B, num_frames, 80, 16)``.

        Chunks are taken from the result, because ``normalize_mel`` needs the mean over the recording.
        """
        if self.config.normalize_mel:
            mel = mel - mel.mean(-1, keepdim=True)
        return lip_windows(mel, num_frames, self.space.fps)

    def forward(self, mel_windows: Tensor, face: Tensor, reference: Tensor, emotion: Tensor | None = None) -> Tensor:
        """Lips of F consecutive frames.

        Args:
            mel_windows: ``(B, F, 80, 16)`` from :meth:`windows`.
            face: ``(B, F, E')`` raw non-lip expression of each frame: entries ``face_expression`` of motion vectors, the
                first E' entries of the face branch.
            reference: ``(B, D)`` raw motion vector of the portrait; only its lip entries are used.
            emotion: weights ``(B, num_emotions)``, or of each frame ``(B, F, num_emotions)``; zeros or None if unknown.

        Returns:
            ``(B, F, len(space.lip))`` raw units.
        """
        return self.predict(self.encode_audio(mel_windows), face, reference, emotion)

    def encode_audio(self, mel_windows: Tensor) -> Tensor:
        """Audio embedding of each frame, ``(B, F, 80, 16)`` to ``(B, F, audio_dim)``."""
        batch, frames = mel_windows.shape[:2]
        images = mel_windows.reshape(batch * frames, 1, *mel_windows.shape[2:])
        if self.training:
            return self.mel_encoder(images).view(batch, frames, -1)
        parts = [self.mel_encoder(part) for part in images.split(_TOGETHER)]
        return torch.cat(parts).view(batch, frames, -1)

    def predict(self, audio: Tensor, face: Tensor, reference: Tensor, emotion: Tensor | None = None) -> Tensor:
        """:meth:`forward` with the embeddings of :meth:`encode_audio`, which can be reused for several faces and emotions."""
        batch, frames = audio.shape[:2]
        mean, std = self.standardizer.mean, self.standardizer.std
        lips = self.standardizer(reference)[:, None, self.lip].expand(-1, frames, -1)
        face = (face - mean[self.face_expression]) / std[self.face_expression]
        if emotion is None:
            emotion = face.new_zeros(batch, self.config.num_emotions)
        if emotion.ndim == 2:
            emotion = emotion[:, None].expand(-1, frames, -1)
        hidden = torch.cat([audio, lips, face, emotion], dim=-1).transpose(1, 2)
        return self.head(hidden).transpose(1, 2) * std[self.lip] + mean[self.lip]

    def loss(self, lips: Tensor, target: Tensor, *, velocity_weight: float) -> dict[str, Tensor]:
        """MSE and MSE of velocities on standardised lips; both arguments ``(B, F, len(space.lip))`` raw.

        Returns:
            Scalars ``loss``, ``reconstruction`` and ``velocity``.
        """
        error = (lips - target) / self.standardizer.std[self.lip]
        reconstruction = error.square().mean()
        velocity = error.diff(dim=1).square().mean() if error.shape[1] > 1 else error.new_zeros(())
        return {"loss": reconstruction + velocity_weight * velocity, "reconstruction": reconstruction, "velocity": velocity}
