"""Stage 2: from speech features to motion codes, autoregressively (SPEC 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.coefficients.statistics import Standardizer
from emotalker.motion.config import ModelConfig
from emotalker.motion.masks import age_bias, aligned_windows, head_slopes, self_attention_bias
from emotalker.motion.sampling import sample_codes

Mode = Literal["continuous", "nearest", "sample"]


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """Attributes:
    audio_dim: entries of a speech feature (HuBERT base 768).
    reference_dim: entries of the reference coefficients (``space.dim`` for a whole vector at rest).
    code_dim, codebook_size: of the VQ-VAE.
    dim, num_layers, num_heads, ffn_dim, dropout: the decoder's size.
    codes_per_period: h; the self-attention bias steps once every h codes.
    frames_per_code: k, speech feature frames a code.
    max_context: codes that self-attention looks back on, in training and decoding alike; memory and time per step
        stay constant beyond. 600 codes are 96 s. The flattest head still weighs the oldest of them with e^-0.6, so
        this is a window and no mere saving.
    num_emotions: classes of an emotion given beside the audio; 0 for none, as in the paper.
    """

    audio_dim: int = 768
    reference_dim: int = 58
    code_dim: int = 256
    codebook_size: int = 1024
    dim: int = 256
    num_layers: int = 6
    num_heads: int = 4
    ffn_dim: int = 512
    dropout: float = 0.1
    codes_per_period: int = 4
    frames_per_code: int = 8
    max_context: int = 600
    num_emotions: int = 0

    @classmethod
    def paper(cls, **changes) -> TransformerConfig:
        """The paper's size: 6 layers, 4 heads, d 256, feed-forward 512."""
        return cls(**changes)

    @classmethod
    def small(cls, **changes) -> TransformerConfig:
        """For our small HuBERT and little data: 4 layers; everything else stays."""
        return cls(**{"audio_dim": 256, "num_layers": 4, **changes})


@dataclass
class TransformerOutput:
    """Attributes:
    features: ``(B, L, C)`` predicted code vectors.
    logits: ``(B, L, K)`` scores of the codes.
    """

    features: Tensor
    logits: Tensor

    def extrapolate(self, intensity: float) -> TransformerOutput:
        """From the second half of the batch through the first, ``intensity`` times the way."""
        (features, plain_features), (logits, plain_logits) = self.features.chunk(2), self.logits.chunk(2)
        return TransformerOutput(torch.lerp(plain_features, features, intensity), torch.lerp(plain_logits, logits, intensity))


@dataclass
class GeneratedCodes:
    """Attributes:
    features: ``(B, L, C)`` what the VQ-VAE's decoder takes: predicted vectors ("continuous") or codebook vectors.
    codes: ``(B, L)`` int64; for "continuous" the nearest to the features.
    """

    features: Tensor
    codes: Tensor


class KeyValueCache:
    """Keys and values of the latest ``capacity`` codes of one layer, in a ring: ``(B, H, capacity, d / H)`` each."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def append(self, position: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store code ``position``, ``(B, H, 1, d / H)``, over the one ``capacity`` codes older; returns all stored."""
        if self.keys is None:
            shape = (*key.shape[:2], self.capacity, key.shape[-1])
            self.keys, self.values = key.new_zeros(shape), value.new_zeros(shape)
        slot = position % self.capacity
        self.keys[:, :, slot], self.values[:, :, slot] = key[:, :, 0], value[:, :, 0]
        used = min(position + 1, self.capacity)
        return self.keys[:, :, :used], self.values[:, :, :used]

    def ages(self, position: int, device: torch.device) -> Tensor:
        """How many codes before ``position`` each stored one is, once ``position`` is stored itself; ``(used,)`` int64."""
        slots = torch.arange(min(position + 1, self.capacity), device=device)
        return (position - slots) % self.capacity


