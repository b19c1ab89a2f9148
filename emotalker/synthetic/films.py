"""Synthetic films of the head model with known motion, for training the face reader and evaluating the tracker.

The skin texture (brows, lashes, lips, hair, mottling) is defined in the frontal plane of the neutral face and moves with the
mesh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.appearance import part_colors
from emotalker.face.geometry import Camera, vertex_normals
from emotalker.face.model import FaceModel
from emotalker.face.rasterizer import interpolate, rasterize
from emotalker.face.topology import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE

BROWS = (
    np.array([70, 63, 105, 66, 107, 55, 65, 52, 53, 46]),
    np.array([336, 296, 334, 293, 300, 276, 283, 282, 295, 285]),
)
TEXTURE_SCALE = 40  # pixels per cm of the texture
TEXTURE_RADIUS = 14.0  # cm from the texture's centre to its border
HAIRLINE = (5.6, -3.5)  # y in cm above which, and z in cm behind which at the sides, the head is covered with hair
DISTANCE = 50.0  # cm from the camera
FRAMES = 8  # frames between two keyframes of a film
TURN = 3  # keyframes of the expression per keyframe of the head pose
MOVING_FRACTION = 0.5  # of the keyframes in which a part of the face moves
TOGETHER = 0.7  # fraction of the movements that are made by both sides of the face
MAX_TURN = np.radians(15)

#: Movements of each part of the face. A keyframe has at most one per part, because most movements of one part are antagonists
#: (Ekman & Friesen 1978). ``*`` stands for the left and the right side.
MOVEMENTS = (
    ("browDown*", "browInnerUp", "browOuterUp*", "browInnerUp browOuterUp*"),
    ("eyeBlink*", "eyeSquint*", "eyeWide*"),
    (
        "eyeLookUpLeft eyeLookUpRight", "eyeLookDownLeft eyeLookDownRight",
        "eyeLookOutLeft eyeLookInRight", "eyeLookInLeft eyeLookOutRight",
    ),
    ("cheekPuff", "cheekSquint*", "noseSneer*"),
    ("jawOpen", "jawForward", "jawLeft", "jawRight"),
    (
        "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmile*", "mouthFrown*", "mouthDimple*",
        "mouthStretch*", "mouthPress*", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
        "mouthLowerDown*", "mouthUpperUp*", "mouthClose", "tongueOut",
    ),
)  # fmt: skip

#: The most visible blendshapes, weighted more in training and required of a tracker in its evaluation.
LEADING_BLENDSHAPES = (
    "jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "mouthPucker",
)  # fmt: skip


@dataclass
class Moments:
    """Ground truth of T synthetic images.

    Attributes:
        blendshapes: ``(T, 52)``.
        angles: ``(T, 3)`` radians.
        translation: ``(T, 3)`` cm in camera space.
    """

    blendshapes: np.ndarray
    angles: np.ndarray
    translation: np.ndarray


def random_moments(rng: np.random.Generator, count: int, moving_fraction: float = MOVING_FRACTION) -> Moments:
    """Independent random expressions and poses.

    Each part of the face moves with probability ``moving_fraction``. It then makes one of its MOVEMENTS, all equally likely,
    with a strength uniform in 0.3..1. The weaker side of a movement has 0.6..1 of the other side's strength, or is at rest.
    mouthClose is at most jawOpen. The head is rotated by up to 15 degrees about each axis.

    Args:
        rng: random generator.
        count: number of samples.
        moving_fraction: probability that a part of the face moves.
    """
    blendshapes = np.zeros((count, len(ARKIT_BLENDSHAPES)), np.float32)
    for row in blendshapes:
        for part in MOVEMENTS:
            if rng.uniform() < moving_fraction:
                strength, still = rng.uniform(0.3, 1), rng.choice(["Left", "Right"]) if rng.uniform() > TOGETHER else None
                for name in part[rng.integers(len(part))].split():
                    sides = (
                        {name.replace("*", side) for side in ("Left", "Right") if side != still} if "*" in name else {name}
                    )
                    row[ARKIT.indices(sorted(sides))] = strength
                    if len(sides) == 2:
                        row[ARKIT.index(rng.choice(sorted(sides)))] *= rng.uniform(0.6, 1)
    jaw, close = ARKIT.indices(["jawOpen", "mouthClose"])
    blendshapes[:, close] = np.minimum(blendshapes[:, close], blendshapes[:, jaw])
    angles = rng.uniform(-MAX_TURN, MAX_TURN, (count, 3))
    translation = rng.uniform(-1, 1, (count, 3)) * [2, 2, 3] + [0, 0, -DISTANCE]
    return Moments(blendshapes, angles, translation)


def random_film(
    rng: np.random.Generator, count: int, frames: int = FRAMES, moving_fraction: float = MOVING_FRACTION
) -> Moments:
    """Continuous motion of ``(count - 1) * frames + 1`` frames that interpolates keyframes of :func:`random_moments`.

    Args:
        rng: random generator.
        count: number of keyframes.
        frames: frames from one keyframe to the next. Poses are TURN times as far apart, as heads move more slowly than faces.
        moving_fraction: see :func:`random_moments`.
    """
    keys, steps = random_moments(rng, count, moving_fraction), np.arange((count - 1) * frames + 1) / frames
    return Moments(
        _interpolate(keys.blendshapes, steps).astype(np.float32),
        _interpolate(keys.angles, steps / TURN),
        _interpolate(keys.translation, steps / TURN),
    )


def _interpolate(keys: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Smoothstep interpolation ``(T, C)`` of ``keys (K, C)`` at times in units of keys; the velocity is zero at each key."""
    before = np.minimum(time.astype(int), max(len(keys) - 2, 0))
    weight = (time - before)[:, None]
    return keys[before] + weight**2 * (3 - 2 * weight) * (keys[np.minimum(before + 1, len(keys) - 1)] - keys[before])


