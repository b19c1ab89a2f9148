"""How emotions look on average: what a performance is measured against, and helped to where the voice alone is too weak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from emotalker.coefficients.space import CoefficientSpace, get_space
from emotalker.core.checkpoint import register_model
from emotalker.core.config import ModelConfig
from emotalker.core.emotions import EMOTIONS

#: Entries that hold an expression, by how their names begin. Blinks, gaze, jaw and head are motion, and left to it.
EXPRESSIVE = (
    "brow", "eyeSquint", "eyeWide", "noseSneer", "cheekSquint",
    "mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress",
)  # fmt: skip
#: No corpus of ours shows contempt: the corner of the mouth is tightened and raised on one side (Ekman & Friesen 1986).
CONTEMPT = {"mouthDimpleLeft": 0.45, "mouthSmileLeft": 0.3, "mouthPressLeft": 0.15, "browOuterUpLeft": 0.15}


@dataclass(frozen=True)
class ExpressionConfig(ModelConfig):
    """Attributes:
    space: name of the coefficient space, with ARKit's names of blendshapes.
    """

    space: str = "arkit"


@register_model("expression")
class ExpressionPrior(nn.Module):
    """Average expressions. Both tables are set by :func:`emotalker.training.expression.fit`.

    Attributes:
        offsets: ``(8, D)`` each of EMOTIONS' mean motion less the same person's neutral mean; zero for entries that are not
            EXPRESSIVE.
        neutral: ``(D,)`` mean of what the other networks generate for neutral speech.
    """

    Config = ExpressionConfig

    def __init__(self, config: ExpressionConfig):
        super().__init__()
        self.config = config
        self.register_buffer("offsets", torch.zeros(len(EMOTIONS), self.space.dim))
        self.register_buffer("neutral", torch.zeros(self.space.dim))

    @cached_property
    def space(self) -> CoefficientSpace:
        """The coefficient space."""
        return get_space(self.config.space)

    def correction(self, motion: Tensor, mix: Tensor, entries: Sequence[int]) -> Tensor:
        """What a performance's mean lacks of the expression of an emotion.

        Args:
            motion: ``(1, F, len(entries))`` as generated.
            mix: ``(1, 8)`` shares of EMOTIONS; more than 1 exaggerates.
            entries: which of the space's they are.

        Returns:
            ``(1, 1, len(entries))`` to be added; zero where an entry holds no expression, and for a neutral voice that is
            performed like neutral voices are.
        """
        expressive = (self.offsets != 0).any(0)[entries]
        wanted = mix @ self.offsets[:, entries]
        shown = motion.mean(1) - self.neutral[entries]
        return ((wanted - shown) * expressive)[:, None]
