"""Attention masks and biases of the cross-modal transformer for any length (docs/method.md 4)."""

from __future__ import annotations

import torch
from torch import Tensor


def head_slopes(num_heads: int) -> Tensor:
    """Bias slope of each head, s_m = 2^(-8 m / H), m = 1..H, ``(H,)``; 1/4, 1/16, 1/64, 1/256 for four (ALiBi)."""
    return 2.0 ** (-8.0 * torch.arange(1, num_heads + 1) / num_heads)


def age_bias(age: Tensor, slopes: Tensor, period: int, max_age: int) -> Tensor:
    """Self-attention bias of a code ``age`` codes before the query: -s_m floor(age / period), -inf outside 0..max_age-1.

    Shapes: age ``(...)`` int64 to ``(H, ...)``.
    """
    bias = -slopes.view(-1, *[1] * age.ndim) * torch.div(age, period, rounding_mode="floor")
    return bias.masked_fill((age < 0) | (age >= max_age), float("-inf"))


def self_attention_bias(length: int, slopes: Tensor, period: int, max_age: int) -> Tensor:
    """Causal bias B_m[i, j] = -s_m floor((i - j) / h) of a sequence, ``(H, length, length)`` (docs/method.md 4).

    Codes ``max_age`` or more before the query are masked, as in decoding with a key-value cache of that size.
    """
    position = torch.arange(length, device=slopes.device)
    return age_bias(position[:, None] - position, slopes, period, max_age)


def aligned_windows(num_codes: int, num_frames: int, k: int, device=None) -> tuple[Tensor, Tensor]:
    """Audio frames in each code's window: code i attends to frame j iff max(0, (i - 1) k) <= j < min(S, (i + 1) k)
    (docs/method.md 4).

    The at most 2 k frames of each window are listed, which is cheaper than a mask over all S frames. A code that starts
    after the end of the audio attends to the last frame, so that the softmax stays finite.

    Returns:
        ``(num_codes, 2k)`` int64 frame indices within 0..S-1, and which of them are in the window, ``(num_codes, 2k)`` bool.
    """
    code = torch.arange(num_codes, device=device)
    start = ((code - 1) * k).clamp(max=num_frames - 1)
    frames = start[:, None] + torch.arange(2 * k, device=device)
    visible = (frames >= 0) & (frames < num_frames)
    return frames.clamp(0, num_frames - 1), visible
