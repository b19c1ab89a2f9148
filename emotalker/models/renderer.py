"""Trainable renderers: a window of motion and a picture of the person to a frame, by flow, warp and edit (docs/method.md 11).

:class:`PortraitGenerator` is of the published kind (PIRender, Ren et al. 2021). :class:`FaceRefiner` is a small network that
corrects the face in a frame of the warp renderer. Both take pictures ``(B, 3, S, S)`` in 0..1 and windows ``(B, W, D)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.coefficients.statistics import Standardizer
from emotalker.core.checkpoint import register_model
from emotalker.settings.networks import GeneratorSize, RefinerSize

#: Half axes, across and down, of the ellipse in which a face is refined, relative to the square's side. The outline of a face
#: at rest has about 0.3 and 0.4; an open jaw is lower.
ELLIPSE = (0.37, 0.48)

#: Largest standardised entry of a motion, either way. Speech seldom wrinkles the nose, so an acted anger is far from the
#: mean; beyond what was seen in training, the networks change the colour of the whole face.
LARGEST = 2.5


@dataclass(frozen=True)
class RefinerConfig(RefinerSize):
    """Attributes:
    motion_dim: D, entries of a motion vector.
    """

    motion_dim: int = 58


@dataclass(frozen=True)
class GeneratorConfig(GeneratorSize):
    """Attributes:
    motion_dim: D, entries of a motion vector.
    """

    motion_dim: int = 58


@dataclass
class RenderedFrames:
    """Attributes:
    picture: ``(B, 3, S, S)`` the frame, about 0..1.
    flowed: ``(B, 3, S, S)`` the same before its colours are edited.
    """

    picture: Tensor
    flowed: Tensor


class MotionMapping(nn.Module):
    """A window of motion ``(B, W, D)`` to a descriptor ``(B, latent)``: 1-D convolutions over time, then the mean.

    The window's middle frame is the rendered one; its neighbours tell jitter from motion.
    """

    def __init__(self, dim: int, window: int, latent: int, layers: int):
        super().__init__()
        if window % 2 == 0:
            raise ValueError(f"a window has an odd number of frames, not {window}")
        self.standardizer = Standardizer(dim)
        self.first = nn.Conv1d(dim, latent, min(7, window))
        length = window - min(7, window) + 1
        self.layers = nn.ModuleList()
        for _ in range(layers):
            dilation = min(3, (length - 1) // 2)
            if dilation:
                self.layers.append(nn.Conv1d(latent, latent, 3, dilation=dilation))
                length -= 2 * dilation

    def forward(self, window: Tensor) -> Tensor:
        x = self.first(self.standardizer(window).clamp(-LARGEST, LARGEST).transpose(1, 2))
        for layer in self.layers:
            changed = layer(F.leaky_relu(x, 0.1))
            margin = (x.shape[-1] - changed.shape[-1]) // 2
            x = x[..., margin : x.shape[-1] - margin] + changed
        return F.leaky_relu(x.mean(-1), 0.1)


class Modulated(nn.Module):
    """A 3 x 3 convolution whose output is scaled and shifted by the descriptor.

    Args:
        inputs, outputs: channels.
        latent: entries of the descriptor.
        stride: 2 halves the resolution.
        normalize: instance normalisation first, which makes this AdaIN (Huang and Belongie 2017).
    """

    def __init__(self, inputs: int, outputs: int, latent: int, stride: int = 1, normalize: bool = False):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.style = nn.Linear(latent, 2 * outputs)
        nn.init.zeros_(self.style.weight)
        nn.init.zeros_(self.style.bias)
        self.normalize = normalize

    def forward(self, x: Tensor, descriptor: Tensor) -> Tensor:
        x = self.convolution(x)
        if self.normalize:
            x = F.instance_norm(x)
        scale, shift = self.style(descriptor)[..., None, None].chunk(2, 1)
        return F.leaky_relu(x * (1 + scale) + shift, 0.1)


def doubled(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` to ``(B, C, 2 H, 2 W)``, every value four times; on CPUs faster than :func:`F.interpolate`."""
    batch, channels, height, width = x.shape
    repeated = x[:, :, :, None, :, None].expand(batch, channels, height, 2, width, 2)
    return repeated.reshape(batch, channels, 2 * height, 2 * width)


