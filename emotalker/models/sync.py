"""The sync expert: audio and lip embeddings whose similarity measures lip sync (SyncNet on coefficients).

It is a training loss of the lip branch. Results are measured by :class:`~emotalker.models.sync_judge.SyncJudge`.
"""

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
from emotalker.settings.networks import SyncSize

#: Video frames per comparison; their audio is exactly one mel window.
SPAN = 5
#: Largest evaluated shift, video frames (docs/method.md 8).
MAX_SHIFT = 15


@dataclass(frozen=True)
class SyncConfig(SyncSize):
    """Attributes:
    space: name of the coefficient space, which determines the lip entries.
    """

    space: str = "arkit"


def _convolution(inputs: int, outputs: int, stride: int = 1, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, 3, stride, padding, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)
    )


@register_model("sync")
class SyncExpert(nn.Module):
    """Embeds audio and lips; embeddings of the same five frames are trained to be similar.

    Source: Chung and Zisserman, Out of time: automated lip sync in the wild (2016), with coefficients instead of images.
    ``standardizer.set`` takes the statistics of the complete space before training.
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
        """Mel spectrogram ``(B, 80, T)`` of a complete recording to windows ``(B, num_frames, 80, 16)``.

        Each band's mean is subtracted, which removes constant properties of voice and microphone.
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
        """:meth:`standardize`'d lips ``(B, F, L)``, any F >= 1, to unit vectors ``(B, F, dim)``; the receptive field of
        frame i is i - 2 .. i + 2, with end frames repeated."""
        padded = F.pad(lips.transpose(1, 2), (SPAN // 2, SPAN // 2), mode="replicate")
        return F.normalize(self.lip_encoder(padded).transpose(1, 2), dim=-1)

    def loss(self, audio: Tensor, lips: Tensor) -> Tensor:
        """Sync loss of a lip predictor: mean cosine distance of embeddings ``(B, F, dim)``, a scalar in 0..2."""
        return 1 - (audio * lips).sum(-1).mean()


def shifted_similarity(anchor: Tensor, other: Tensor, max_shift: int = MAX_SHIFT) -> Tensor:
    """Cosine similarities of each embedding with those ``-max_shift .. max_shift`` frames away in the other stream.

    Args:
        anchor, other: unit vectors ``(B, F, dim)``, F > 2 max_shift.

    Returns:
        ``(B, 2 max_shift + 1, F - 2 max_shift)``, for the frames that have all shifted frames.
    """
    spans = other.unfold(1, 2 * max_shift + 1, 1)  # (B, F - 2 max_shift, dim, shifts)
    return torch.einsum("bfd,bfds->bsf", anchor[:, max_shift : anchor.shape[1] - max_shift], spans)
