"""The moving person over a background that stands still."""

from __future__ import annotations

import numpy as np


def over(person: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Compose a person over a background; where the person's share is 0, the result is the background bit for bit.

    Args:
        person: ``(S, S, 4)`` uint8, colours (not multiplied) and the person's share, 0..255.
        background: ``(S, S, 3)`` uint8.

    Returns:
        ``(S, S, 3)`` uint8.
    """
    share = person[..., 3:].astype(np.uint16)
    mixed = person[..., :3] * share
    mixed += background * (255 - share)
    mixed += 127
    mixed //= 255  # at most 65152 before, which uint16 holds
    return mixed.astype(np.uint8)
