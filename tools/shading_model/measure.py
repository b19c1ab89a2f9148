"""Ratio images of expressions, aligned to one canonical face and regressed on blendshapes over many people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES
from emotalker.face.geometry import barycentric
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.topology import EYE_CORNERS, LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE, SKIN_POINTS
from emotalker.render.shading import ShadingModel
from emotalker.video.frames import timed_frames

SIZE = 160  # pixels of the canonical face, about the resolution of the videos
MARGIN = 4
BACKGROUND_SIGMA = 12.0  # pixels; slower changes of brightness are light and pose, not folds
NOISE_SIGMA = 0.8  # pixels
LIMIT = 0.7  # of a frame's log ratio; more is hair or a shadow
RIDGE = 0.05**2  # mean square of a score below which its shading is shrunk: rare scores measure little
REST_FRACTION = 1 / 15  # of a person's frames, those with the least expression, are taken as neutral
FOREHEAD_SIGMA = 8.0  # pixels along the forehead, whose lines run across; hair and skin of single people do not average out
BORDER = 5  # pixels at the rim of the face where shading fades
#: Blendshapes that fold the skin above and below the middle of the nose. Others, and the two halves, would be confounded:
#: people who lower the corners of the mouth also knit their brows.
UPPER = ("brow", "eyeSquint", "eyeWide", "eyeBlink", "eyeLookDown", "noseSneer")
LOWER = (
    "mouthSmile", "mouthFrown", "mouthUpperUp", "mouthLowerDown", "mouthStretch", "mouthPress", "mouthDimple", "mouthPucker",
    "mouthFunnel", "mouthShrug", "mouthRoll", "mouthClose", "mouthLeft", "mouthRight", "jawOpen", "noseSneer",
)  # fmt: skip
#: Kept in the model; the others only explain brightness away (eyelids, gaze, teeth).
KEPT = (
    "brow", "eyeSquint", "noseSneer", "mouthSmile", "mouthFrown", "mouthUpperUp", "mouthLowerDown",
    "mouthStretch", "mouthPress", "mouthDimple", "jawOpen",
)  # fmt: skip
#: The landmarker has no score of its own for a wrinkled nose, so a clip's emotion stands for it.
SNEER_BY_EMOTION = {"disgusted": 0.6, "angry": 0.3}


@dataclass(frozen=True)
class CanonicalFace:
    """A frontal face that all frames are aligned to.

    Attributes:
        landmarks: ``(468, 2)`` pixels.
        triangles, weights: ``(SIZE ** 2, 3)`` landmarks around each pixel and its barycentric coordinates.
        inside: ``(SIZE, SIZE)`` float32, 1 on the face.
    """

    landmarks: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray
    inside: np.ndarray

    @classmethod
    def of_head_model(cls) -> CanonicalFace:
        """The average neutral head from the front."""
        points = FaceModel.load().landmark_mean[SKIN_POINTS, :2].astype(np.float64) * [1, -1]
        low, high = points.min(0), points.max(0)
        points = (points - (low + high) / 2) * ((SIZE - 2 * MARGIN) / (high - low).max()) + SIZE / 2
        triangles, weights, inside = barycentric(points, (0, 0), (SIZE, SIZE))
        return cls(points, triangles, weights, inside.astype(np.float32))

    def align(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Log brightness ``(SIZE, SIZE)`` of an RGB frame with landmarks ``(468, 2)`` in pixels."""
        place = (points[self.triangles] * self.weights[..., None]).sum(1).reshape(SIZE, SIZE, 2) - 0.5
        aligned = cv2.remap(image, place.astype(np.float32), None, cv2.INTER_LINEAR)
        return np.log(aligned.astype(np.float32).mean(-1) + 12)


@dataclass(frozen=True)
class ShadedClip:
    """Attributes:
    person: who it shows, in front of one camera.
    scores: ``(T, 52)`` blendshape scores.
    brightness: ``(T, SIZE, SIZE)`` float16 log brightness in the canonical face.
    """

    person: str
    scores: np.ndarray
    brightness: np.ndarray


def read_clip(video: Path, person: str, canonical: CanonicalFace, landmarker: FaceLandmarker, every: int) -> ShadedClip:
    """Align one frame in ``every`` of a video."""
    landmarker.reset()
    scores, brightness = [], []
    sneer = next((value for emotion, value in SNEER_BY_EMOTION.items() if f"_{emotion}_" in video.name), 0.0)
    for number, (_, _, image) in enumerate(timed_frames(video)):
        if number % every or (face := landmarker.track(image)) is None:
            continue
        frame = face.scores.astype(np.float64)
        frame[ARKIT.indices(["noseSneerLeft", "noseSneerRight"])] = sneer
        scores.append(frame)
        brightness.append(canonical.align(image, face.points[SKIN_POINTS, :2].astype(np.float64)).astype(np.float16))
    return ShadedClip(person, np.array(scores).reshape(-1, 52), np.array(brightness).reshape(-1, SIZE, SIZE))


