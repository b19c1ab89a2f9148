"""What every renderer offers, so that a trained neural one can stand where the warping one stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from emotalker.face.portrait import Portrait


class Renderer(Protocol):
    """Draws one portrait in motion."""

    def render(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Frames of a motion, one by one.

        Args:
            motion: ``(T, D)`` coefficients, or an iterable of ``(D,)`` frames as they come.

        Yields:
            ``(S, S, 3)`` uint8 RGB.
        """
        ...


class RendererFactory(Protocol):
    """Prepares a renderer for one portrait; all that is done once a portrait happens here."""

    def __call__(self, portrait: Portrait) -> Renderer: ...
