"""Expressions of the emotions, and the correction of a generated motion towards them (docs/method.md 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from emotalker.coefficients.space import CoefficientSpace, get_space
from emotalker.core.checkpoint import register_model
from emotalker.core.config import ModelConfig
from emotalker.core.emotions import EMOTIONS

#: The expression of each emotion at full weight, both sides of the face where no side is named. Which actions belong to an
#: emotion is from Ekman, Friesen and Hager 2002 (contempt: Ekman and Friesen 1986); how strong each is was chosen with
#: ``scripts/evaluate_video.py`` and by eye on portraits of RAVDESS actors 01 to 14. Pitch, in radians, lowers the head.
#: docs/method.md 9.
EXPRESSIONS: dict[str, dict[str, float]] = {
    "happy": {
        "mouthSmile": 0.85, "cheekSquint": 0.5, "eyeSquint": 0.3, "mouthUpperUp": 0.2, "mouthDimple": 0.15, "pitch": -0.03,
    },
    "sad": {
        "browInnerUp": 0.9, "browDown": 0.3, "mouthFrown": 0.75, "mouthShrugLower": 0.2, "eyeSquint": 0.35, "pitch": 0.09,
    },
    "angry": {
        "browDown": 0.85, "eyeWide": 0.2, "eyeSquint": 0.25, "noseSneer": 0.65, "mouthUpperUp": 0.55, "mouthLowerDown": 0.55,
        "mouthShrugUpper": 0.2, "mouthFunnel": 0.3, "jawOpen": 0.35, "pitch": 0.04,
    },
    "fear": {
        "browInnerUp": 0.9, "browOuterUp": 0.7, "browDown": 0.3, "eyeWide": 1.0, "mouthStretch": 0.6,
        "mouthLowerDown": 0.7, "jawOpen": 0.5, "pitch": -0.06,
    },
    "disgusted": {
        "noseSneer": 0.8, "browDown": 0.1, "mouthUpperUp": 1.0, "eyeSquint": 0.4, "cheekSquint": 0.3, "mouthFrown": 0.45,
        "mouthShrugLower": 0.2, "pitch": -0.03,
    },
    "surprised": {
        "browInnerUp": 0.45, "browOuterUp": 0.95, "eyeWide": 0.9, "jawOpen": 0.5, "mouthFunnel": 0.3, "pitch": -0.05,
    },
    "contempt": {
        "mouthDimpleLeft": 0.7, "mouthSmileLeft": 0.5, "mouthPressLeft": 0.3, "browOuterUpLeft": 0.3, "eyeSquint": 0.2,
        "pitch": -0.06,
    },
}  # fmt: skip
#: Name prefixes of entries that open the lips: they are added where the voice opens the jaw, so that closures stay closed.
OPENING = ("jawOpen", "mouthUpperUp", "mouthLowerDown", "mouthFunnel", "mouthShrug")
#: Name prefixes of the other entries of EXPRESSIONS.
EXPRESSIVE = (
    "brow", "eyeSquint", "eyeWide", "noseSneer", "cheekSquint",
    "mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress",
)  # fmt: skip


def expression_table(space: CoefficientSpace) -> np.ndarray:
    """EXPRESSIONS as ``(8, D)`` float32, rows of EMOTIONS; zero for neutral."""
    table = np.zeros((len(EMOTIONS), space.dim), np.float32)
    for emotion, actions in EXPRESSIONS.items():
        for i, name in enumerate(space.names):
            amount = actions.get(name, actions.get(name.removesuffix("Left").removesuffix("Right"), 0.0))
            table[EMOTIONS.index(emotion), i] = amount
    return table


@dataclass(frozen=True)
class ExpressionConfig(ModelConfig):
    """Attributes:
    space: name of the coefficient space, with ARKit's names of blendshapes.
    """

    space: str = "arkit"


@register_model("expression")
class ExpressionPrior(nn.Module):
    """Expressions of the emotions.

    Attributes:
        offsets: ``(8, D)`` :func:`expression_table`.
        neutral: ``(D,)`` mean motion that the other networks generate for neutral speech, set by
            :func:`emotalker.training.expression.fit`.
    """

    Config = ExpressionConfig

    def __init__(self, config: ExpressionConfig):
        super().__init__()
        self.config = config
        self.register_buffer("offsets", torch.from_numpy(expression_table(self.space)))
        self.register_buffer("neutral", torch.zeros(self.space.dim))

    @cached_property
    def space(self) -> CoefficientSpace:
        """The coefficient space."""
        return get_space(self.config.space)

    def correction(self, motion: Tensor, emotion: Tensor, entries: Sequence[int]) -> Tensor:
        """Mean-expression correction: target expression minus the mean of the motion.

        Entries of OPENING are articulation first, whose mean says what is spoken: for them it is the target alone.

        With weights that change over time, the mean is that of frames of the same emotion: the means weighted by each
        emotion's weights, mixed by the weights of the frame. For constant weights it is the mean over all frames.

        Args:
            motion: ``(1, F, len(entries))`` as generated.
            emotion: weights of EMOTIONS, ``(1, 8)`` or of each frame ``(1, F, 8)``; a sum above 1 exaggerates.
            entries: indices of the motion's entries in the space.

        Returns:
            ``(1, 1 or F, len(entries))`` to add to the motion; zero for entries that no emotion moves, and zero if the
            emotion is neutral and the mean of the motion equals ``neutral``.
        """
        names = [self.space.names[i] for i in entries]
        expressive = torch.tensor([name.startswith(EXPRESSIVE) for name in names], device=motion.device)
        weights = emotion if emotion.ndim == 3 else emotion[:, None]
        target = weights @ self.offsets[:, entries]
        current = self._means(motion, weights) - self.neutral[entries]
        return target - current * expressive

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
