"""LPIPS (Zhang et al. 2018, arXiv:1801.03924): distance of two pictures in the features of AlexNet.

Neither part of its weights belongs to this project. They are torchvision's ``alexnet`` state dict (``features.0.weight`` ...)
and the linear layers of the package ``lpips``, version 0.1, ``alex.pth`` (``lin0.model.1.weight`` ...).
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from emotalker.models.published_weights import load_published

#: Mean and deviation of the published scaling layer, for colours in -1..1.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
CHANNELS = (64, 192, 384, 256, 256)
#: Layers of AlexNet's ``features`` whose outputs are compared: each rectified convolution.
TAPS = (1, 4, 7, 9, 11)


class AlexNetFeatures(nn.Module):
    """AlexNet's convolutions under torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip

    def forward(self, x: Tensor) -> list[Tensor]:
        """``(B, 3, H, W)`` to the outputs of TAPS."""
        outputs = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in TAPS:
                outputs.append(x)
        return outputs


class LinearLayers(nn.Module):
    """One weight for each channel, under the names of the package ``lpips``."""

    def __init__(self) -> None:
        super().__init__()
        for i, channels in enumerate(CHANNELS):
            layer = nn.Module()
            layer.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))
            self.add_module(f"lin{i}", layer)

    def forward(self, differences: list[Tensor]) -> Tensor:
        """Squared differences of TAPS to ``(B,)``."""
        parts = [getattr(self, f"lin{i}").model(d).mean((1, 2, 3)) for i, d in enumerate(differences)]
        return torch.stack(parts).sum(0)


class Lpips:
    """LPIPS with AlexNet.

    Args:
        alexnet: torchvision's weights.
        linear: ``alex.pth`` of the package ``lpips``.

    Raises:
        CheckpointError: a file is missing or does not fit.
    """

    def __init__(self, alexnet: str | os.PathLike, linear: str | os.PathLike):
        self.network = load_published(AlexNetFeatures(), alexnet, ignore=("classifier.",))
        self.linear = load_published(LinearLayers(), linear)

    @torch.inference_mode()
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances ``(B,)`` of pictures ``(B, H, W, 3)`` uint8."""
        return self.linear([(x - y) ** 2 for x, y in zip(self._features(a), self._features(b), strict=True)])

    def _features(self, images: Tensor) -> list[Tensor]:
        scaled = (images.float() / 127.5 - 1 - torch.tensor(SHIFT)) / torch.tensor(SCALE)
        outputs = self.network(scaled.permute(0, 3, 1, 2))
        return [x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in outputs]