class SyntheticPerson:
    """A head of random shape, skin, hair and lighting.

    Args:
        model: the head model.
        rng: random generator of the appearance.
        size: side of the images in pixels.
    """

    def __init__(self, model: FaceModel, rng: np.random.Generator, size: int = 512):
        self.model = model
        self.camera = Camera.default(size, size)
        self.identity = rng.normal(size=model.num_identity).astype(np.float32)
        skin = np.array([0.92, 0.70, 0.58]) * rng.uniform(0.55, 1.05)
        hair = np.array([0.30, 0.20, 0.13]) * rng.uniform(0.4, 1.5) * np.sqrt(skin[0])
        self.background = torch.tensor(rng.uniform(0.2, 0.7, 3), dtype=torch.float32)
        self.light = torch.nn.functional.normalize(torch.tensor(rng.normal([0, 0.5, 0.9], [0.35, 0.15, 0.1])), dim=0).float()
        self.triangles = torch.from_numpy(model.triangles.astype(np.int64))
        self.colors = torch.from_numpy(part_colors(model)) * 0.85
        self.is_skin = torch.zeros(len(model.triangles), dtype=torch.bool)
        self.is_skin[np.concatenate([model.parts["skin"], model.parts["eye_sockets"]])] = True
        self.hair = torch.from_numpy(hair).float()
        y, z = model.vertices[:, 1], model.vertices[:, 2]
        over = np.maximum(y - HAIRLINE[0], np.where(y > -1.5, HAIRLINE[1] - z, -1.0))
        self.hairiness = np.clip(over / 0.5 + 0.5, 0, 1)
        self.texture = _texture(model, rng, skin, hair)

    def frame(self, blendshapes: np.ndarray, angles: np.ndarray, translation: np.ndarray) -> np.ndarray:
        """Render one frame.

        Args:
            blendshapes: ``(52,)``.
            angles: ``(3,)`` radians.
            translation: ``(3,)`` cm in camera space.

        Returns:
            RGB image ``(size, size, 3)`` uint8.
        """
        model, camera = self.model, self.camera
        vertices = (model.deform(self.identity, blendshapes) @ rotation_matrix(angles).T + translation).astype(np.float32)
        projected = torch.from_numpy(camera.project_with_depth(vertices).astype(np.float32))
        ids, weights = rasterize(projected, self.triangles, camera.height, camera.width, cull_back=True)
        values = np.column_stack([vertex_normals(vertices, model.triangles), model.vertices[:, :2], self.hairiness])
        pixels = interpolate(ids, weights, self.triangles, torch.from_numpy(values.astype(np.float32)))
        normal = torch.nn.functional.normalize(pixels[..., :3], dim=-1)
        place = (pixels[..., 3:5].numpy() * [1, -1] + TEXTURE_RADIUS) * TEXTURE_SCALE
        skin = torch.from_numpy(cv2.remap(self.texture, place.astype(np.float32), None, cv2.INTER_LINEAR))
        skin = torch.lerp(skin, self.hair, pixels[..., 5:6])
        color = torch.where(self.is_skin[ids][..., None], skin, self.colors[ids])
        lit = (normal @ self.light).clamp(min=0)
        gloss = (
            0.12 * (normal @ torch.nn.functional.normalize(self.light + torch.tensor([0, 0, 1.0]), dim=0)).clamp(min=0) ** 20
        )
        image = color * (0.45 + 0.6 * lit)[..., None] + gloss[..., None]
        image = torch.where((ids >= 0)[..., None], image, self.background)
        return cv2.GaussianBlur((image.clamp(0, 1) * 255).round().byte().numpy(), (0, 0), 0.7)

    def film(self, moments: Moments) -> Iterator[np.ndarray]:
        """Render the frames in order."""
        for blendshapes, angles, translation in zip(moments.blendshapes, moments.angles, moments.translation, strict=True):
            yield self.frame(blendshapes, angles, translation)


