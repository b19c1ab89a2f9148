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

        With weights that change over time, the mean is that of frames of the same emotion: the means weighted by each
        emotion's weights, mixed by the weights of the frame. For constant weights it is the mean over all frames.

        Args:
            motion: ``(1, F, len(entries))`` as generated.
            emotion: weights of EMOTIONS, ``(1, 8)`` or of each frame ``(1, F, 8)``; a sum above 1 exaggerates.
            entries: indices of the motion's entries in the space.

        Returns:
            ``(1, 1 or F, len(entries))`` to add to the motion; zero for entries that are not EXPRESSIVE, and zero if the
            emotion is neutral and the mean of the motion equals ``neutral``.
        """
        expressive = (self.offsets != 0).any(0)[entries]
        weights = emotion if emotion.ndim == 3 else emotion[:, None]
        target = weights @ self.offsets[:, entries]
        current = self._means(motion, weights) - self.neutral[entries]
        return (target - current) * expressive

    @staticmethod
    def _means(motion: Tensor, weights: Tensor) -> Tensor:
        """Mean of the motion over frames of the same emotion, ``(1, F, E)`` and ``(1, 1 or F, 8)`` to ``(1, 1 or F, E)``."""
        mean = motion.mean(1, keepdim=True)
        if weights.shape[1] == 1:
            return mean
        # sums of the differences from the mean are exactly the mean for constant weights, and for weights that are all zero
        totals = weights.sum(1)[..., None].clamp_min(1e-6)
        differences = weights.transpose(1, 2) @ (motion - mean) / totals
        shares = weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)
        return mean + shares @ differences
