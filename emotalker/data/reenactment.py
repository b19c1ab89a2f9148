"""Self-reenactment: a clip's first frame is the portrait, and the motion tracked in the clip moves it (docs/method.md 11).

The rendered frames can be compared with the real ones pixel by pixel, so this is both a measure of renderers and the training
data of trainable ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.coefficients.space import BLINKS, GAZE_PAIRS
from emotalker.core.errors import FaceNotFoundError
from emotalker.face.fit import FitOptions, fit_sequence
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.render.gains import blendshape_gains
from emotalker.tracking.shot_fit import ShotFit
from emotalker.tracking.tracker import FIT_OPTIONS
from emotalker.video.reader import read_frames


@dataclass
class Reenactment:
    """T frames of one person and what renders them.

    Attributes:
        portrait: the first frame, with its whole expression kept.
        frames: ``(T, S, S, 3)`` uint8, the real frames, all in the crop of the portrait.
        motion: ``(T, 58)`` for a renderer of the portrait, at the clip's own frame rate. The first row renders the portrait.
        landmarks: ``(T, 478, 2)`` pixels of the real frames.
    """

    portrait: Portrait
    frames: np.ndarray
    motion: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def read_reenactment(
    path: str | os.PathLike, landmarker: FaceLandmarker, model: FaceModel, size: int = 256, frames: int | None = None
) -> Reenactment:
    """Read a video file; other arguments and errors as for :func:`reenactment`, and VideoError.

    Args:
        frames: read at most this many.
    """
    return reenactment(islice(read_frames(path), frames), landmarker, model, size, str(path))


def reenactment(
    images: Iterable[np.ndarray],
    landmarker: FaceLandmarker,
    model: FaceModel,
    size: int = 256,
    name: str = "the video",
    options: FitOptions = FIT_OPTIONS,
) -> Reenactment:
    """Track the largest face of the first image ``(H, W, 3)`` uint8 that has one through all further ones.

    Frames without a face are left out.

    Args:
        size: side of the crop, pixels.
        name: for error messages.
        options: weights of the fit, by default the tracker's.

    Raises:
        FaceNotFoundError: fewer than two images have a face.
    """
    images = iter(images)
    first, faces = next(((image, found) for image in images if (found := landmarker.detect(image))), (None, []))
    if not faces:
        raise FaceNotFoundError(f"no face found in {name}: give a video with one clearly visible, roughly frontal face")
    points = faces[0].points[:, :2]
    portrait = Portrait.from_image(first, landmarker, model, size, name, keep_expression=1.0)
    landmarker.reset()
    frames, landmarks, scores = [], [], []
    crop = portrait.crop
    for image in (first, *images):
        pixels = crop.take(image)
        face = landmarker.track(pixels)
        if face is not None:
            frames.append(pixels)
            landmarks.append(face.points[:, :2])
            scores.append(face.scores)
    landmarker.reset()
    if len(frames) < 2:
        raise FaceNotFoundError(f"the face of {name} is visible in one frame only: give a longer video")
    points = np.array(landmarks, np.float64)
    motion = _relative_motion(portrait, model, points, np.array(scores), options)
    return Reenactment(portrait, np.array(frames), motion, points.astype(np.float32))


def _relative_motion(
    portrait: Portrait, model: FaceModel, landmarks: np.ndarray, scores: np.ndarray, options: FitOptions
) -> np.ndarray:
    """Motion ``(T, 58)`` from landmarks ``(T, 478, 2)`` and scores ``(T, 52)``: the change of the tracked face since the
    first frame, added to the motion that renders the portrait itself.

    A renderer with ``keep_expression=1`` shows ``motion - removed`` as a change of the photo, both in units of the motion, so
    ``removed`` is the motion of an unchanged photo. Negative values lessen what the first frame shows.
    """
    fit = fit_sequence(model, landmarks, portrait.fit.camera, scores, identity=portrait.fit.identity, options=options)
    shut = ShotFit(fit.identity, fit.blendshapes, fit.angles, fit.translation, fit.relative_error).calibration().shut
    change = fit.blendshapes - fit.blendshapes[0]
    for name, level in zip(BLINKS, shut, strict=True):
        i = ARKIT.index(name)
        change[:, i] /= max(level - fit.blendshapes[0, i], 0.3)
    for i, j in (ARKIT.indices(pair) for pair in GAZE_PAIRS):
        gaze = change[:, i] - change[:, j]
        change[:, i], change[:, j] = np.clip(gaze, 0, None), np.clip(-gaze, 0, None)
    motion = np.zeros((len(landmarks), ARKIT.dim), np.float32)
    motion[:, ARKIT.expression] = portrait.removed / blendshape_gains() + change
    rotation = rotation_matrix(fit.angles.astype(np.float64))
    motion[:, ARKIT.pose] = np.concatenate(
        [rotation_angles(rotation @ rotation[0].T), fit.translation - fit.translation[0]], 1
    )
    return motion
