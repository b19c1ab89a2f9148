"""The sync judge: measures the lip sync of generated motion. It is no training loss of any network (docs/method.md 8).

It differs from :class:`~emotalker.models.sync.SyncExpert`, which the lip branch is trained on, in architecture (recurrent
networks over whole recordings, speech features in place of a mel-spectrogram, lip geometry in place of coefficients) and in
training clips: it is trained on corpora that no lips are trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.coefficients.space import CoefficientSpace, get_space
from emotalker.coefficients.statistics import Standardizer
from emotalker.core.checkpoint import register_model
from emotalker.settings.networks import SyncJudgeSize

#: Speech features per video frame.
FEATURES_PER_FRAME = 2


@dataclass(frozen=True)
class SyncJudgeConfig(SyncJudgeSize):
    """The size, and what the data determine.

    Attributes:
        space: name of the coefficient space, which determines the lip entries.
        audio_dim: entries of a speech feature.
        measures: number of distances on the mouth that the lips are reduced to.
    """

    space: str = "arkit"
    audio_dim: int = 512
    measures: int = 8


class RecurrentEncoder(nn.Module):
    """A bidirectional GRU over frames between two linear layers, ``(B, F, inputs)`` to unit vectors ``(B, F, dim)``."""

    def __init__(self, inputs: int, config: SyncJudgeConfig):
        super().__init__()
        self.input = nn.Linear(inputs, config.hidden_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = nn.GRU(config.hidden_dim, config.hidden_dim, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * config.hidden_dim, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.recurrent(self.dropout(F.relu(self.input(self.dropout(x)))))
        return F.normalize(self.output(self.dropout(hidden)), dim=-1)


@register_model("sync_judge")
class SyncJudge(nn.Module):
    """Embeds sound and lips of the same frame near each other.

    :meth:`set_mouth` takes the mouth's geometry and ``standardizer.set`` the statistics of the speech features before
    training. Amplitude is normalised per recording, so the judge measures timing and shape, not how far a mouth opens.
    """

    Config = SyncJudgeConfig

    def __init__(self, config: SyncJudgeConfig):
        super().__init__()
        self.config = config
        self.register_buffer("mouth", torch.zeros(len(self.space.lip), config.measures))
        self.register_buffer("scale", torch.ones(config.measures))
        self.standardizer = Standardizer(config.audio_dim)
        self.audio_encoder = RecurrentEncoder(FEATURES_PER_FRAME * config.audio_dim, config)
        self.lip_encoder = RecurrentEncoder(2 * config.measures, config)

    @cached_property
    def space(self) -> CoefficientSpace:
        """The coefficient space of the lips."""
        return get_space(self.config.space)

    def set_mouth(self, mouth: Tensor, scale: Tensor) -> None:
        """Store the change of each measure per lip entry ``(L, measures)`` and the typical standard deviation of each
        measure over a recording ``(measures,)``."""
        self.mouth.copy_(mouth)
        self.scale.copy_(scale)

    def standardize_audio(self, features: Tensor) -> Tensor:
        """Speech features ``(B, 2 F, audio_dim)`` to ``(B, F, 2 audio_dim)`` of zero mean over F: what a voice adds to every
        frame contains nothing about time."""
        scaled = self.standardizer(features).unflatten(1, (-1, FEATURES_PER_FRAME)).flatten(2)
        return scaled - scaled.mean(1, keepdim=True)

    def standardize_lips(self, lips: Tensor) -> Tensor:
        """Raw lip entries ``(B, F, L)`` to measures ``(B, F, measures)`` of zero mean and about unit deviation over F."""
        measures = lips @ self.mouth
        measures = measures - measures.mean(1, keepdim=True)
        deviation = measures.square().mean(1, keepdim=True).sqrt()
        return measures / torch.maximum(deviation, self.config.floor * self.scale)

    def embed_audio(self, audio: Tensor) -> Tensor:
        """:meth:`standardize_audio`'s output to unit vectors ``(B, F, dim)``."""
        return self.audio_encoder(audio)

    def embed_lips(self, lips: Tensor) -> Tensor:
        """:meth:`standardize_lips`' output ``(B, F, measures)``, with its changes between frames, to ``(B, F, dim)``."""
        change = lips - F.pad(lips, (0, 0, 1, 0), mode="replicate")[:, :-1]
        return self.lip_encoder(torch.cat([lips, change], -1))