def fit_shading(clips: Sequence[ShadedClip], canonical: CanonicalFace, source: str, licence: str) -> ShadingModel:
    """Ridge regression of log ratios on the change of scores, both against the person's neutral frames; people weigh alike,
    the two sides of the face share one fit."""
    mask = cv2.erode(canonical.inside, np.ones((BORDER, BORDER)))
    by_person: dict[str, list[ShadedClip]] = defaultdict(list)
    for clip in clips:
        by_person[clip.person].append(clip)
    changes, ratios, weights = [], [], []
    for person in by_person.values():
        scores = np.concatenate([clip.scores for clip in person])
        brightness = np.concatenate([clip.brightness for clip in person])
        if not len(scores):
            continue
        moving = [i for i, name in enumerate(ARKIT_BLENDSHAPES) if not name.startswith("eyeLook")]
        rest = np.argsort(scores[:, moving].sum(1), kind="stable")[: max(10, round(REST_FRACTION * len(scores)))]
        neutral, level = brightness[rest].astype(np.float32).mean(0), scores[rest].mean(0)
        changes.append(scores - level)
        ratios += [_fold_band(frame.astype(np.float32) - neutral, mask).astype(np.float16) for frame in brightness]
        weights.append(np.full(len(scores), 1 / len(scores)))
    change, ratio, weight = np.concatenate(changes), np.array(ratios), np.concatenate(weights)
    upper, lower = (_regress(change, ratio, weight / weight.mean(), prefixes) for prefixes in (UPPER, LOWER))
    rows = np.arange(SIZE)[:, None]
    middle = (canonical.landmarks[EYE_CORNERS, 1].mean() + canonical.landmarks[4, 1]) / 2  # between eyes and tip of the nose
    below = 1 / (1 + np.exp(-(rows - middle) / 4))
    field = (upper * (1 - below) + lower * below) * cv2.GaussianBlur(mask, (0, 0), BORDER / 2)
    brows = canonical.landmarks[np.concatenate([LEFT_BROW, RIGHT_BROW]), 1].min()
    forehead = 1 / (1 + np.exp((rows - (brows - 10)) / 2))
    field += forehead * (gaussian_filter(field, (0, 0, FOREHEAD_SIGMA)) - field)
    orbits = _orbits(canonical.landmarks)
    for i, name in enumerate(ARKIT_BLENDSHAPES):
        field[i] *= 1 - orbits * (name.startswith("brow") or 0.6)
    kept = [i for i, name in enumerate(ARKIT_BLENDSHAPES) if name.startswith(KEPT)]
    names = tuple(ARKIT_BLENDSHAPES[i] for i in kept)
    return ShadingModel(names, field[kept].astype(np.float32), canonical.landmarks, source, licence)


def _orbits(landmarks: np.ndarray) -> np.ndarray:
    """1 on brows and upper eyelids, ``(SIZE, SIZE)``, 0 elsewhere: tracked brows lag behind real ones, so their hair leaves a
    dark and a bright band that are no folds."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    for brow, eye in ((RIGHT_BROW, RIGHT_EYE), (LEFT_BROW, LEFT_EYE)):
        hull = cv2.convexHull(landmarks[np.concatenate([brow, eye.upper])].astype(np.float32))
        cv2.fillConvexPoly(mask, np.round(hull * 16).astype(np.int32), 1.0, shift=4)
    return gaussian_filter(cv2.dilate(mask, np.ones((5, 7))), 1.5)


def _fold_band(log_ratio: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A log ratio without light that changes slowly over the face, and without noise."""
    slow = gaussian_filter(log_ratio * mask, BACKGROUND_SIGMA) / np.maximum(gaussian_filter(mask, BACKGROUND_SIGMA), 1e-3)
    return np.clip(gaussian_filter((log_ratio - slow) * mask, NOISE_SIGMA), -LIMIT, LIMIT)


def _regress(change: np.ndarray, ratio: np.ndarray, weight: np.ndarray, prefixes: tuple[str, ...]) -> np.ndarray:
    """``(N, 52)`` and ``(N, S, S)`` to ``(52, S, S)``, zero for other blendshapes; mirrored frames are examples, too."""
    columns = [i for i, name in enumerate(ARKIT_BLENDSHAPES) if name.startswith(prefixes)]
    mirrored = [int(MIRRORED_BLENDSHAPES[i]) for i in columns]
    plain, flipped = change[:, columns], change[:, mirrored]
    square = sum((x * weight[:, None]).T @ x for x in (plain, flipped))
    product = np.zeros((len(columns), ratio[0].size))
    for first in range(0, len(ratio), 500):
        part = slice(first, first + 500)
        frames, w = ratio[part].astype(np.float64), weight[part, None]
        product += (plain[part] * w).T @ frames.reshape(len(frames), -1)
        product += (flipped[part] * w).T @ frames[:, :, ::-1].reshape(len(frames), -1)
    square += 2 * weight.sum() * RIDGE * np.eye(len(columns))
    field = np.zeros((52, *ratio.shape[1:]))
    field[columns] = np.linalg.solve(square, product).reshape(-1, *ratio.shape[1:])
    return field
