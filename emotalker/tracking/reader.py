"""The interface of face readers, which predict blendshapes from the picture where landmarks and scores are inaccurate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

#: Features of one frame, and of several frames of a shot. Their types are defined by each reader.
Observation, Context = Any, Any


class FaceReader(Protocol):
    """Predicts blendshapes and corrected landmarks in shots of the kind that it was trained on.

    An example is :class:`emotalker.synthetic.reader.SyntheticFaceReader` for synthetic faces.

    Attributes:
        name: written to the tracker's result.
    """

    name: str

    def observe(self, image: np.ndarray, points: np.ndarray, scores: np.ndarray) -> Observation:
        """Features of an RGB frame ``(H, W, 3)`` uint8 with landmarks ``(478, 2)`` in pixels and scores ``(52,)``."""

    def context(self, observations: Sequence[Observation]) -> Context:
        """Features of several frames of one shot."""

    def applies_to(self, context: Context) -> bool:
        """Whether the shot is of the kind that the reader was trained on."""

    def read(self, observations: Sequence[Observation], context: Context) -> tuple[np.ndarray, np.ndarray]:
        """Corrected landmarks ``(T, P, 2)`` of FIT_POINTS in pixels, and blendshapes ``(T, 52)``, of T frames of the shot."""
