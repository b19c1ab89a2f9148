"""Coefficient spaces: the meaning of each entry of a motion vector.

A motion track is an array ``(T, D)`` at ``fps`` frames per second. A space contains the names of the D entries and defines
which of them the lip branch predicts, which the face branch predicts, and which are rigid pose. Networks and renderers take
all indices from the space, so that another face model (BFM, FLAME) only needs another space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: The 52 blendshapes of ARKit, in the order of Apple's documentation.
ARKIT_BLENDSHAPES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight",
    "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft",
    "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
    "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

#: Index of each blendshape's mirror image, or its own index if it has none, ``(52,)``.
MIRRORED_BLENDSHAPES = np.array([
    ARKIT_BLENDSHAPES.index(n.replace("Left", "?").replace("Right", "Left").replace("?", "Right")) for n in ARKIT_BLENDSHAPES
])  # fmt: skip

#: Rigid pose: rotations about x (right), y (up), z (towards the viewer), then translations along them.
POSE_NAMES: tuple[str, ...] = ("pitch", "yaw", "roll", "shiftX", "shiftY", "shiftZ")

#: Pose entries that change sign in a mirror.
MIRROR_ODD = ("yaw", "roll", "shiftX")

#: Opposite gaze directions of each eye; the resting gaze is subtracted from their difference.
GAZE_PAIRS = tuple(
    (f"eyeLook{a}{side}", f"eyeLook{b}{side}") for side in ("Left", "Right") for a, b in (("Out", "In"), ("Up", "Down"))
)
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")

LIP_PREFIXES = ("jaw", "mouth", "tongue")
#: Name prefixes of lip entries that express emotion: they shape the mouth without parting the lips. All other lip entries are
#: articulation only.
EXPRESSIVE_LIPS = ("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress")


@dataclass(frozen=True)
class CoefficientSpace:
    """The layout of one kind of motion vector.

    Attributes:
        name: identifier stored with tracks and checkpoints.
        expression_names: the E blendshapes or expression basis vectors, entries ``0:E`` of a vector.
        lip_names: the expression entries that the lip branch predicts.
        pose_names: the rigid pose entries, ``E:D``; angles in radians first, then translations in centimetres.
        fps: frames per second of a track.
    """

    name: str
    expression_names: tuple[str, ...]
    lip_names: tuple[str, ...]
    pose_names: tuple[str, ...] = POSE_NAMES
    fps: int = 25

    def __post_init__(self) -> None:
        unknown = set(self.lip_names) - set(self.expression_names)
        if unknown:
            raise ValueError(f"lip entries {sorted(unknown)} are not expression entries of the space {self.name!r}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All D entry names in order."""
        return self.expression_names + self.pose_names

    @property
    def dim(self) -> int:
        """D, the length of a motion vector."""
        return len(self.names)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """Position of one entry; KeyError if the space has no such entry."""
        return self._position[name]

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Indices of several entries, ``(len(names),)`` int64."""
        return np.array([self._position[n] for n in names], dtype=np.int64)

    @cached_property
    def expression(self) -> slice:
        """All expression entries, including lips."""
        return slice(0, len(self.expression_names))

    @cached_property
    def pose(self) -> slice:
        """The rigid pose entries."""
        return slice(len(self.expression_names), self.dim)

    @cached_property
    def lip(self) -> np.ndarray:
        """Indices of the lip entries, which the lip branch predicts."""
        return self.indices(self.lip_names)

    @cached_property
    def face(self) -> np.ndarray:
        """Indices of all other entries (non-lip expression and pose), which the face branch predicts."""
        return np.setdiff1d(np.arange(self.dim), self.lip)

    @cached_property
    def _mirror(self) -> tuple[np.ndarray, np.ndarray]:
        """Index of each entry's mirror image, and the sign that it takes."""
        swapped = [n.replace("Left", "?").replace("Right", "Left").replace("?", "Right") for n in self.names]
        signs = [-1.0 if name in MIRROR_ODD else 1.0 for name in self.names]
        return self.indices(swapped), np.array(signs, np.float32)

    def mirrored(self, motion: np.ndarray) -> np.ndarray:
        """Motion ``(..., D)`` of the face in a mirror; ValueError if no entries are named after the sides of the face."""
        if not any("Left" in name for name in self.names):
            raise ValueError(f"the space {self.name!r} has no entries for left and right, so motion cannot be mirrored")
        partner, sign = self._mirror
        return motion[..., partner] * sign

    def merge(self, face: np.ndarray, lip: np.ndarray) -> np.ndarray:
        """Merge both branches: face ``(T, len(self.face))`` and lip ``(T, len(self.lip))`` -> ``(T, D)`` float32."""
        if len(face) != len(lip):
            raise ValueError(f"the branches differ in length: {len(face)} face frames, {len(lip)} lip frames")
        motion = np.empty((len(face), self.dim), dtype=np.float32)
        motion[:, self.face] = face
        motion[:, self.lip] = lip
        return motion


ARKIT = CoefficientSpace(
    name="arkit",
    expression_names=ARKIT_BLENDSHAPES,
    lip_names=tuple(n for n in ARKIT_BLENDSHAPES if n.startswith(LIP_PREFIXES)),
)

_BFM_EXPRESSION = tuple(f"expression{i:02d}" for i in range(64))

#: The paper's space (docs/method.md 2): Deep3DFaceRecon's 64 expression coefficients of the Basel Face Model, Euler angles
#: in radians and translation in the model's units (about 10 cm). See :mod:`emotalker.coefficients.bfm`.
BFM = CoefficientSpace(
    name="bfm",
    expression_names=_BFM_EXPRESSION,
    lip_names=tuple(_BFM_EXPRESSION[i] for i in (0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14)),
)

SPACES: dict[str, CoefficientSpace] = {space.name: space for space in (ARKIT, BFM)}


def get_space(name: str) -> CoefficientSpace:
    """The space with this name; ValueError with a list of all names if there is none."""
    try:
        return SPACES[name]
    except KeyError:
        raise ValueError(f"unknown coefficient space {name!r}; known: {', '.join(SPACES)}") from None


def blendshape_vector(values: dict[str, float]) -> np.ndarray:
    """Blendshape values by name to ``(52,)`` float32; all others are 0."""
    vector = np.zeros(len(ARKIT.expression_names), np.float32)
    for name, value in values.items():
        vector[ARKIT.index(name)] = value
    return vector
