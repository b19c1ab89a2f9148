"""Stage 2: autoregressive prediction of motion codes from speech features (docs/method.md 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.coefficients.statistics import Standardizer
from emotalker.core.checkpoint import register_model
from emotalker.models.attention import DecoderLayer
from emotalker.models.code_decoder import CodeDecoder, GeneratedCodes, Mode
from emotalker.models.masks import aligned_windows, head_slopes, self_attention_bias
from emotalker.settings.networks import TransformerSize


@dataclass(frozen=True)
class TransformerConfig(TransformerSize):
    """Attributes:
    audio_dim: length of a speech feature (HuBERT base 768).
    reference_dim: length of the reference coefficients (``space.dim`` for a complete motion vector).
    code_dim, codebook_size: of the VQ-VAE.
    """

    audio_dim: int = 768
    reference_dim: int = 58
    code_dim: int = 256
    codebook_size: int = 1024


@dataclass
class TransformerOutput:
    """Attributes:
    features: ``(B, L, C)`` predicted code vectors.
    logits: ``(B, L, K)`` of the codes.
    """

    features: Tensor
    logits: Tensor

    def guided(self, scale: float) -> TransformerOutput:
        """Classifier-free guidance: the first half of the batch is conditional, the second half unconditional."""
        (features, base_features), (logits, base_logits) = self.features.chunk(2), self.logits.chunk(2)
        return TransformerOutput(torch.lerp(base_features, features, scale), torch.lerp(base_logits, logits, scale))


def positional_encoding(period: int, dim: int) -> Tensor:
    """Periodic positional encoding (FaceFormer): sinusoids of one period of audio frames, ``(period, dim)``."""
    frequency = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    angle = torch.arange(period)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


@register_model("transformer")
class CrossModalTransformer(nn.Module):
    """Autoregressive decoder: predicts the next code, as a vector and as logits, from speech features and previous codes.

    The token of code i is the projected vector of code i - 1 (of code 0: the mean of the first k projected audio frames)
    plus the projected, standardised reference coefficients. Codes and audio frames share one periodic positional encoding
    with a period of h codes (FaceFormer), because neither the bias nor the window encodes positions within a period. Before
    training, ``standardizer.set`` takes the statistics of the reference entries. Source: docs/method.md 4.

    With ``num_emotions``, projected emotion weights, of the recording or of each code, are added to the tokens. Training sets
    them to zero for some clips, so that the network also predicts the emotion from the voice.
    """

    Config = TransformerConfig

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.standardizer = Standardizer(config.reference_dim)
        self.audio_projection = nn.Linear(config.audio_dim, config.dim)
        self.code_projection = nn.Linear(config.code_dim, config.dim)
        self.reference_projection = nn.Linear(config.reference_dim, config.dim)
        self.emotion_projection = nn.Linear(config.num_emotions, config.dim, bias=False) if config.num_emotions else None
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.feature_head = nn.Linear(config.dim, config.code_dim)
        self.code_head = nn.Linear(config.dim, config.codebook_size)
        self.register_buffer("slopes", head_slopes(config.num_heads), persistent=False)
        self.register_buffer(
            "positions", positional_encoding(config.codes_per_period * config.frames_per_code, config.dim), persistent=False
        )

    def forward(
        self, audio: Tensor, quantized: Tensor, reference: Tensor, emotion: Tensor | None = None
    ) -> TransformerOutput:
        """Teacher forcing: predict each code from the true previous codes.

        Args:
            audio: ``(B, S, audio_dim)`` speech features, S = 8 L for L codes.
            quantized: ``(B, L, C)`` the VQ-VAE's vectors of the target; the last one is not used.
            reference: ``(B, reference_dim)`` raw coefficients of the speaker at rest.
            emotion: weights ``(B, num_emotions)``, or of each code ``(B, L, num_emotions)``; zeros or None if unknown.
        """
        length = quantized.shape[1]
        memory, start = self.encode_audio(audio)
        tokens = torch.cat([start, self.code_projection(quantized[:, :-1])], dim=1)
        tokens = tokens + self.condition(reference, emotion) + self.code_positions(torch.arange(length, device=audio.device))
        bias = self_attention_bias(length, self.slopes, self.config.codes_per_period, self.config.max_context)
        windows = aligned_windows(length, audio.shape[1], self.config.frames_per_code, device=audio.device)
        x = self.dropout(tokens)
        for layer in self.layers:
            x = layer(x, bias, memory, windows)
        return self.heads(x)

    def loss(self, output: TransformerOutput, quantized: Tensor, codes: Tensor, *, code_weight: float) -> dict[str, Tensor]:
        """MSE of the features + ``code_weight`` x cross-entropy of the scores (docs/method.md 4), over codes that are not -1.

        Args:
            quantized: ``(B, L, C)`` target vectors.
            codes: ``(B, L)`` int64 target codes; -1 marks padding.

        Returns:
            Scalars ``loss``, ``feature``, ``code`` and ``accuracy`` (fraction of codes with the highest logit).
        """
        valid = codes >= 0
        count = valid.sum().clamp_min(1)
        feature = ((output.features - quantized).square().mean(-1) * valid).sum() / count
        code = F.cross_entropy(output.logits.flatten(0, 1), codes.flatten(), ignore_index=-1, reduction="sum") / count
        accuracy = (output.logits.argmax(-1) == codes).sum() / count
        return {"loss": feature + code_weight * code, "feature": feature, "code": code, "accuracy": accuracy}

    @torch.no_grad()
    def generate(
        self,
        audio: Tensor,
        reference: Tensor,
        codebook: Tensor,
        mode: Mode | Sequence[Mode] = "continuous",
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generators: Sequence[torch.Generator | None] | None = None,
        emotion: Tensor | None = None,
        unconditional: Tensor | None = None,
        guidance_scale: float = 1.0,
    ) -> GeneratedCodes:
        """Decode all L = ceil(S / 8) codes of a recording; :class:`CodeDecoder` decodes them in parts.

        Args:
            audio: ``(B or 1, S, audio_dim)``.
            reference: ``(B, reference_dim)`` raw.
            codebook: ``(K, C)``, the VQ-VAE's ``quantizer.codebook``.
            mode, temperature, top_k, top_p, generators, guidance_scale: see :class:`CodeDecoder`.
            emotion: ``(B or 1, num_emotions)`` or ``(B or 1, L, num_emotions)`` as in :meth:`forward`.
            unconditional: weights of the unconditional prediction, e.g. neutral; shapes as ``emotion``.

        Raises:
            ValueError: a mode is unknown, the number of modes is not B, there is no audio, ``emotion`` is given and
                ``num_emotions`` is 0, or it has neither 1 nor L codes.
        """
        decoder = CodeDecoder(
            self,
            reference,
            codebook,
            mode,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            generators=generators,
            guidance_scale=guidance_scale,
            capacity=-(-audio.shape[1] // self.config.frames_per_code),
        )
        return decoder.extend(audio, emotion, unconditional)

    def encode_audio(self, audio: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
        """Projected audio with positional encoding ``(B, S, d)``, and the first token ``(B, 1, d)``.

        ``first`` is the index of the first frame in the recording; the token is meaningful for 0 only.
        """
        if audio.shape[1] == 0:
            raise ValueError("no audio features to decode from: S is 0")
        projected = self.audio_projection(audio)
        start = projected[:, : self.config.frames_per_code].mean(1, keepdim=True)
        places = (first + torch.arange(audio.shape[1], device=audio.device)) % len(self.positions)
        return projected + self.positions[places], start

    def condition(self, reference: Tensor, emotion: Tensor | None) -> Tensor:
        """Projected reference and emotion, which are added to the tokens, ``(B, 1, d)`` or, by code, ``(B, L, d)``."""
        condition = self.reference_projection(self.standardizer(reference))[:, None]
        if emotion is not None:
            if self.emotion_projection is None:
                raise ValueError("this transformer has no emotion input: num_emotions is 0")
            projected = self.emotion_projection(emotion)
            condition = condition + (projected if emotion.ndim == 3 else projected[:, None])
        return condition

    def code_positions(self, position: Tensor) -> Tensor:
        """Positional encoding of codes, ``(...)`` to ``(..., d)``."""
        return self.positions[position * self.config.frames_per_code % len(self.positions)]

    def heads(self, x: Tensor) -> TransformerOutput:
        x = self.norm(x)
        return TransformerOutput(self.feature_head(x), self.code_head(x))
