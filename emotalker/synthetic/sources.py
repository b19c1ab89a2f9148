"""Sources of the face reader's training data: synthetic heads, portraits animated by the renderer, and frames of real videos.

Each face is a dict of the arrays that :mod:`emotalker.synthetic.dataset` describes, without the N axis.
"""

from __future__ import annotations

import os

import cv2
import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.synthetic.films import MOVING_FRACTION, Moments, SyntheticPerson, random_film
from emotalker.synthetic.observation import crop, crop_transform, transform_points
from emotalker.tracking.backends import FIT_POINTS, Detection, MediaPipe
from emotalker.tracking.shot_fit import ShotFitter
from emotalker.tracking.tracker import FIT_OPTIONS
from emotalker.video.frames import timed_frames

#: First seeds of synthetic people and of portraits' films. The tracker's evaluation takes its seeds from 0 upwards.
SYNTHETIC_SEED, PORTRAIT_SEED = 100_000, 500_000
SYNTHETIC_SIZES = (224, 320)  # pixels
SYNTHETIC_MOMENTS, SYNTHETIC_STEPS, SYNTHETIC_FRAMES = 10, 5, 24  # keyframes of a film, frames between two, frames kept
PORTRAIT_SIZE, PORTRAIT_FILMS, PORTRAIT_MOMENTS, PORTRAIT_STEPS = 288, 4, 25, 4
VARIED_FILMS, VARIED_MOMENTS = 6, 15
STRETCH, BEND = 0.08, 0.012  # largest scaling, and standard deviation of the bending as a fraction of the image's side
BENDS = 7  # control points of the bending along each side
PORTRAIT_TURN, PORTRAIT_SHIFT = 0.6, 0.5  # fraction of a film's pose that a warped portrait shows without artefacts
VIDEO_STEP = 5  # every fifth frame of a video is kept


class FaceSources:
    """Generates labelled faces.

    Args:
        landmarker: path of the landmark model, or None for the registry's.
    """

    def __init__(self, landmarker: str | os.PathLike | None = None):
        self.model = FaceModel.load()
        self._backend = MediaPipe(landmarker)

    def synthetic(self, number: int, moving_fraction: float = MOVING_FRACTION) -> list[dict[str, np.ndarray]]:
        """Single frames of a film of a synthetic person, with exact labels. Frames in which no face is detected are left out.

        Args:
            number: of the person; the random seed.
            moving_fraction: see :func:`~emotalker.synthetic.films.random_moments`.
        """
        rng = np.random.default_rng(SYNTHETIC_SEED + number)
        person = SyntheticPerson(self.model, rng, int(rng.integers(*SYNTHETIC_SIZES)))
        film = random_film(rng, SYNTHETIC_MOMENTS, SYNTHETIC_STEPS, moving_fraction)
        kept = np.sort(rng.choice(len(film.blendshapes), SYNTHETIC_FRAMES, replace=False))
        self._backend.reset()
        faces = []
        for blendshapes, angles, shift in zip(film.blendshapes[kept], film.angles[kept], film.translation[kept], strict=True):
            image = person.frame(blendshapes, angles, shift)
            if detection := self._backend.follow(image):
                points = self.model.landmarks(person.identity, blendshapes) @ rotation_matrix(angles).T + shift
                faces.append(_face(image, detection, blendshapes, number, person.camera.project(points)))
        return faces

    def portrait(self, image: np.ndarray, number: int, name: str = "the image") -> list[dict[str, np.ndarray]]:
        """Frames of films in which a portrait makes random movements, first as it is, then with its proportions changed.

        The labels are the film's blendshapes plus the portrait's own, which are fitted. The target landmarks are MediaPipe's.

        Args:
            image: RGB ``(H, W, 3)`` uint8.
            number: of the person; the random seed.
            name: of the image in error messages.

        Raises:
            FaceNotFoundError: there is no face in the image.
        """
        own = self._prepared(image, name)
        faces = []
        for film_number in range(PORTRAIT_FILMS + VARIED_FILMS):
            rng = np.random.default_rng(PORTRAIT_SEED + 1000 * number + film_number)
            if film_number < PORTRAIT_FILMS:
                portrait, film = own, random_film(rng, PORTRAIT_MOMENTS, PORTRAIT_STEPS)
            else:
                portrait = self._prepared(another_person(own.image, rng), name)
                film = random_film(rng, VARIED_MOMENTS, PORTRAIT_STEPS, moving_fraction=1)
            self._backend.reset()
            for blendshapes, frame in zip(
                film.blendshapes, WarpRenderer(portrait).render(portrait_motion(film)), strict=True
            ):
                if detection := self._backend.follow(np.ascontiguousarray(frame)):
                    faces.append(_face(frame, detection, np.clip(blendshapes + portrait.fit.blendshapes[0], 0, 1), number))
        return faces

    def _prepared(self, image: np.ndarray, name: str) -> Portrait:
        return Portrait.from_image(image, self._backend, self.model, PORTRAIT_SIZE, name, keep_expression=1.0)

    def video(self, path: str | os.PathLike, number: int) -> list[dict[str, np.ndarray]]:
        """Every fifth frame of a real video, labelled by a fit to MediaPipe's landmarks and scores.

        Args:
            path: the video.
            number: of the person.

        Raises:
            VideoError: the video cannot be read.
        """
        self._backend.reset()
        faces, fitter = [], None
        for _, _, image in timed_frames(path):
            if detection := self._backend.follow(image):
                fitter = fitter or ShotFitter(self.model, Camera.default(*image.shape[1::-1]), FIT_POINTS, FIT_OPTIONS)
                fitter.add(detection.points[FIT_POINTS], detection.scores)
                faces.append(_face(image, detection, np.zeros(len(ARKIT.expression_names)), number))
        if fitter is None:
            return []
        for face, blendshapes in zip(faces, fitter.finish().blendshapes, strict=True):
            face["blendshapes"] = blendshapes.astype(np.float32)
        return faces[::VIDEO_STEP]


def portrait_motion(film: Moments) -> np.ndarray:
    """A film's motion ``(T, 58)`` with the pose reduced by PORTRAIT_TURN and PORTRAIT_SHIFT, for the portrait renderer."""
    shift = film.translation - film.translation.mean(0)
    pose = np.concatenate([PORTRAIT_TURN * film.angles, PORTRAIT_SHIFT * shift], 1)
    return np.concatenate([film.blendshapes, pose], 1).astype(np.float32)


def another_person(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square image ``(S, S, 3)`` uint8 with a random scaling and a smooth random displacement, to vary the identity."""
    side = len(image)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bends = rng.normal(0, 1, (BENDS, BENDS, 2)).astype(np.float32)
    bends = cv2.resize(bends, (side, side), interpolation=cv2.INTER_CUBIC) * BEND * side
    wide, high = 1 + rng.uniform(-STRETCH, STRETCH, 2)
    source = np.stack([(x - side / 2) * wide, (y - side / 2) * high], -1) + side / 2 + bends
    return cv2.remap(image, source.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _face(
    image: np.ndarray, detection: Detection, blendshapes: np.ndarray, number: int, true: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """One face's arrays; ``true (478, 2)`` are the target landmarks in pixels of the image, by default the detected ones."""
    transform = crop_transform(detection.points)
    found = transform_points(transform, detection.points).astype(np.float32)
    return {
        "image": crop(image, transform),
        "found": found,
        "true": found if true is None else transform_points(transform, true).astype(np.float32),
        "scores": detection.scores.astype(np.float32),
        "blendshapes": blendshapes.astype(np.float32),
        "person": np.int32(number),
    }
