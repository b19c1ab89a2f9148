"""Sampling of codes from logits."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_codes(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample one code per row of ``(B, K)`` logits, ``(B,)`` int64.

    Args:
        temperature: > 0; values below 1 favour probable codes, the limit 0 is the argmax; below 1e-6 as 1e-6.
        top_k: sample from the k most probable codes only (Fan et al. 2018).
        top_p: nucleus sampling from the smallest set of codes with this total probability (Holtzman et al. 2020).
        generator: random generator on the device of the logits.

    Raises:
        ValueError: a parameter is out of range.
    """
    if temperature <= 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"sampling needs temperature > 0, top_k >= 1, 0 < top_p <= 1; got {temperature}, {top_k}, {top_p}")
    ordered, codes = (logits.float() / max(temperature, 1e-6)).sort(dim=-1, descending=True)
    if top_k is not None:
        ordered[:, top_k:] = float("-inf")
    probability = ordered.softmax(-1)
    if top_p is not None:
        probability[probability.cumsum(-1) - probability >= top_p] = 0
    return codes.gather(1, torch.multinomial(probability, 1, generator=generator))[:, 0]
