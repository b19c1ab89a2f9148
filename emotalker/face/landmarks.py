"""Facial landmarks: 478 points and 52 blendshape scores a face, from MediaPipe's published face landmarker models.

The three networks of ``face_landmarker.task`` (BlazeFace short-range detector, attention mesh with irises, blendshape
regressor; Apache-2.0) run on LiteRT. What surrounds them is ours and follows the published descriptions: BlazeFace
(Bazarevsky et al. 2019, arXiv:1907.05047) for anchors and blended suppression, Attention Mesh (Grishchenko et al. 2020,
arXiv:2006.10962) for the points, and the model card's crop (a square 1.5 times the face, level with the eyes).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import cv2
import numpy as np

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.core.registry import resolve

NUM_POINTS = 478

#: Outer corners of the subject's right and left eye among the 478 points.
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 33, 263

#: The blendshape network's outputs, in its order. It has no tongueOut.
SCORE_NAMES: tuple[str, ...] = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
)  # fmt: skip

#: The 146 points the blendshape network takes.
SCORE_POINTS = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81, 82,
    84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157,
    158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270,
    276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334,
    336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398,
    400, 402, 405, 409, 415, 454, 466, *range(468, 478),
])  # fmt: skip

DETECTOR_SIZE, MESH_SIZE = 128, 256
CROP_SCALE = 1.5
MIN_DETECTION = MIN_PRESENCE = 0.5
MIN_LIKENESS, SURE_LIKENESS = 0.6, 0.85
MAX_OVERLAP = 0.3
MIN_TILE = 128
MAX_PASSES = 5


@dataclass
class Face:
    """One face of a picture.

    Attributes:
        points: ``(478, 3)`` float32; x and y in pixels of the picture (pixel centres at +0.5), z in the same scale, relative
            to the head's centre and smaller towards the camera.
        scores: ``(52,)`` float32 in 0..1, in the order of ``ARKIT_BLENDSHAPES``; tongueOut is 0, as the model has none.
        confidence: the network's probability that a face is there, 0..1.
    """

    points: np.ndarray
    scores: np.ndarray
    confidence: float

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Smallest upright box around the points: left, top, right, bottom in pixels. It may reach beyond the picture."""
        return tuple(float(v) for v in (*self.points[:, :2].min(0), *self.points[:, :2].max(0)))

    def contains(self, x: float, y: float) -> bool:
        """Whether a point of the picture lies in the box."""
        left, top, right, bottom = self.box
        return left <= x <= right and top <= y <= bottom

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


@dataclass(frozen=True)
class Window:
    """A square of the picture, possibly turned and reaching beyond it: centre and side in pixels, angle in radians
    (clockwise as seen, since y points down)."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @property
    def center(self) -> np.ndarray:
        """x and y as an array ``(2,)``."""
        return np.array([self.x, self.y])

    @property
    def axes(self) -> np.ndarray:
        """``(2, 2)``: the columns are the window's right and down sides as vectors of the picture."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return self.side * np.array([[c, -s], [s, c]])

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Points ``(..., 2)`` in shares of the window (0..1) to pixels of the picture."""
        return (points - 0.5) @ self.axes.T + self.center

    def near(self, other: Window) -> bool:
        """Whether two windows differ too little to change what a network sees in them."""
        turn = abs(np.angle(np.exp(1j * (self.angle - other.angle))))
        shift = max(abs(self.x - other.x), abs(self.y - other.y), abs(self.side - other.side))
        return turn < 0.05 and shift < 0.03 * self.side

    def crop(self, image: np.ndarray, size: int, border: int) -> np.ndarray:
        """The window as ``(size, size, 3)`` uint8; ``border`` is OpenCV's mode for what lies outside."""
        origin, scale = np.zeros(2), np.ones(2)
        shrink = int(self.side / size)
        if shrink > 1:  # average first: bilinear sampling alone would skip pixels
            reach = np.abs(self.axes).sum(1) / 2
            limit = np.array(image.shape[1::-1])
            low = np.clip(np.floor(self.center - reach).astype(int), 0, limit - 1)
            high = np.clip(np.ceil(self.center + reach).astype(int), low + 1, limit)
            image = image[low[1] : high[1], low[0] : high[0]]
            small = np.maximum((high - low) // shrink, 1)
            image = cv2.resize(image, tuple(small.tolist()), interpolation=cv2.INTER_AREA)
            origin, scale = low, small / (high - low)
        # From the index of a crop's pixel to an index of the picture; centres lie at index + 0.5 in both.
        linear = scale[:, None] * self.axes / size
        offset = scale * (self.center - origin) - linear.sum(1) * (size - 1) / 2 - 0.5
        matrix = np.column_stack([linear, offset])
        return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)


