"""How much of a portrait's fitted blendshapes is expression that the face loses at rest; docs/method.md 11.

Blendshapes of one picture cannot tell expression from identity: heavy lids are fitted as a squint, low brows as a frown and
upturned corners as a smile. What counts as expression is therefore what people with a neutral face never show, and what comes
with it: raised cheeks with a smile, raised brows with wide eyes, lowered brows with a wrinkled nose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotalker.coefficients import ARKIT_BLENDSHAPES


@dataclass(frozen=True)
class Sign:
    """Evidence of an expression.

    Attributes:
        score: the blendshape, without a side, whose landmarker score is the evidence.
        none, certain: scores up to which it is no evidence, and from which it is certain. ``none`` is at least the largest
            mean of both sides on 20 neutral portraits (RAVDESS actors 1 to 20).
        parts: the blendshapes that the expression consists of, each with the level that neutral faces are fitted with.
    """

    score: str
    none: float
    certain: float
    parts: dict[str, float]


SIGNS = (
    Sign("mouthSmile", 0.35, 0.65, {"mouthSmile": 0.0, "mouthDimple": 0.0, "cheekSquint": 0.0, "eyeSquint": 0.4}),
    Sign("mouthFrown", 0.1, 0.4, {"mouthFrown": 0.0}),
    Sign("eyeWide", 0.08, 0.3, {"eyeWide": 0.0, "browInnerUp": 0.0, "browOuterUp": 0.0}),
    Sign("noseSneer", 0.05, 0.3, {"noseSneer": 0.15, "browDown": 0.25}),
)


def sides(name: str) -> list[int]:
    """Indices of a blendshape, of both sides if it has sides."""
    return [i for i, full in enumerate(ARKIT_BLENDSHAPES) if full in (name, name + "Left", name + "Right")]


def shown_expression(blendshapes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The part of a face's blendshapes that is expression.

    Args:
        blendshapes: ``(52,)`` fitted, 0..1.
        scores: ``(52,)`` the landmarker's, 0..1.

    Returns:
        ``(52,)``, between 0 and ``blendshapes``.
    """
    shown = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
    for sign in SIGNS:
        certainty = np.clip((scores[sides(sign.score)].mean() - sign.none) / (sign.certain - sign.none), 0, 1)
        for name, neutral in sign.parts.items():
            at = sides(name)
            shown[at] = np.maximum(shown[at], certainty * np.clip(blendshapes[at] - neutral, 0, None))
    return shown
