"""The sync expert: distance of lips and sound at any offset in time, after SyncNet. It is a training loss of the lip branch;
results are measured by :class:`~emotalker.models.sync_judge.SyncJudge`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.audio.mel import NUM_MELS, WINDOW_FRAMES, lip_windows
from emotalker.coefficients.space import CoefficientSpace, get_space
from emotalker.coefficients.statistics import Standardizer
from emotalker.core.checkpoint import register_model
from emotalker.core.config import ModelConfig

#: Video frames of one embedding; their sound is exactly one mel window.
SPAN = 5
#: The largest shift in video frames (docs/method.md 8).
MAX_SHIFT = 15


@dataclass(frozen=True)
class SyncConfig(ModelConfig):
    """Attributes:
    space: name of the coefficient space; it defines which entries are lips.
    mel_channels: widths of the three convolutions over a mel window.
    lip_channels: widths of the two convolutions over five frames of lips.
    dim: length of the embeddings.
    dropout: of the inputs of the last layers.
    """

    space: str = "arkit"
    mel_channels: tuple[int, ...] = (160, 192, 256)
    lip_channels: tuple[int, ...] = (128, 192)
    dim: int = 128
    dropout: float = 0.2


def _convolution(inputs: int, outputs: int, stride: int = 1, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, 3, stride, padding, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)
    )


@register_model("sync")
class SyncExpert(nn.Module):
    """Embeds sound and lips of the same five frames near each other.

    Source: Chung and Zisserman, Out of time: automated lip sync in the wild (2016), with coefficients in place of pictures.
    ``standardizer.set`` takes the statistics of the whole space before training.
    """

    Config = SyncConfig

    def __init__(self, config: SyncConfig):
        super().__init__()
        self.config = config
        self.register_buffer("lip", torch.as_tensor(self.space.lip), persistent=False)
        self.standardizer = Standardizer(self.space.dim)
        first, second, third = config.mel_channels
        self.mel_encoder = nn.Sequential(
            _convolution(NUM_MELS, first),
            _convolution(first, second, stride=2),
            _convolution(second, third, stride=2),
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(third * WINDOW_FRAMES // 4, config.dim),
        )
        first, second = config.lip_channels
        self.lip_encoder = nn.Sequential(
            _convolution(len(self.space.lip), first, padding=0),
            _convolution(first, second, padding=0),
            nn.Dropout(config.dropout),
            nn.Conv1d(second, config.dim, 1),
        )

    @cached_property
    def space(self) -> CoefficientSpace:
        """The coefficient space of the lips."""
        return get_space(self.config.space)

    def windows(self, mel: Tensor, num_frames: int) -> Tensor:
        """Cut a whole recording's mel ``(B, 80, T)`` into ``(B, num_frames, 80, 16)``, each band's mean removed.

        What a voice and a microphone add to every frame contains nothing about time.
        """
        return lip_windows(mel - mel.mean(-1, keepdim=True), num_frames, self.space.fps)

    def standardize(self, lips: Tensor) -> Tensor:
        """Raw lip entries ``(B, F, L)`` in standard deviations."""
        return (lips - self.standardizer.mean[self.lip]) / self.standardizer.std[self.lip]

    def embed_audio(self, windows: Tensor) -> Tensor:
        """:meth:`windows` ``(B, F, 80, 16)`` to unit vectors ``(B, F, dim)``."""
        batch, frames = windows.shape[:2]
        return F.normalize(self.mel_encoder(windows.flatten(0, 1)), dim=-1).view(batch, frames, -1)

    def embed_lips(self, lips: Tensor) -> Tensor:
        """:meth:`standardize`'d lips ``(B, F, L)``, any F >= 1, to unit vectors ``(B, F, dim)``; frame i depends on
        i - 2 .. i + 2, the end frames repeated."""
        padded = F.pad(lips.transpose(1, 2), (SPAN // 2, SPAN // 2), mode="replicate")
        return F.normalize(self.lip_encoder(padded).transpose(1, 2), dim=-1)

    def loss(self, audio: Tensor, lips: Tensor) -> Tensor:
        """Training loss of a lip predictor: mean cosine distance of embeddings ``(B, F, dim)``, a scalar in 0..2."""
        return 1 - (audio * lips).sum(-1).mean()


def shifted_similarity(anchor: Tensor, other: Tensor, max_shift: int = MAX_SHIFT) -> Tensor:
    """Cosines of each embedding with those ``-max_shift .. max_shift`` frames away in the other stream.

    Args:
        anchor, other: unit vectors ``(B, F, dim)``, F > 2 max_shift.

    Returns:
        ``(B, 2 max_shift + 1, F - 2 max_shift)``: for the frames all of whose partners exist.
    """
    spans = other.unfold(1, 2 * max_shift + 1, 1)  # (B, F - 2 max_shift, dim, shifts)
    return torch.einsum("bfd,bfds->bsf", anchor[:, max_shift : anchor.shape[1] - max_shift], spans)
