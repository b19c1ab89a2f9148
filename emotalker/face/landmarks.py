"""Facial landmarks: 478 points and 52 blendshape scores of each face, from MediaPipe's face landmarker models."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emotalker.core.registry import resolve
from emotalker.face.mediapipe_networks import BlendshapeRegressor, FaceDetector, FaceMesh
from emotalker.face.window import Window, search_views

MIN_PRESENCE = 0.5

#: Detector confidence in a face's own crop: the least that is accepted, and the one at which the search ends.
MIN_CONFIDENCE, SUFFICIENT_CONFIDENCE = 0.6, 0.85

MAX_PASSES = 5


@dataclass
class Face:
    """One face of a picture.

    Attributes:
        points: ``(478, 3)`` float32; x and y in pixels of the picture (pixel centres at +0.5), z in the same scale, relative
            to the head's centre and smaller towards the camera.
        scores: ``(52,)`` float32 in 0..1, in ARKIT_BLENDSHAPES order; tongueOut is 0, as the model has none.
        confidence: the mesh network's probability of a face, 0..1.
    """

    points: np.ndarray
    scores: np.ndarray
    confidence: float

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Smallest upright box around the points: left, top, right, bottom in pixels. It may reach beyond the picture."""
        return tuple(float(v) for v in (*self.points[:, :2].min(0), *self.points[:, :2].max(0)))

    def contains(self, x: float, y: float) -> bool:
        """Whether a point of the picture, in pixels, is in the box."""
        left, top, right, bottom = self.box
        return left <= x <= right and top <= y <= bottom

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


class FaceLandmarker:
    """Finds faces and their landmarks: :meth:`detect` in single pictures, :meth:`track` in the frames of a video in order.

    A tracked frame takes about 5 ms on one core, a single picture about 12 ms. Instances are not thread-safe.

    Args:
        path: ``face_landmarker.task``; by default the registry finds or downloads it.
        num_threads: threads of each network.

    Raises:
        CheckpointError: the model file is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike | None = None, num_threads: int = 1):
        with zipfile.ZipFile(resolve("face_landmarker", path)) as task:
            self._detector = FaceDetector(task.read("face_detector.tflite"), num_threads)
            self._mesh = FaceMesh(task.read("face_landmarks_detector.tflite"), num_threads)
            self._regressor = BlendshapeRegressor(task.read("face_blendshapes.tflite"), num_threads)
        self._last: Window | None = None

    def detect(self, image: np.ndarray, everywhere: bool = False) -> list[Face]:
        """Faces of an RGB uint8 picture ``(H, W, 3)``, largest first; an empty list if there is none.

        The groups of :func:`emotalker.face.window.search_views` are searched in order until one contains a face with
        SUFFICIENT_CONFIDENCE. With ``everywhere``, all groups are searched for faces of this confidence, so that small ones
        beside a large one are found, too; this takes up to some seconds.

        Raises:
            ValueError: the picture has another shape or type.
        """
        _check_image(image)
        found: list[tuple[float, Face]] = []
        for views in search_views(image.shape[1], image.shape[0]):
            found += self._faces(image, views)
            sufficient = [(confidence, face) for confidence, face in found if confidence >= SUFFICIENT_CONFIDENCE]
            if sufficient and not everywhere:
                break
        if everywhere:
            found = sufficient or found
        kept: list[Face] = []
        for _, face in sorted(found, key=lambda candidate: -candidate[0]):
            left, top, right, bottom = face.box
            if not any(other.contains((left + right) / 2, (top + bottom) / 2) for other in kept):
                kept.append(face)
        return sorted(kept, key=lambda face: -face.area)

    def track(self, image: np.ndarray) -> Face | None:
        """The face of the previous frame in this one, the largest face if there was none, or None if no face is found.

        A tracked frame skips the detector. A lost face is searched for around its last position, then in the whole frame.
        The slow search of :meth:`detect` runs only while no face has been found since :meth:`reset`.

        Raises:
            ValueError: the picture is not RGB uint8 ``(H, W, 3)``.
        """
        _check_image(image)
        face = self._refind(image) if self._last else next(iter(self.detect(image)), None)
        if face:
            self._last = Window.around_landmarks(face.points)
        return face

    def reset(self) -> None:
        """Discard the tracked face before the first frame of another clip."""
        self._last = None

    def _refind(self, image: np.ndarray) -> Face | None:
        last = self._last
        points, presence = self._mesh(image, last)
        if presence >= MIN_PRESENCE:
            return Face(points, self._regressor(points), presence)
        for view in (Window(last.x, last.y, 2 * last.side), Window.whole(*image.shape[1::-1])):
            if found := self._faces(image, [view]):
                return max(found, key=lambda candidate: candidate[1].area)[1]
        return None

    def _faces(self, image: np.ndarray, views: list[Window]) -> list[tuple[float, Face]]:
        """Faces found in some views, duplicates included, each with the detector's confidence in the face's own crop.

        The mesh network's presence is also high for faces that are upside down. The detector's confidence separates them: it
        is over 0.88 for correct crops and under 0.81 for wrong ones.
        """
        faces = []
        for window in (window for view in views for window in self._detector(image, view)):
            window, points, presence = self._settle(image, window)
            confidence = self._detector.confidence(image, window)
            if presence >= MIN_PRESENCE and confidence >= MIN_CONFIDENCE:
                faces.append((confidence, Face(points, self._regressor(points), presence)))
        return faces

    def _settle(self, image: np.ndarray, window: Window) -> tuple[Window, np.ndarray, float]:
        """Predict points and move the crop to them until it no longer changes; two passes are typical.

        The final crop is the one that :meth:`track` uses, so pictures and video frames give the same points.
        """
        for _ in range(MAX_PASSES):
            points, presence = self._mesh(image, window)
            settled = Window.around_landmarks(points)
            if presence < MIN_PRESENCE or settled.near(window):
                break
            window = settled
        return window, points, presence


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"expected an RGB uint8 picture (H, W, 3), got {image.dtype} {image.shape}")