def flow_warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Sample ``(B, C, S, S)`` at each pixel plus ``flow (B, 2, S, S)``, x and y in pixels; borders are repeated."""
    size = picture.shape[-1]
    centres = (torch.arange(size, device=flow.device, dtype=flow.dtype) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    grid = torch.stack([x, y], -1) + flow.permute(0, 2, 3, 1) * (2 / size)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


@register_model("face_refiner")
class FaceRefiner(nn.Module):
    """Corrects the square of the face in warped frames: a small flow, then a masked change of colours.

    A U-Net at half the square's resolution. An untrained network changes nothing, and only an ellipse around the face
    is ever changed. ``mapping.standardizer.set`` takes the statistics of the motion before training.
    """

    Config = RefinerConfig
    uses_warp = True

    def __init__(self, config: RefinerConfig):
        super().__init__()
        self.config = config
        fine, middle, coarse = config.channels
        latent = config.latent
        self.mapping = MotionMapping(config.motion_dim, config.window, latent, config.mapping_layers)
        self.enter = nn.Conv2d(24, fine, 3, 1, 1)
        self.down = nn.ModuleList([Modulated(fine, middle, latent, 2), Modulated(middle, coarse, latent, 2)])
        self.deep = nn.ModuleList([Modulated(coarse, coarse, latent) for _ in range(config.blocks)])
        self.up = nn.ModuleList([Modulated(coarse + middle, middle, latent), Modulated(middle + fine, fine, latent)])
        self.leave = nn.Conv2d(fine, 2 + 16, 3, 1, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("fade", _fade(config.size), persistent=False)

    def fields(self, source: Tensor, warped: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """Flow ``(B, 2, S, S)`` in pixels of the square, and the change of colours ``(B, 3, S, S)``.

        Args:
            source, warped: ``(B, 3, S, S)`` the face in the portrait and in the warped frame.
            window: ``(B, W, D)`` motion around the frame.
        """
        descriptor = self.mapping(window)
        x = [F.leaky_relu(self.enter(F.pixel_unshuffle(torch.cat([warped, source], 1) - 0.5, 2)), 0.1)]
        for layer in self.down:
            x.append(layer(x[-1], descriptor))
        deep = x.pop()
        for layer in self.deep:
            deep = deep + layer(deep, descriptor)
        for layer in self.up:
            wide = doubled(deep)
            deep = layer(torch.cat([wide, x.pop()], 1), descriptor)
        out = self.leave(deep)
        edit = F.pixel_shuffle(out[:, 2:], 2)
        limit = self.config.max_flow * self.config.size
        flow = limit * torch.tanh(out[:, :2] / limit)
        flow = F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False) * self.fade
        return flow, self.config.max_edit * torch.tanh(edit[:, :3]) * torch.sigmoid(edit[:, 3:]) * self.fade

    def forward(self, source: Tensor, warped: Tensor, window: Tensor) -> RenderedFrames:
        flow, edit = self.fields(source, warped, window)
        flowed = flow_warp(warped, flow)
        return RenderedFrames(flowed + edit, flowed)


def _fade(size: int) -> Tensor:
    """Weights ``(1, 1, S, S)``: 1 on the face, 0 outside an ellipse around it, where shoulders and background are."""
    position = (torch.arange(size) + 0.5) / size - 0.5
    y, x = torch.meshgrid(position / ELLIPSE[1], position / ELLIPSE[0], indexing="ij")
    inside = ((1 - torch.hypot(x, y)) / 0.2).clamp(0, 1)
    return (inside * inside * (3 - 2 * inside))[None, None]


@register_model("portrait_generator")
class PortraitGenerator(nn.Module):
    """Generates whole frames from the portrait, without the warp renderer.

    Source: Ren et al., PIRender: controllable portrait image generation via semantic neural rendering (2021): a mapping
    network, a warping network that predicts a flow at a quarter of the resolution, and an editing network that redraws the
    warped portrait, both controlled by AdaIN. Layers of our own; ``mapping.standardizer.set`` takes the statistics of the
    motion before training.
    """

    Config = GeneratorConfig
    uses_warp = False

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        latent, widths = config.latent, [min(config.base * 2**i, config.widest) for i in range(config.warp_depth + 1)]
        if config.size % 2**config.warp_depth:
            raise ValueError(f"the size {config.size} is not divisible by {2**config.warp_depth}")
        self.mapping = MotionMapping(config.motion_dim, config.window, latent, config.mapping_layers)

        self.warp_enter = nn.Conv2d(3, widths[0], 7, 1, 3)
        pairs = list(pairwise(widths))
        self.warp_down = nn.ModuleList([Modulated(a, b, latent, 2, True) for a, b in pairs])
        ups = list(reversed(pairs))[: config.warp_depth - 2]  # to a quarter of the resolution
        self.warp_up = nn.ModuleList([Modulated(b + a, a, latent, 1, True) for a, b in ups])
        self.flow = nn.Conv2d(ups[-1][0], 2, 7, 1, 3)
        nn.init.zeros_(self.flow.weight)
        nn.init.zeros_(self.flow.bias)

        pairs = pairs[: config.edit_depth]
        self.edit_enter = nn.Conv2d(6, widths[0], 7, 1, 3)
        self.edit_down = nn.ModuleList([Modulated(a, b, latent, 2, True) for a, b in pairs])
        self.edit_up = nn.ModuleList([Modulated(b + a, a, latent, 1, True) for a, b in reversed(pairs)])
        self.edit_blocks = nn.ModuleList(
            [Modulated(a, a, latent, 1, True) for a, _ in reversed(pairs) for _ in range(config.blocks)]
        )
        self.leave = nn.Conv2d(widths[0], 3, 7, 1, 3)

    def forward(self, source: Tensor, warped: Tensor | None, window: Tensor) -> RenderedFrames:
        """``warped`` is not used; the arguments are those of :class:`FaceRefiner`."""
        descriptor = self.mapping(window)
        x = [self.warp_enter(source - 0.5)]
        for layer in self.warp_down:
            x.append(layer(x[-1], descriptor))
        deep = x.pop()
        for layer in self.warp_up:
            deep = layer(torch.cat([doubled(deep), x.pop()], 1), descriptor)
        flow = F.interpolate(self.flow(deep), size=source.shape[-2:], mode="bilinear", align_corners=False)
        flowed = flow_warp(source, flow)

        x = [self.edit_enter(torch.cat([flowed, source], 1) - 0.5)]
        for layer in self.edit_down:
            x.append(layer(x[-1], descriptor))
        deep = x.pop()
        for i, layer in enumerate(self.edit_up):
            deep = layer(torch.cat([doubled(deep), x.pop()], 1), descriptor)
            for block in self.edit_blocks[i * self.config.blocks : (i + 1) * self.config.blocks]:
                deep = deep + block(deep, descriptor)
        return RenderedFrames(0.5 + 0.75 * torch.tanh(self.leave(deep)), flowed)


class PatchDiscriminator(nn.Module):
    """Scores patches of pictures ``(B, 3, S, S)``: ``(B, 1, S / 8, S / 8)``, high for real ones (Isola et al. 2017), with
    spectral normalisation (Miyato et al. 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels)
        normalized = nn.utils.parametrizations.spectral_norm
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [normalized(nn.Conv2d(a, b, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, normalized(nn.Conv2d(widths[-1], 1, 3, 1, 1)))

    def forward(self, picture: Tensor) -> Tensor:
        return self.layers(picture - 0.5)
