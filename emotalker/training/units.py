"""Targets of HuBERT's first iteration (Hsu et al. 2021, section III): k-means clusters of MFCC frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SAMPLE_RATE = 16000
WINDOW, HOP = 400, 320  # HuBERT's receptive field and stride, so that units and features share their frames


class MFCC(nn.Module):
    """13 mel-frequency cepstra with first and second differences, at HuBERT's 50 frames per second.

    Shapes: wave ``(..., N)`` -> ``(..., floor((N - 400) / 320) + 1, 39)``.
    """

    def __init__(self, cepstra: int = 13, bands: int = 40):
        super().__init__()
        frequency = torch.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
        mel = 2595 * torch.log10(1 + frequency / 700)
        edges = torch.linspace(2595 * math.log10(1 + 60 / 700), mel[-1].item(), bands + 2)
        rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
        filters = torch.minimum(rising, falling).clamp_min(0)
        order = torch.arange(cepstra)[None] * (torch.arange(bands)[:, None] + 0.5) * math.pi / bands
        cosines = torch.cos(order) * math.sqrt(2 / bands)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        frames = wave.unfold(-1, WINDOW, HOP) * self.window
        power = torch.fft.rfft(frames).abs() ** 2
        cepstra = (power @ self.filters).clamp_min(1e-8).log() @ self.cosines
        first = torch.gradient(cepstra, dim=-2)[0] if cepstra.shape[-2] > 1 else torch.zeros_like(cepstra)
        second = torch.gradient(first, dim=-2)[0] if cepstra.shape[-2] > 1 else torch.zeros_like(cepstra)
        return torch.cat([cepstra, first, second], dim=-1)


class KMeans(nn.Module):
    """k-means over standardised vectors; centres and statistics are buffers, so that they travel with the weights."""

    def __init__(self, clusters: int, dim: int):
        super().__init__()
        self.register_buffer("centres", torch.zeros(clusters, dim))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def fit(self, points: Tensor, iterations: int = 25) -> float:
        """Lloyd's algorithm on ``(N, dim)`` from k-means++ seeds (Arthur and Vassilvitskii 2007).

        Returns the mean squared distance.

        Raises:
            ValueError: fewer points than clusters.
        """
        clusters = len(self.centres)
        if len(points) < clusters:
            raise ValueError(f"{len(points)} points cannot make {clusters} clusters")
        self.mean.copy_(points.mean(0))
        self.std.copy_(points.std(0).clamp_min(1e-4))
        points = (points - self.mean) / self.std
        remaining = torch.full((len(points),), math.inf)
        chosen = int(torch.randint(len(points), ()))
        for cluster in range(clusters):
            self.centres[cluster] = points[chosen]
            remaining = torch.minimum(remaining, (points - points[chosen]).square().sum(-1))
            chosen = int(torch.multinomial(remaining + 1e-12, 1))
        error = math.inf
        for _ in range(iterations):
            distance, owner = self._nearest(points)
            error = distance.mean().item()
            count = torch.bincount(owner, minlength=clusters)
            sums = torch.zeros_like(self.centres).index_add_(0, owner, points)
            filled = count > 0
            self.centres[filled] = sums[filled] / count[filled, None]
            empty = int((~filled).sum())  # an empty cluster restarts at the worst served points
            self.centres[~filled] = points[distance.topk(empty).indices]
        return error

    def forward(self, points: Tensor) -> Tensor:
        """Nearest centres of ``(..., dim)`` -> ``(...)`` int64."""
        return self._nearest((points - self.mean) / self.std)[1]

    def _nearest(self, points: Tensor) -> tuple[Tensor, Tensor]:
        scores = points @ self.centres.T - 0.5 * self.centres.square().sum(-1)
        best, owner = scores.max(-1)
        return points.square().sum(-1) - 2 * best, owner
