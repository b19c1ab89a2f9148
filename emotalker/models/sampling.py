"""Drawing codes from scores."""

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
    """One code each from ``(B, K)`` scores, ``(B,)`` int64.

    Args:
        temperature: > 0; below 1 the likely codes gain, and towards 0 the likeliest is always drawn.
        top_k: draw from the k likeliest only (Fan et al. 2018).
        top_p: draw from the likeliest codes that together hold this probability only, at least one (Holtzman et al. 2020).
        generator: makes the draw repeatable; must be on the scores' device.

    Raises:
        ValueError: a setting is out of its range.
    """
    if temperature <= 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"sampling needs temperature > 0, top_k >= 1, 0 < top_p <= 1; got {temperature}, {top_k}, {top_p}")
    ordered, codes = (logits.float() / temperature).sort(dim=-1, descending=True)
    if top_k is not None:
        ordered[:, top_k:] = float("-inf")
    probability = ordered.softmax(-1)
    if top_p is not None:
        probability[probability.cumsum(-1) - probability >= top_p] = 0
    return codes.gather(1, torch.multinomial(probability, 1, generator=generator))[:, 0]