class FaceLandmarker:
    """Finds faces and their landmarks; :meth:`detect` for stills, :meth:`track` for the frames of a video in order.

    A tracked frame takes about 5 ms on one core, a still about 12. Not to be shared between threads.

    Args:
        path: ``face_landmarker.task``; by default the registry finds or fetches it.
        num_threads: threads of each network.

    Raises:
        CheckpointError: the model file is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike | None = None, num_threads: int = 1):
        with zipfile.ZipFile(resolve("face_landmarker", path)) as task:
            self._detector = _Network(task.read("face_detector.tflite"), num_threads, "regressors", "classificators")
            self._mesh = _Network(task.read("face_landmarks_detector.tflite"), num_threads, "Identity", "Identity_1")
            self._regressor = _Network(task.read("face_blendshapes.tflite"), num_threads, "StatefulPartitionedCall:0")
        self._anchors = _anchors()
        self._last: Window | None = None

    def detect(self, image: np.ndarray) -> list[Face]:
        """All faces of an RGB uint8 picture ``(H, W, 3)``, largest first; an empty list if there is none.

        The detector is made for upright faces that fill a fair part of its view. While no face is beyond doubt the search
        goes on in a padded view (faces cut by the border), in turned ones, and in ever smaller overlapping tiles
        (full-body pictures).
        """
        _check_image(image)
        found: list[tuple[float, Face]] = []
        for views in _search_views(image.shape[1], image.shape[0]):
            found += self._faces(image, views)
            if any(likeness >= SURE_LIKENESS for likeness, _ in found):
                break
        kept: list[Face] = []
        for _, face in sorted(found, key=lambda candidate: -candidate[0]):
            left, top, right, bottom = face.box
            if not any(other.contains((left + right) / 2, (top + bottom) / 2) for other in kept):
                kept.append(face)
        return sorted(kept, key=lambda face: -face.area)

    def track(self, image: np.ndarray) -> Face | None:
        """The face followed from the frame before, or the largest one if none is being followed; None if there is none.

        A tracked frame skips the detector. When the face is lost it is first looked for around its last place, then in the
        whole frame; the slow search of :meth:`detect` is made only while no face has been found since :meth:`reset`.
        """
        _check_image(image)
        face = self._refind(image) if self._last else next(iter(self.detect(image)), None)
        if face:
            self._last = _window_of_points(face.points)
        return face

    def reset(self) -> None:
        """Forget the followed face: the next frame belongs to another clip."""
        self._last = None

    def _refind(self, image: np.ndarray) -> Face | None:
        last = self._last
        points, presence = self._points(image, last)
        if presence >= MIN_PRESENCE:
            return Face(points, self._scores(points), presence)
        for view in (Window(last.x, last.y, 2 * last.side), _whole_view(*image.shape[1::-1])):
            if found := self._faces(image, [view]):
                return max(found, key=lambda candidate: candidate[1].area)[1]
        return None

    def _detections(self, image: np.ndarray, view: Window) -> tuple[np.ndarray, np.ndarray]:
        """Box centre, box size and six points of every anchor ``(896, 8, 2)`` in shares of the view, and confidences."""
        crop = view.crop(image, DETECTOR_SIZE, cv2.BORDER_CONSTANT)
        raw, logits = self._detector(crop.astype(np.float32) / 127.5 - 1)
        found = raw.reshape(-1, 8, 2) / DETECTOR_SIZE
        found[:, [0, *range(2, 8)]] += self._anchors[:, None]  # all but the size are relative to the anchor's centre
        return found, _sigmoid(logits.ravel())

    def _find(self, image: np.ndarray, view: Window) -> list[Window]:
        """The crops of the faces that the detector finds in one view."""
        found, confidence = self._detections(image, view)
        keep = confidence >= MIN_DETECTION
        windows = []
        for center, size, *points in _blend(found[keep], confidence[keep]):
            x, y = view.to_picture(center)
            angle = _eye_angle(view.to_picture(points[0]), view.to_picture(points[1]))
            windows.append(Window(float(x), float(y), CROP_SCALE * float(size.max()) * view.side, angle))
        return windows

    def _faces(self, image: np.ndarray, views: list[Window]) -> list[tuple[float, Face]]:
        """Faces the detector finds in some views, doubles included, each with its likeness.

        The mesh reports presence for faces seen upside down, too; likeness, the detector's opinion of the settled crop, does
        not (over 0.88 on right ones, under 0.81 on wrong ones).
        """
        faces = []
        for window in (window for view in views for window in self._find(image, view)):
            window, points, presence = self._settle(image, window)
            likeness = float(self._detections(image, window)[1].max())
            if presence >= MIN_PRESENCE and likeness >= MIN_LIKENESS:
                faces.append((likeness, Face(points, self._scores(points), presence)))
        return faces

    def _settle(self, image: np.ndarray, window: Window) -> tuple[Window, np.ndarray, float]:
        """Points, taken again and again in the crop they give themselves until it stands still; one repetition is the rule.

        That crop is the one :meth:`track` uses, so stills and frames agree.
        """
        for _ in range(MAX_PASSES):
            points, presence = self._points(image, window)
            settled = _window_of_points(points)
            if presence < MIN_PRESENCE or settled.near(window):
                break
            window = settled
        return window, points, presence

    def _points(self, image: np.ndarray, window: Window) -> tuple[np.ndarray, float]:
        crop = window.crop(image, MESH_SIZE, cv2.BORDER_REPLICATE)
        points, presence = self._mesh(crop.astype(np.float32) / 255)
        points = points.reshape(NUM_POINTS, 3) / MESH_SIZE
        xy = window.to_picture(points[:, :2])
        return np.column_stack([xy, points[:, 2] * window.side]).astype(np.float32), float(_sigmoid(presence.ravel()[0]))

    def _scores(self, points: np.ndarray) -> np.ndarray:
        """The network ignores place and scale but not roll, on which an expression does not depend: level the points."""
        (raw,) = self._regressor(points[SCORE_POINTS, :2] @ _window_of_points(points).axes)
        by_name = dict(zip(SCORE_NAMES, raw.ravel(), strict=True))
        return np.array([by_name.get(name, 0.0) for name in ARKIT_BLENDSHAPES], dtype=np.float32)


class _Network:
    """One ``.tflite`` model: a float32 input without its batch axis to the named outputs."""

    def __init__(self, content: bytes, num_threads: int, *outputs: str):
        from ai_edge_litert.interpreter import Interpreter  # takes a while to import

        self._interpreter = Interpreter(model_content=content, num_threads=num_threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        index = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._outputs = [index[name] for name in outputs]

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input, x[None].astype(np.float32, copy=False))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output) for output in self._outputs]


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"an RGB uint8 picture (H, W, 3) is needed, not {image.dtype} {image.shape}")


def _whole_view(width: int, height: int) -> Window:
    return Window(width / 2, height / 2, max(width, height))


def _search_views(width: int, height: int) -> Iterator[list[Window]]:
    """Groups of detector views, from the likely and cheap to the desperate."""
    whole = _whole_view(width, height)
    yield [whole]
    yield [Window(whole.x, whole.y, 1.5 * whole.side)]
    yield [Window(whole.x, whole.y, whole.side, angle) for angle in (np.pi / 2, -np.pi / 2, np.pi)]
    for side in (whole.side / part for part in (2, 4, 8) if whole.side / part >= MIN_TILE):
        yield [Window(x, y, side) for y, x in product(_tile_centers(height, side), _tile_centers(width, side))]


def _tile_centers(length: float, side: float) -> np.ndarray:
    """Centres of tiles that cover ``0..length`` and overlap by at least half."""
    if length <= side:
        return np.array([length / 2])
    return np.linspace(side / 2, length - side / 2, int(np.ceil(2 * (length / side - 1))) + 1)


def _window_of_points(points: np.ndarray) -> Window:
    """The crop of known landmarks: level with the eyes, 1.5 times as large as the face."""
    angle = _eye_angle(points[RIGHT_EYE_CORNER, :2], points[LEFT_EYE_CORNER, :2])
    turn = Window(0, 0, 1, angle).axes
    level = points[:, :2] @ turn
    low, high = level.min(0), level.max(0)
    x, y = turn @ ((low + high) / 2)
    return Window(float(x), float(y), CROP_SCALE * float((high - low).max()), angle)


def _eye_angle(right_eye: np.ndarray, left_eye: np.ndarray) -> float:
    """Angle of the line from the subject's right eye (on the left of the picture) to the left one."""
    x, y = left_eye - right_eye
    return float(np.arctan2(y, x))


