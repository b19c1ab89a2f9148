"""How much of a portrait's fitted blendshapes is expression that the face loses at rest; docs/method.md 11.

Blendshapes of one picture cannot tell expression from identity: heavy lids are fitted as a squint, low brows as a frown and
upturned corners as a smile. What counts as expression is therefore what neutral faces do not show, and what comes with it:
narrow eyes with a smile, raised brows with wide eyes, and the shape of lips that are apart. Lowered brows stay: neutral faces
score as high (0.7) as angry ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.face.model import FaceModel
from emotalker.face.topology import EYE_CORNERS, INNER_LIPS

#: Lip blendshapes that are not only speech. Without an expression to remove, the motion is added to the portrait's own level
#: of these, and of all that are no lip blendshapes; it replaces the other lip blendshapes.
_ADDED = ("mouthSmile", "mouthFrown", "mouthDimple", "mouthLeft", "mouthRight")
ADDED = np.array([name.startswith(_ADDED) or name not in ARKIT.lip_names for name in ARKIT_BLENDSHAPES])

#: Blendshapes that part the lips, and the one that closes them again over an open jaw.
_PARTING = ("jawOpen", "mouthUpperUp", "mouthLowerDown", "mouthFunnel")
_JAW = ("jawOpen", "mouthClose")

#: Lip gaps over the eye distance up to which lips are closed, and from which they are certainly open.
_CLOSED_GAP, _OPEN_GAP = 0.035, 0.1


@dataclass(frozen=True)
class Sign:
    """Evidence of an expression.

    Attributes:
        score: the blendshape, without a side, whose landmarker score is the evidence.
        none, certain: scores up to which it is no evidence, and from which it is certain. ``none`` is about the largest mean
            of both sides on neutral photos of 20 actors of RAVDESS and 7 of MEAD and the Javanese corpus.
        lips: whether all lip blendshapes belong to the expression.
        parts: other blendshapes that belong to it, each with the level that neutral faces are fitted with.
    """

    score: str
    none: float
    certain: float
    lips: bool
    parts: dict[str, float]


SIGNS = (
    Sign("mouthSmile", 0.35, 0.65, True, {"cheekSquint": 0.0, "eyeSquint": 0.4}),
    Sign("mouthFrown", 0.1, 0.4, True, {}),
    Sign("mouthPucker", 0.6, 0.9, True, {}),
    Sign("mouthFunnel", 0.1, 0.4, True, {}),
    Sign("eyeWide", 0.08, 0.3, False, {"eyeWide": 0.0, "browInnerUp": 0.0, "browOuterUp": 0.0}),
    Sign("browInnerUp", 0.45, 0.7, False, {"browInnerUp": 0.1, "browOuterUp": 0.1}),
)

#: How much more than the fitted smile is removed, because the fitted identity takes a part of it: on 12 smiling frames of
#: people with a neutral frame, the mouth at rest is 10% too wide with 1, 5% with 1.4, which pinches some mouths' corners.
SMILE_GAIN = 1.1


def entries(*names: str) -> list[int]:
    """Indices of blendshapes, of both sides where a name has sides."""
    return [i for i, full in enumerate(ARKIT_BLENDSHAPES) if any(full in (n, n + "Left", n + "Right") for n in names)]


def shown_expression(blendshapes: np.ndarray, scores: np.ndarray, gap: float, model: FaceModel) -> np.ndarray:
    """The part of a face's blendshapes that is expression.

    Args:
        blendshapes: ``(52,)`` fitted, 0..1.
        scores: ``(52,)`` the landmarker's, 0..1.
        gap: :func:`lip_gap` of its landmarks.
        model: the head model of the fit.

    Returns:
        ``(52,)``, at least 0.
    """
    apart = _certainty(gap, _CLOSED_GAP, _OPEN_GAP)
    lips = ARKIT.indices([name for name in ARKIT.lip_names if name in ARKIT_BLENDSHAPES])
    shown = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
    shown[lips] = apart * blendshapes[lips] * ~ADDED[lips]
    for sign in SIGNS:
        # A neutral face has its lips closed: with parted lips, half the score is evidence enough.
        threshold = 1 - 0.5 * apart if sign.lips else 1.0
        certainty = _certainty(scores[entries(sign.score)].mean() / threshold, sign.none, sign.certain)
        if sign.lips:
            shown[lips] = np.maximum(shown[lips], certainty * blendshapes[lips])
        for name, neutral in sign.parts.items():
            at = entries(name)
            shown[at] = np.maximum(shown[at], certainty * np.clip(blendshapes[at] - neutral, 0, None))
    # A jaw that is fitted further open than the lips are apart belongs to the shape of the face.
    shown[entries(*_JAW)] *= min(1.0, gap / max(_fitted_parting(blendshapes, model), 1e-3))
    shown[entries("mouthSmile")] *= SMILE_GAIN
    return shown


def lip_gap(points: np.ndarray) -> float:
    """Mean distance of the inner lips' middle thirds over the eye distance, from ``(478, 2)`` or ``(478, 3)`` points."""
    middle = slice(3, 8)
    gap = np.linalg.norm(points[INNER_LIPS.lower[middle]] - points[INNER_LIPS.upper[middle]], axis=1).mean()
    eyes = points[EYE_CORNERS]
    return float(gap / np.linalg.norm((eyes[0] + eyes[1] - eyes[2] - eyes[3]) / 2))


def _certainty(value: float, none: float, certain: float) -> float:
    return float(np.clip((value - none) / (certain - none), 0, 1))


def _fitted_parting(blendshapes: np.ndarray, model: FaceModel) -> float:
    """:func:`lip_gap` of the average head with only the blendshapes that part the lips."""
    parting = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
    parting[entries(*_PARTING)] = blendshapes[entries(*_PARTING)]
    return lip_gap(model.landmarks(None, parting))
