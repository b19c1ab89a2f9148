"""Frames of videos side by side in one image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def frame_grid(frames: Sequence[np.ndarray], columns: int, width: int) -> np.ndarray:
    """Arrange frames row by row.

    Args:
        frames: RGB uint8 ``(H, W, 3)``, all of one size.
        columns: frames per row. The last row is filled up with black.
        width: of one frame in the result, pixels; the aspect ratio is kept.

    Returns:
        RGB uint8 ``(rows * width * H / W, columns * width, 3)``.

    Raises:
        ValueError: there are no frames.
    """
    if not frames:
        raise ValueError("a grid needs at least one frame")
    cells = [cv2.resize(f, (width, width * len(f) // f.shape[1]), interpolation=cv2.INTER_AREA) for f in frames]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    return np.concatenate([np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)], 0)


def draw_label(image: np.ndarray, text: str) -> None:
    """Write white text with a black outline into the top left corner of an image ``(H, W, 3)`` uint8, in place."""
    for color, thickness in ((0, 3), (255, 1)):
        cv2.putText(image, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (color,) * 3, thickness, cv2.LINE_AA)
