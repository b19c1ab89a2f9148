"""Layers of the cross-modal transformer: self-attention over codes, cross-attention to audio frames, key-value cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from emotalker.models.transformer import TransformerConfig


class KeyValueCache:
    """Ring buffer with the keys and values of the last ``capacity`` codes of one layer, ``(B, H, capacity, d / H)`` each."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def append(self, position: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store key and value ``(B, H, 1, d / H)`` of code ``position`` in place of the oldest; returns all stored ones."""
        if self.keys is None:
            shape = (*key.shape[:2], self.capacity, key.shape[-1])
            self.keys, self.values = key.new_zeros(shape), value.new_zeros(shape)
        slot = position % self.capacity
        self.keys[:, :, slot], self.values[:, :, slot] = key[:, :, 0], value[:, :, 0]
        used = min(position + 1, self.capacity)
        return self.keys[:, :, :used], self.values[:, :, :used]

    def ages(self, position: int, device: torch.device) -> Tensor:
        """Distance in codes from each stored code to ``position``, after that was stored; ``(used,)`` int64."""
        slots = torch.arange(min(position + 1, self.capacity), device=device)
        return (position - slots) % self.capacity


class SelfAttention(nn.Module):
    """Multi-head self-attention over codes with an additive bias."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.query_key_value = nn.Linear(config.dim, 3 * config.dim)
        self.output = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor, bias: Tensor, cache: KeyValueCache | None = None, position: int = 0) -> Tensor:
        """x ``(B, L, d)``, bias ``(H, L, keys)`` to ``(B, L, d)``. With a cache, L is 1 and x is code ``position``."""
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.append(position, key, value)
        dropout = self.dropout if self.training else 0.0
        # (H, L, keys) is broadcast over the batch
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
        return self.output(heads.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Multi-head attention of each code to its window of audio frames."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.query = nn.Linear(config.dim, config.dim)
        self.key_value = nn.Linear(config.dim, 2 * config.dim)
        self.output = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor, memory: Tensor, frames: Tensor, visible: Tensor) -> Tensor:
        """x ``(B, L, d)``, memory ``(B, S, d)``, window ``frames`` and ``visible`` ``(L, 2k)`` to ``(B, L, d)``."""
        windows = self.key_value(memory)[:, frames]  # projected once per frame; each frame is in two windows
        return self.attend(x, windows, visible.repeat(len(x), 1)[:, None, None])

    def attend(self, x: Tensor, windows: Tensor, mask: Tensor | None = None) -> Tensor:
        """x ``(B, L, d)`` and the windows' projected frames, keys and values ``(B or 1, L, W, 2 d)``, to ``(B, L, d)``.

        ``mask (B L, 1, 1, W)`` says which frames are visible, codes within batch items; None for all.
        """
        batch, length = x.shape[:2]
        query = self.query(x).view(batch * length, self.num_heads, 1, -1)
        windows = windows.expand(batch, -1, -1, -1).reshape(batch * length, windows.shape[2], 2, self.num_heads, -1)
        key, value = windows.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return self.output(heads.reshape(batch, length, -1))


class DecoderLayer(nn.Module):
    """Pre-norm residual layer: self-attention, cross-attention and feed-forward, ``(B, L, d)`` to the same."""

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

    def forward(self, x: Tensor, bias: Tensor, memory: Tensor, windows: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.dropout(self.self_attention(self.norms[0](x), bias))
        x = x + self.dropout(self.cross_attention(self.norms[1](x), memory, *windows))
        return x + self.dropout(self.feed_forward(self.norms[2](x)))

    def step(self, x: Tensor, bias: Tensor, window: Tensor, cache: KeyValueCache, position: int) -> Tensor:
        """The same for code ``position`` alone, ``(B, 1, d)``, with its projected frames ``(B or 1, 1, W, 2 d)``."""
        x = x + self.self_attention(self.norms[0](x), bias, cache, position)
        x = x + self.cross_attention.attend(self.norms[1](x), window)
        return x + self.feed_forward(self.norms[2](x))
