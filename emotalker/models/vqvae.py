"""Stage 1: VQ-VAE of face motion with codes of four frames, clustered by emotion (docs/method.md 3).

The decoder is not causal: a frame depends on codes up to :attr:`VQVAE.decoder_reach` frames away on either side. Exact
streaming needs that look-ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.coefficients.statistics import Standardizer
from emotalker.core.checkpoint import register_model
from emotalker.models.quantizer import VectorQuantizer
from emotalker.settings.networks import VQVAESize

FRAMES_PER_CODE = 4  # l in the supplement: two stride-2 stages
NUM_STAGES = 2


@dataclass(frozen=True)
class VQVAEConfig(VQVAESize):
    """Attributes:
    motion_dim: D, entries of a motion vector (the face branch's: ``len(space.face)``).
    num_emotions: classes of the emotion head.
    """

    motion_dim: int = 30
    num_emotions: int = 8


@dataclass
class VQVAEOutput:
    """Attributes:
    motion: ``(B, T, D)`` reconstruction in raw units.
    codes: ``(B, ceil(T / 4))`` int64.
    quantized: ``(B, ceil(T / 4), C)``.
    commitment, perplexity: scalars of the quantiser.
    emotion_logits: ``(B, num_emotions)``.
    """

    motion: Tensor
    codes: Tensor
    quantized: Tensor
    commitment: Tensor
    perplexity: Tensor
    emotion_logits: Tensor


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv1d:
    padding = (kernel - stride + 1) // 2 * dilation
    return nn.Conv1d(inputs, outputs, kernel, stride, padding, dilation, padding_mode="replicate")


class ResidualBlock(nn.Module):
    """x + conv1(ReLU(conv3(ReLU(x)))), ``(B, W, T)`` to the same."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(), _conv(width, width, 3, dilation=dilation), nn.ReLU(), nn.Conv1d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _residual_blocks(config: VQVAEConfig) -> list[nn.Module]:
    return [ResidualBlock(config.width, 3**power) for power in reversed(range(config.depth))]


class Encoder(nn.Sequential):
    """1-D convolutional ResNet, ``(B, D, T)`` to ``(B, C, T / 4)``."""

    def __init__(self, config: VQVAEConfig):
        layers: list[nn.Module] = [_conv(config.motion_dim, config.width, 3), nn.ReLU()]
        for _ in range(NUM_STAGES):
            layers += [_conv(config.width, config.width, 4, stride=2), *_residual_blocks(config)]
        super().__init__(*layers, _conv(config.width, config.code_dim, 3))


class Decoder(nn.Sequential):
    """Mirrored encoder, ``(B, C, L)`` to ``(B, D, 4 L)``; nearest upsampling avoids checkerboard artefacts."""

    def __init__(self, config: VQVAEConfig):
        width = config.width
        layers: list[nn.Module] = [_conv(config.code_dim, width, 3), nn.ReLU()]
        for _ in range(NUM_STAGES):
            layers += [*_residual_blocks(config), nn.Upsample(scale_factor=2, mode="nearest"), _conv(width, width, 3)]
        super().__init__(*layers, _conv(width, width, 3), nn.ReLU(), _conv(width, config.motion_dim, 3))


@register_model("vqvae")
class VQVAE(nn.Module):
    """Encoder, quantiser, decoder and emotion head for the face branch's motion, with internal standardisation.

    Inputs and outputs are in raw units; before training, ``standardizer.set`` takes the training set's statistics. If T is
    not a multiple of 4, the last frame is repeated and the reconstruction trimmed. Source: docs/method.md 3.
    """

    Config = VQVAEConfig

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        self.config = config
        self.standardizer = Standardizer(config.motion_dim)
        self.encoder = Encoder(config)
        self.quantizer = VectorQuantizer(config.codebook_size, config.code_dim, config.decay, config.reset_threshold)
        self.decoder = Decoder(config)
        self.emotion_head = nn.Linear(config.code_dim, config.num_emotions)

    @property
    def decoder_reach(self) -> int:
        """Receptive field of a decoded frame in frames on either side: the look-ahead of an exact streaming decoder."""
        blocks = sum(3**power for power in range(self.config.depth))
        reach = 0
        for frame in range(FRAMES_PER_CODE):  # of code 0; traced back through the decoder to the codes first..last
            first, last = frame - 2, frame + 2
            for _ in range(NUM_STAGES):
                first, last = (first - 1) // 2 - blocks, (last + 1) // 2 + blocks
            first, last = first - 1, last + 1
            reach = max(reach, frame - FRAMES_PER_CODE * first, FRAMES_PER_CODE * (last + 1) - 1 - frame)
        return reach

    def encode(self, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Raw motion ``(B, T, D)`` to codes ``(B, L)`` and their vectors ``(B, L, C)``, L = ceil(T / 4)."""
        codes = self.quantizer.nearest(self._latents(motion))
        return codes, self.quantizer.lookup(codes)

    def decode(self, quantized: Tensor) -> Tensor:
        """Code vectors, or a transformer's continuous features, ``(B, L, C)`` to raw motion ``(B, 4 L, D)``."""
        return self.standardizer.inverse(self.decoder(quantized.transpose(1, 2)).transpose(1, 2))

    def forward(self, motion: Tensor) -> VQVAEOutput:
        """``(B, T, D)`` raw motion to :class:`VQVAEOutput`; in training mode the codebook is updated."""
        quantizer = self.quantizer(self._latents(motion))
        return VQVAEOutput(
            motion=self.decode(quantizer.quantized)[:, : motion.shape[1]],
            codes=quantizer.codes,
            quantized=quantizer.quantized,
            commitment=quantizer.commitment,
            perplexity=quantizer.perplexity,
            emotion_logits=self.emotion_head(quantizer.quantized.mean(1)),
        )

    def loss(
        self,
        output: VQVAEOutput,
        target: Tensor,
        emotion: Tensor | None = None,
        *,
        commitment_weight: float,
        emotion_weight: float,
        velocity_weight: float,
        class_weights: Tensor | None = None,
        smoothing: float = 0.0,
    ) -> dict[str, Tensor]:
        """The terms of docs/method.md 3 on standardised motion, and their weighted sum as ``"loss"``.

        Args:
            target: ``(B, T, D)`` raw motion.
            emotion: ``(B,)`` int64 labels, -1 for clips without a label; None for no labels.
            emotion_weight: 0 during warm-up.
            class_weights: ``(num_emotions,)`` weights that balance the emotions; None weights clips equally.
            smoothing: label smoothing of the emotions.

        Returns:
            Scalars ``loss``, ``reconstruction``, ``velocity``, ``commitment``, ``emotion`` (0 if unlabelled), ``perplexity``.
        """
        predicted, expected = self.standardizer(output.motion), self.standardizer(target)
        reconstruction = F.smooth_l1_loss(predicted, expected)
        velocity = classification = predicted.new_zeros(())
        if target.shape[1] > 1:  # one frame has no velocity
            velocity = F.smooth_l1_loss(predicted.diff(dim=1), expected.diff(dim=1))
        if emotion is not None:
            labelled = (emotion >= 0).sum().clamp_min(1)  # avoids NaN for a batch without labels
            classification = (
                F.cross_entropy(
                    output.emotion_logits, emotion, class_weights, ignore_index=-1, reduction="sum", label_smoothing=smoothing
                )
                / labelled
            )
        loss = (
            reconstruction
            + velocity_weight * velocity
            + commitment_weight * output.commitment
            + emotion_weight * classification
        )
        return {
            "loss": loss,
            "reconstruction": reconstruction,
            "velocity": velocity,
            "commitment": output.commitment,
            "emotion": classification,
            "perplexity": output.perplexity,
        }

    def _latents(self, motion: Tensor) -> Tensor:
        """Encoder output before quantisation, ``(B, T, D)`` to ``(B, ceil(T / 4), C)``."""
        x = self.standardizer(motion).transpose(1, 2)
        missing = -x.shape[-1] % FRAMES_PER_CODE
        if missing:
            x = torch.cat([x, x[..., -1:].expand(-1, -1, missing)], dim=-1)
        return self.encoder(x).transpose(1, 2)
