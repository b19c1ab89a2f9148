"""Per-entry standardisation, stored with every checkpoint. The paper feeds raw coefficients; standardised ones weigh a
blink (0..1) and a head shift (centimetres) alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each entry of a motion vector.

    Attributes:
        mean, std: ``(D,)`` float32 tensors; ``std`` is bounded below so that an entry that never moves stays finite.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, motion: Tensor, min_std: float = 1e-2) -> Statistics:
        """Measure ``(N, D)`` frames; NaN frames must have been removed."""
        return cls(motion.mean(0).float(), motion.std(0).clamp_min(min_std).float())


class Standardizer(nn.Module):
    """Statistics as module buffers, so that they travel with a model's weights.

    Shapes: any ``(..., D)`` to the same.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def set(self, statistics: Statistics) -> None:
        """Take over measured statistics; ValueError if they are of another length."""
        if statistics.mean.shape != self.mean.shape:
            raise ValueError(f"statistics of {len(statistics.mean)} entries for a model of {len(self.mean)}")
        self.mean.copy_(statistics.mean)
        self.std.copy_(statistics.std)

    def forward(self, x: Tensor) -> Tensor:
        """Raw to standardised."""
        return (x - self.mean) / self.std

    def inverse(self, z: Tensor) -> Tensor:
        """Standardised to raw."""
        return z * self.std + self.mean
