"""Per-entry standardisation, stored in every checkpoint. The paper uses raw coefficients; standardisation gives entries of
different units (blinks in 0..1, translations in centimetres) equal weight in the losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each entry of a motion vector.

    Attributes:
        mean, std: ``(D,)`` float32 tensors; ``std`` has a lower bound, so that constant entries stay finite.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, motion: Tensor, min_std: float = 1e-2) -> Statistics:
        """Statistics of ``(N, D)`` frames without NaN."""
        return cls(motion.mean(0).float(), motion.std(0).clamp_min(min_std).float())


class Standardizer(nn.Module):
    """Standardisation with statistics in buffers, so that they are saved with a model's weights.

    Shapes: ``(..., D)`` to the same.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def set(self, statistics: Statistics) -> None:
        """Copy statistics into the buffers; ValueError if the length differs."""
        if statistics.mean.shape != self.mean.shape:
            raise ValueError(f"statistics of {len(statistics.mean)} entries for a model of {len(self.mean)}")
        self.mean.copy_(statistics.mean)
        self.std.copy_(statistics.std)

    def forward(self, x: Tensor) -> Tensor:
        """Raw units to standardised."""
        return (x - self.mean) / self.std

    def inverse(self, z: Tensor) -> Tensor:
        """Standardised to raw units."""
        return z * self.std + self.mean
