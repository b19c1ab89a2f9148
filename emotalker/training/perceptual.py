"""Perceptual distance of pictures: features of EfficientNet-Lite0, trained on ImageNet (Apache-2.0).

The idea is Johnson et al. (2016); the distance is ours. It is not LPIPS, whose networks and calibration are others.
"""

from __future__ import annotations

import os
import pickle

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.core.errors import CheckpointError
from emotalker.core.registry import resolve

#: Blocks of EfficientNet-Lite0 up to a sixteenth of the resolution: kernel, stride, expansion, output channels.
BLOCKS = (
    (3, 1, 1, 16),
    (3, 2, 6, 24), (3, 1, 6, 24),
    (5, 2, 6, 40), (5, 1, 6, 40),
    (3, 2, 6, 80),
)  # fmt: skip
#: Blocks whose output is compared: at a half, a quarter, an eighth and a sixteenth of the resolution.
COMPARED = (0, 2, 4, 5)
STEM = 32


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's "same" padding of ``(B, C, H, W)``, which the weights were trained with."""
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class _Layer(nn.Module):
    """A convolution without bias and its batch normalisation, in evaluation mode always."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def train(self, mode: bool = True) -> _Layer:
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(_same(x, self.kernel, self.stride)))


class _Block(nn.Module):
    """An inverted residual block (MobileNetV2, Sandler et al. 2018)."""

    def __init__(self, inputs: int, kernel: int, stride: int, expansion: int, outputs: int):
        super().__init__()
        wide = inputs * expansion
        self.expand = _Layer(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = _Layer(wide, wide, kernel, stride, wide)
        self.project = _Layer(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class PerceptualDistance(nn.Module):
    """Mean absolute difference of features relative to their mean magnitude, averaged over four resolutions.

    Its weights are fixed and are no parameters that a solver trains.
    """

    def __init__(self):
        super().__init__()
        self.stem = _Layer(3, STEM, 3, 2)
        inputs = [STEM, *(block[3] for block in BLOCKS)]
        self.blocks = nn.ModuleList([_Block(a, *block) for a, block in zip(inputs, BLOCKS, strict=False)])
        self.requires_grad_(False)

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> PerceptualDistance:
        """With the published weights.

        Args:
            path: ``efficientnet-lite0-57934424.pth``; by default the registry finds or downloads it.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        path = resolve("efficientnet_lite0", path)
        distance = cls()
        try:
            published = torch.load(path, map_location="cpu", weights_only=True)
            distance.load_state_dict({name: published[_published(name)] for name in distance.state_dict()})
        except (OSError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{path} has no weights of EfficientNet-Lite0 ({error}); fetch it again") from error
        return distance

    def features(self, picture: Tensor) -> list[Tensor]:
        """Of ``(B, 3, S, S)`` in 0..1, at each of COMPARED."""
        x = F.relu6(self.stem((picture * 255 - 127) / 128))
        kept = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in COMPARED:
                kept.append(x)
        return kept

    def forward(self, picture: Tensor, target: Tensor) -> Tensor:
        """Distance of two batches ``(B, 3, S, S)`` in 0..1, a scalar; the gradient is the first one's only."""
        with torch.no_grad():
            wanted = self.features(target)
        terms = [(a - b).abs().mean() / (b.abs().mean() + 1e-6) for a, b in zip(self.features(picture), wanted, strict=True)]
        return torch.stack(terms).mean()


def _published(name: str) -> str:
    """The published name of a tensor of :class:`PerceptualDistance`."""
    place, *layer, part, entry = name.split(".")
    if place == "stem":
        return f"_conv_stem.{entry}" if part == "convolution" else f"_bn0.{entry}"
    number, kind = layer
    names = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    return f"_blocks.{number}.{names[kind][part == 'norm']}.{entry}"