def _texture(model: FaceModel, rng: np.random.Generator, skin: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """The skin texture ``(P, P, 3)`` float32 in the frontal plane of the neutral face."""
    side = int(2 * TEXTURE_RADIUS * TEXTURE_SCALE)

    def pixels(points: np.ndarray) -> np.ndarray:
        return np.round((model.landmark_mean[points, :2] * [1, -1] + TEXTURE_RADIUS) * TEXTURE_SCALE).astype(np.int32)

    def mask(blur_cm: float) -> np.ndarray:
        return cv2.GaussianBlur(canvas, (0, 0), blur_cm * TEXTURE_SCALE)[..., None]

    image = np.broadcast_to(skin, (side, side, 3)).astype(np.float32)
    mottling = cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), 0.15 * TEXTURE_SCALE)
    image = image * (1 + 0.015 * mottling / mottling.std())[..., None]

    canvas = np.zeros((side, side), np.float32)
    for brow in BROWS:
        cv2.fillPoly(canvas, [pixels(brow)], 1.0)
    strength = rng.uniform(0.6, 0.95)
    image += (hair * 0.8 - image) * strength * mask(0.1)

    canvas = np.zeros((side, side), np.float32)
    cv2.fillPoly(canvas, [pixels(np.r_[OUTER_LIPS.upper, OUTER_LIPS.lower[::-1]])], 1.0)
    image += (skin * [0.85, 0.55, 0.55] - image) * 0.8 * mask(0.06)
    canvas = np.zeros((side, side), np.float32)
    for edge in INNER_LIPS:
        cv2.polylines(canvas, [pixels(edge)], False, 1.0, round(0.08 * TEXTURE_SCALE))
    image += (skin * [0.5, 0.25, 0.25] - image) * 0.5 * mask(0.04)

    canvas = np.zeros((side, side), np.float32)
    for eye in (RIGHT_EYE, LEFT_EYE):
        cv2.polylines(canvas, [pixels(eye.upper)], False, 1.0, round(0.16 * TEXTURE_SCALE))
        cv2.polylines(canvas, [pixels(eye.lower)], False, 0.5, round(0.08 * TEXTURE_SCALE))
    image += (hair * 0.4 - image) * 0.9 * mask(0.03)
    return np.ascontiguousarray(image, np.float32)