class SelfAttention(nn.Module):
    """Multi-head attention among codes with an additive bias."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.query_key_value = nn.Linear(config.dim, 3 * config.dim)
        self.output = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor, bias: Tensor, cache: KeyValueCache | None = None, position: int = 0) -> Tensor:
        """x ``(B, L, d)``, bias ``(H, L, keys)`` to ``(B, L, d)``; with a cache L is 1 and x is code ``position``."""
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.append(position, key, value)
        dropout = self.dropout if self.training else 0.0
        # (H, L, keys) broadcasts over the batch: heads are never confused with batch items
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
        return self.output(heads.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Multi-head attention of each code to its own window of audio frames."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.query = nn.Linear(config.dim, config.dim)
        self.key_value = nn.Linear(config.dim, 2 * config.dim)
        self.output = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor, memory: Tensor, frames: Tensor, visible: Tensor) -> Tensor:
        """x ``(B, L, d)``, memory ``(B, S, d)``, window ``frames`` and ``visible`` ``(L, 2k)`` to ``(B, L, d)``."""
        batch, length = x.shape[:2]
        query = self.query(x).view(batch * length, self.num_heads, 1, -1)
        windows = self.key_value(memory)[:, frames]  # projected once per frame, though two codes see it
        key, value = windows.view(batch * length, frames.shape[1], 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        mask = visible.repeat(batch, 1)[:, None, None]  # code by code within each batch item, as the query is laid out
        dropout = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return self.output(heads.reshape(batch, length, -1))


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward, each normalised before and added, ``(B, L, d)`` to the same."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention = SelfAttention(config)
        self.cross_attention = CrossAttention(config)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.dim, config.ffn_dim),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.ffn_dim, config.dim),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(config.dim) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        bias: Tensor,
        memory: Tensor,
        windows: tuple[Tensor, Tensor],
        cache: KeyValueCache | None = None,
        position: int = 0,
    ) -> Tensor:
        x = x + self.dropout(self.self_attention(self.norms[0](x), bias, cache, position))
        x = x + self.dropout(self.cross_attention(self.norms[1](x), memory, *windows))
        return x + self.dropout(self.feed_forward(self.norms[2](x)))


def clock(period: int, dim: int) -> Tensor:
    """Sinusoidal encodings of one period of audio frames, ``(period, dim)`` (FaceFormer's periodic positional encoding)."""
    frequency = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    angle = torch.arange(period)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class CrossModalTransformer(nn.Module):
    """Autoregressive decoder: speech features and the codes so far to the next code, as a vector and as scores.

    The token of code i is the projected vector of code i - 1 (of code 0: the mean of the first k projected audio frames)
    plus the projected, standardised reference coefficients. Codes and audio frames both carry the time within a period of
    h codes, on one clock, since neither the bias nor the window tells positions inside them apart (FaceFormer's
    periodic encoding). ``standardizer.set`` takes the statistics of the reference entries before training. Source: SPEC 4.

    With ``num_emotions`` the tokens also carry a mix of emotions, by which users override or scale the one that is heard. In
    training the mix is left out (all zero) for some clips, so that the emotion is learnt from the voice as well.
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
        self.register_buffer("clock", clock(config.codes_per_period * config.frames_per_code, config.dim), persistent=False)

    def forward(
        self, audio: Tensor, quantized: Tensor, reference: Tensor, emotion: Tensor | None = None
    ) -> TransformerOutput:
        """Teacher forcing: predict every code from the true ones before it.

        Args:
            audio: ``(B, S, audio_dim)`` speech features, S = 8 L for L codes.
            quantized: ``(B, L, C)`` the VQ-VAE's vectors of the target; the last is not looked at.
            reference: ``(B, reference_dim)`` raw coefficients of the speaker at rest.
            emotion: ``(B, num_emotions)`` shares of the emotions; zeros or None where unknown.
        """
        length = quantized.shape[1]
        memory, start = self._listen(audio)
        tokens = torch.cat([start, self.code_projection(quantized[:, :-1])], dim=1)
        tokens = tokens + self._style(reference, emotion) + self._code_clock(torch.arange(length, device=audio.device))
        bias = self_attention_bias(length, self.slopes, self.config.codes_per_period, self.config.max_context)
        windows = aligned_windows(length, audio.shape[1], self.config.frames_per_code, device=audio.device)
        x = self.dropout(tokens)
        for layer in self.layers:
            x = layer(x, bias, memory, windows)
        return self._heads(x)

    def loss(
        self, output: TransformerOutput, quantized: Tensor, codes: Tensor, *, code_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """MSE of the features + ``code_weight`` x cross-entropy of the scores (SPEC 4), over codes that are not -1.

        Args:
            quantized: ``(B, L, C)`` target vectors.
            codes: ``(B, L)`` int64 target codes; -1 marks padding.

        Returns:
            Scalars ``loss``, ``feature``, ``code`` and ``accuracy`` (share of codes whose score is the highest).
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
        mode: Mode = "continuous",
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        emotion: Tensor | None = None,
        contrast: Tensor | None = None,
        intensity: float = 1.0,
    ) -> GeneratedCodes:
        """Decode L = ceil(S / 8) codes, however many, at constant time and memory a step.

        Args:
            audio: ``(B, S, audio_dim)``.
            reference: ``(B, reference_dim)`` raw.
            codebook: ``(K, C)``, the VQ-VAE's ``quantizer.codebook``.
            mode: feed back the predicted vector itself ("continuous", as published), the code nearest to it, or a code
                drawn from the scores.
            temperature, top_k, top_p, generator: for "sample" only; see :func:`~emotalker.motion.sampling.sample_codes`.
            emotion: ``(B, num_emotions)`` as in :meth:`forward`.
            contrast: ``(B, num_emotions)`` the mix (neutral, say) from which ``intensity`` leads away.
            intensity: 0 gives the contrast, 1 the emotion, more exaggerates it: predictions are extrapolated from one to
                the other, as in classifier-free guidance (Ho and Salimans 2022). Not 1 takes twice the time.
        """
        if mode not in ("continuous", "nearest", "sample"):
            raise ValueError(f"unknown decoding mode {mode!r}; known: continuous, nearest, sample")
        frames, k = audio.shape[1], self.config.frames_per_code
        memory, token = self._listen(audio)
        style = self._style(reference, emotion)
        guided = contrast is not None and intensity != 1.0
        if guided:  # both in one batch: the emotion first, then its contrast
            memory, token = memory.repeat(2, 1, 1), token.repeat(2, 1, 1)
            style = torch.cat([style, self._style(reference, contrast)])
        length = -(-frames // k)
        caches = [KeyValueCache(min(length, self.config.max_context)) for _ in self.layers]
        features, codes = [], []
        for position in range(length):
            x = token + style + self._code_clock(torch.tensor([position], device=audio.device))
            output = self._step(x, memory[:, max(0, position - 1) * k : (position + 1) * k], caches, position)
            if guided:
                output = output.extrapolate(intensity)
            if mode == "sample":
                code = sample_codes(output.logits[:, 0], temperature, top_k, top_p, generator)[:, None]
            else:
                code = torch.cdist(output.features, codebook[None]).argmin(-1)
            feature = output.features if mode == "continuous" else codebook[code]
            features.append(feature)
            codes.append(code)
            token = self.code_projection(feature)
            if guided:
                token = token.repeat(2, 1, 1)
        return GeneratedCodes(torch.cat(features, dim=1), torch.cat(codes, dim=1))

    def _step(self, x: Tensor, window: Tensor, caches: list[KeyValueCache], position: int) -> TransformerOutput:
        """One code, ``(B, 1, d)``, with the audio frames it sees, ``(B, 1..2k, d)``."""
        ages = caches[0].ages(position, x.device)
        bias = age_bias(ages[None], self.slopes, self.config.codes_per_period, self.config.max_context)
        frames = torch.arange(window.shape[1], device=x.device)[None]
        for layer, cache in zip(self.layers, caches, strict=True):
            x = layer(x, bias, window, (frames, torch.ones_like(frames, dtype=torch.bool)), cache, position)
        return self._heads(x)

    def _listen(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Projected audio on the clock ``(B, S, d)``, and the first token ``(B, 1, d)``."""
        if audio.shape[1] == 0:
            raise ValueError("no audio features to decode from: S is 0")
        projected = self.audio_projection(audio)
        start = projected[:, : self.config.frames_per_code].mean(1, keepdim=True)
        return projected + self.clock[torch.arange(audio.shape[1], device=audio.device) % len(self.clock)], start

    def _style(self, reference: Tensor, emotion: Tensor | None) -> Tensor:
        """What every token carries, ``(B, 1, d)``."""
        style = self.reference_projection(self.standardizer(reference))
        if emotion is not None:
            if self.emotion_projection is None:
                raise ValueError("this transformer was trained without emotions beside the audio: num_emotions is 0")
            style = style + self.emotion_projection(emotion)
        return style[:, None]

    def _code_clock(self, position: Tensor) -> Tensor:
        return self.clock[position * self.config.frames_per_code % len(self.clock)]

    def _heads(self, x: Tensor) -> TransformerOutput:
        x = self.norm(x)
        return TransformerOutput(self.feature_head(x), self.code_head(x))
