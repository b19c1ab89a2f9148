"""Mean expressions of the emotions, and the correction of a generated motion towards them (docs/method.md 9)."""

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

#: Name prefixes of the entries that are corrected. Blinks, gaze, jaw and head pose are not.
EXPRESSIVE = (
    "brow", "eyeSquint", "eyeWide", "noseSneer", "cheekSquint",
    "mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress",
)  # fmt: skip
#: Contempt, which no training corpus contains: one mouth corner tightened and raised (Ekman & Friesen 1986).
CONTEMPT = {"mouthDimpleLeft": 0.45, "mouthSmileLeft": 0.3, "mouthPressLeft": 0.15, "browOuterUpLeft": 0.15}


@dataclass(frozen=True)
class ExpressionConfig(ModelConfig):
    """Attributes:
    space: name of the coefficient space, with ARKit's names of blendshapes.
    """

    space: str = "arkit"


@register_model("expression")
class ExpressionPrior(nn.Module):
    """Mean expressions. Both tables are set by :func:`emotalker.training.expression.fit`.

    Attributes:
        offsets: ``(8, D)`` mean motion of each of EMOTIONS minus the neutral mean of the same speaker; zero for entries that
            are not EXPRESSIVE.
        neutral: ``(D,)`` mean motion that the other networks generate for neutral speech.
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

    def correction(self, motion: Tensor, emotion: Tensor, entries: Sequence[int]) -> Tensor:
        """Mean-expression correction: target mean expression minus the mean of the motion.

        Args:
            motion: ``(1, F, len(entries))`` as generated.
            emotion: ``(1, 8)`` weights of EMOTIONS; a sum above 1 exaggerates.
            entries: indices of the motion's entries in the space.

        Returns:
            ``(1, 1, len(entries))`` to add to the motion; zero for entries that are not EXPRESSIVE, and zero if the emotion
            is neutral and the mean of the motion equals ``neutral``.
        """
        expressive = (self.offsets != 0).any(0)[entries]
        target = emotion @ self.offsets[:, entries]
        current = motion.mean(1) - self.neutral[entries]
        return ((target - current) * expressive)[:, None]
