"""Where the landmarks come from, and which of several faces is followed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from emotalker.core.errors import CheckpointError, MissingExtraError
from emotalker.face.landmarks import (
    MIN_PRESENCE,
    NUM_POINTS,
    Face,
    FaceLandmarker,
    Window,
    _whole_view,
    _window_of_points,
)
from emotalker.face.topology import FACE_OVAL, IBUG_68, INNER_LIPS, LEFT_EYE, LEFT_IRIS, OUTER_LIPS, RIGHT_EYE, RIGHT_IRIS

#: The N-th largest face (1 is the largest) or the one at a point (x, y) in pixels; None is the largest, whoever that is.
FaceChoice = int | tuple[float, float] | None

#: Frames between two thorough searches while a shot has shown no face yet; in between only the whole picture is looked at.
SEARCH_EVERY = 12

#: The points that the head is fitted to: lips, lids, irises, brows and outline whole, every third of the rest.
FIT_POINTS = np.unique(
    np.concatenate([
        *INNER_LIPS, *OUTER_LIPS, *RIGHT_EYE, *LEFT_EYE, RIGHT_IRIS, LEFT_IRIS, FACE_OVAL, IBUG_68,
        [46, 53, 52, 65, 55, 276, 283, 282, 295, 285], np.arange(0, 468, 3),
    ])
)  # fmt: skip


@dataclass
class Detection:
    """One face of one frame.

    Attributes:
        points: ``(L, 2)`` float32 pixels; which ones, the backend's ``landmark_index`` says.
        scores: ``(52,)`` blendshape scores in ARKIT_BLENDSHAPES order, or None if the backend has none.
        confidence: 0..1.
    """

    points: np.ndarray
    scores: np.ndarray | None
    confidence: float


class Backend(Protocol):
    """A source of landmarks that follows one face through the frames of a shot.

    Attributes:
        name: for the record.
        prior: what the fit is drawn towards, in words.
        landmark_index: ``(L,)`` which of MediaPipe's 478 points it gives.
    """

    name: str
    prior: str
    landmark_index: np.ndarray

    def reset(self, choice: FaceChoice = None) -> None:
        """Begin another shot, in which the chosen face is looked for anew."""

    def follow(self, image: np.ndarray) -> Detection | None:
        """The face in the next frame ``(H, W, 3)`` uint8, or None."""


def choose(boxes: np.ndarray, choice: FaceChoice) -> int | None:
    """Index of the chosen face among boxes ``(N, 4)`` (left, top, right, bottom), or None if it is not there."""
    if len(boxes) == 0:
        return None
    by_size = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(1), kind="stable")
    if choice is None:
        return int(by_size[0])
    if isinstance(choice, int):
        return int(by_size[choice - 1]) if choice <= len(boxes) else None
    x, y = choice
    around = [i for i in by_size[::-1] if boxes[i, 0] <= x <= boxes[i, 2] and boxes[i, 1] <= y <= boxes[i, 3]]
    return int(around[0]) if around else None


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
        face = self._refind(image) if self._last else self._seek(image)
        if face is None:
            self._missed += 1
            return None
        self._last = _window_of_points(face.points)
        return Detection(face.points[:, :2], face.scores, face.confidence)

    def _seek(self, image: np.ndarray) -> Face | None:
        """The chosen face of a shot that has shown none so far."""
        if self._missed % SEARCH_EVERY == 0:
            faces = self.detect(image)
        else:
            faces = [face for _, face in self._faces(image, [_whole_view(*image.shape[1::-1])])]
        index = choose(np.array([face.box for face in faces]), self._choice)
        return None if index is None else faces[index]

    def _refind(self, image: np.ndarray) -> Face | None:
        """The face where it was; else the nearest within reach of there; else, unless one was chosen, the largest one."""
        last = self._last
        _, points, presence = self._settle(image, last)  # a second pass in the face's own crop, if the head has moved
        if presence >= MIN_PRESENCE:
            return Face(points, self._scores(points), presence)

        def distance(face: Face) -> float:
            return float(np.linalg.norm(_window_of_points(face.points).center - last.center))

        near = [face for _, face in self._faces(image, [Window(last.x, last.y, 2 * last.side)])]
        near = [face for face in near if distance(face) < last.side / 2]
        if near:
            return min(near, key=distance)
        if self._choice is not None:
            return None
        everywhere = self._faces(image, [_whole_view(*image.shape[1::-1])])
        return max((face for _, face in everywhere), key=lambda face: face.area, default=None)


class FaceAlignment:
    """Backend: the 68 points of the ``face-alignment`` package (Bulat & Tzimiropoulos 2017), as an extra.

    Args:
        device: torch device.

    Raises:
        MissingExtraError: the package is not installed.
        CheckpointError: its weights cannot be fetched.
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
        except OSError as error:  # urllib's errors, too
            raise CheckpointError(
                f"face-alignment cannot fetch its weights ({error}); run it once with a network, or use --backend mediapipe"
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
        return Detection(xy + 0.5, None, confidence)  # its pixel centres lie at whole numbers


def _detector_box(points: np.ndarray) -> np.ndarray:
    """The box ``(5,)`` that the package's detector would give for 68 points: from above the brows to the chin."""
    low, high = points.min(0), points.max(0)
    low = low - [0, 0.25 * (high[1] - low[1])]
    return np.array([*low, *high, 1.0], np.float32)


BACKENDS = {MediaPipe.name: MediaPipe, FaceAlignment.name: FaceAlignment}