def _anchors() -> np.ndarray:
    """Centres ``(896, 2)`` of BlazeFace's anchors in shares of its view: 2 in each of 16 x 16 cells, 6 in each of 8 x 8."""
    grids = []
    for cells, count in ((16, 2), (8, 6)):
        y, x = np.divmod(np.arange(cells * cells), cells)
        grids.append(np.repeat((np.stack([x, y], 1) + 0.5) / cells, count, axis=0))
    return np.concatenate(grids)


def _blend(found: np.ndarray, confidence: np.ndarray) -> Iterator[np.ndarray]:
    """BlazeFace's suppression: overlapping detections ``(N, 8, 2)`` are averaged by confidence instead of dropped."""
    boxes = np.concatenate([found[:, 0] - found[:, 1] / 2, found[:, 0] + found[:, 1] / 2], axis=1)
    left = np.argsort(-confidence)
    while len(left):
        overlap = _overlap(boxes[left[0]], boxes[left])
        same = overlap > MAX_OVERLAP
        same[0] = True
        yield np.average(found[left[same]], axis=0, weights=confidence[left[same]])
        left = left[~same]


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box ``(4,)`` with others ``(..., 4)``."""
    size = np.minimum(box[2:], boxes[..., 2:]) - np.maximum(box[:2], boxes[..., :2])
    shared = np.clip(size, 0, None).prod(-1)
    area = (box[2:] - box[:2]).prod() + (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    return shared / np.maximum(area - shared, 1e-9)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))
