"""Landmark backends, and the choice among several faces."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from emotalker.core.errors import CheckpointError, MissingExtraError
from emotalker.face.landmarks import MIN_PRESENCE, Face, FaceLandmarker
from emotalker.face.mediapipe_networks import NUM_POINTS
from emotalker.face.topology import (
    FACE_OVAL,
    IBUG_68,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
)
from emotalker.face.window import Window

#: The N-th largest face (1 is the largest) or the face at a point (x, y) in pixels. None is the largest face; if it is lost,
#: another face may replace it.
FaceChoice = int | tuple[float, float] | None

#: Frames between two full searches before a shot's first face; in between, only the view of the whole picture is searched.
SEARCH_EVERY = 12

#: The points that the head is fitted to: all points of lips, lids, irises, brows and outline, and every third of the others.
FIT_POINTS = np.unique(
    np.concatenate([
        *INNER_LIPS, *OUTER_LIPS, *RIGHT_EYE, *LEFT_EYE, RIGHT_IRIS, LEFT_IRIS, FACE_OVAL, IBUG_68,
        RIGHT_BROW, LEFT_BROW, np.arange(0, 468, 3),
    ])
)  # fmt: skip


@dataclass
class Detection:
    """One face of one frame.

    Attributes:
        points: ``(L, 2)`` float32 pixels, in the order of the backend's ``landmark_index``.
        scores: ``(52,)`` blendshape scores in ARKIT_BLENDSHAPES order, or None if the backend predicts none.
        confidence: 0..1.
    """

    points: np.ndarray
    scores: np.ndarray | None
    confidence: float


class Backend(Protocol):
    """Tracks the landmarks of one face through the frames of a shot.

    Attributes:
        name: written to the result.
        prior: description of the blendshapes' prior, written to the result.
        landmark_index: ``(L,)`` indices of its points among MediaPipe's 478.
    """

    name: str
    prior: str
    landmark_index: np.ndarray

    def reset(self, choice: FaceChoice = None) -> None:
        """Begin a new shot, in which the chosen face is searched for again."""

    def follow(self, image: np.ndarray) -> Detection | None:
        """The face in the next frame ``(H, W, 3)`` uint8, or None if it is not found."""


def choose(boxes: np.ndarray, choice: FaceChoice) -> int | None:
    """Index of the chosen face among boxes ``(N, 4)`` (left, top, right, bottom), or None if there is no such face."""
    if len(boxes) == 0:
        return None
    by_size = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(1), kind="stable")
    if choice is None:
        return int(by_size[0])
    if isinstance(choice, int):
        return int(by_size[choice - 1]) if choice <= len(boxes) else None
    x, y = choice
    containing = [i for i in by_size[::-1] if boxes[i, 0] <= x <= boxes[i, 2] and boxes[i, 1] <= y <= boxes[i, 3]]
    return int(containing[0]) if containing else None


class MediaPipe(FaceLandmarker):
    """Backend: MediaPipe's 478 points and 52 scores; arguments as for :class:`FaceLandmarker`."""

    name = "mediapipe"
    prior = "MediaPipe's blendshape scores"
    landmark_index = np.arange(NUM_POINTS)

    def __init__(self, path: str | os.PathLike | None = None, num_threads: int = 1):
        super().__init__(path, num_threads)
        self._choice: FaceChoice = None
        self._missed = 0

    def reset(self, choice: FaceChoice = None) -> None:
        super().reset()
        self._choice, self._missed = choice, 0

    def follow(self, image: np.ndarray) -> Detection | None:
        face = self._refind(image) if self._last else self._search(image)
        if face is None:
            self._missed += 1
            return None
        self._last = Window.around_landmarks(face.points)
        return Detection(face.points[:, :2], face.scores, face.confidence)

    def _search(self, image: np.ndarray) -> Face | None:
        """The chosen face in a shot in which no face has been found yet."""
        if self._missed % SEARCH_EVERY == 0:
            faces = self.detect(image)
        else:
            faces = [face for _, face in self._faces(image, [Window.whole(*image.shape[1::-1])])]
        index = choose(np.array([face.box for face in faces]), self._choice)
        return None if index is None else faces[index]

    def _refind(self, image: np.ndarray) -> Face | None:
        """The face at its last position, else the nearest face around it, else the largest face if none was chosen."""
        last = self._last
        _, points, presence = self._settle(image, last)  # repeated if the head has moved
        if presence >= MIN_PRESENCE:
            return Face(points, self._regressor(points), presence)

        def distance(face: Face) -> float:
            return float(np.linalg.norm(Window.around_landmarks(face.points).center - last.center))

        near = [face for _, face in self._faces(image, [Window(last.x, last.y, 2 * last.side)])]
        near = [face for face in near if distance(face) < last.side / 2]
        if near:
            return min(near, key=distance)
        if self._choice is not None:
            return None
        everywhere = self._faces(image, [Window.whole(*image.shape[1::-1])])
        return max((face for _, face in everywhere), key=lambda face: face.area, default=None)


class FaceAlignment:
    """Backend: the 68 points of the optional ``face-alignment`` package (Bulat & Tzimiropoulos 2017).

    Args:
        device: torch device.

    Raises:
        MissingExtraError: the package is not installed.
        CheckpointError: its weights cannot be downloaded.
    """

    name = "face-alignment"
    prior = "none"
    landmark_index = IBUG_68

    def __init__(self, device: str = "cpu"):
        try:
            import face_alignment
        except ImportError as error:
            raise MissingExtraError(
                "the face-alignment backend needs an extra package: pip install 'emotalker[face-alignment]'"
            ) from error
        try:
            self._network = face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, device=device)
        except OSError as error:  # includes urllib's errors
            raise CheckpointError(
                f"face-alignment cannot download its weights ({error}); run it once online, or use --backend mediapipe"
            ) from error
        self.reset()

    def reset(self, choice: FaceChoice = None) -> None:
        self._choice, self._box = choice, None

    def follow(self, image: np.ndarray) -> Detection | None:
        boxes = None if self._box is None else [self._box]
        found = self._network.get_landmarks_from_image(image, boxes, return_bboxes=True, return_landmark_score=True)
        points, scores, boxes = found if found is not None else (None, None, None)
        if points is None or len(points) == 0:
            self._box = None
            return None
        index = choose(np.array(boxes)[:, :4], self._choice) if self._box is None else 0
        if index is None:
            return None
        confidence = float(np.clip(np.mean(scores[index]), 0, 1))
        if confidence < MIN_PRESENCE:
            self._box = None
            return None
        xy = np.asarray(points[index], np.float32)[:, :2]
        self._box = _detector_box(xy)
        return Detection(xy + 0.5, None, confidence)  # its pixel centres are at integers


def _detector_box(points: np.ndarray) -> np.ndarray:
    """The box ``(5,)`` of 68 points as the package's detector predicts it, from above the brows to the chin, with score 1."""
    low, high = points.min(0), points.max(0)
    low = low - [0, 0.25 * (high[1] - low[1])]
    return np.array([*low, *high, 1.0], np.float32)
