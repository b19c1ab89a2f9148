"""What the tracker asks of a second look at the picture, where landmarks and scores do not tell enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

#: What a reader keeps of one frame, and of several frames of a shot; each reader's own.
Observation, Context = Any, Any


class FaceReader(Protocol):
    """Reads blendshapes and corrected landmarks off the frames of a shot, if the shot is of the kind that it knows.

    :class:`emotalker.synthetic.reader.SyntheticFaceReader` is one, for faces that are rendered or painted.
    """

    name: str

    def observe(self, image: np.ndarray, points: np.ndarray, scores: np.ndarray) -> Observation:
        """What is kept of an RGB frame ``(H, W, 3)`` uint8 with landmarks ``(478, 2)`` and blendshape scores ``(52,)``."""

    def context(self, observations: Sequence[Observation]) -> Context:
        """What several frames of a shot have in common."""

    def applies_to(self, context: Context) -> bool:
        """Whether the shot is of the kind that the reader was trained on."""

    def read(self, observations: Sequence[Observation], context: Context) -> tuple[np.ndarray, np.ndarray]:
        """Corrected landmarks ``(T, P, 2)``, FIT_POINTS in pixels, and blendshapes ``(T, 52)`` of T frames of the shot."""
