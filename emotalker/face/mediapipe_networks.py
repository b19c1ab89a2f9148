"""The three networks of MediaPipe's ``face_landmarker.task``, run on LiteRT.

BlazeFace short-range detector (Bazarevsky et al. 2019, arXiv:1907.05047), attention mesh with irises (Grishchenko et al.
2020, arXiv:2006.10962) and blendshape regressor, Apache-2.0. Anchors, suppression and crops are implemented here from the
papers and the model card.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.face.window import CROP_SCALE, Window, eye_angle

NUM_POINTS = 478

#: The blendshape network's outputs in order. It has no tongueOut.
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

#: The 146 points that the blendshape network takes.
SCORE_POINTS = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81, 82,
    84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157,
    158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270,
    276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334,
    336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398,
    400, 402, 405, 409, 415, 454, 466, *range(468, 478),
])  # fmt: skip

DETECTOR_SIZE, MESH_SIZE = 128, 256
MIN_DETECTION = 0.5
MAX_OVERLAP = 0.3


class Network:
    """One ``.tflite`` model.

    Args:
        content: the file's bytes.
        num_threads: threads of the interpreter.
        outputs: names of the output tensors to return.
    """

    def __init__(self, content: bytes, num_threads: int, *outputs: str):
        from ai_edge_litert.interpreter import Interpreter  # slow to import

        self._interpreter = Interpreter(model_content=content, num_threads=num_threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        index = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._outputs = [index[name] for name in outputs]

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        """Input without its batch axis to the named outputs, each with its batch axis of 1."""
        self._interpreter.set_tensor(self._input, x[None].astype(np.float32, copy=False))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output) for output in self._outputs]


class FaceDetector:
    """BlazeFace: finds upright faces that fill a large part of a view. Arguments as for :class:`Network`."""

    def __init__(self, content: bytes, num_threads: int):
        self._network = Network(content, num_threads, "regressors", "classificators")
        self._anchors = _anchors()

    def __call__(self, image: np.ndarray, view: Window) -> list[Window]:
        """The landmark network's crops of the faces found in one view of an RGB uint8 picture ``(H, W, 3)``."""
        found, confidence = self._detections(image, view)
        keep = confidence >= MIN_DETECTION
        windows = []
        for center, size, *points in _blend(found[keep], confidence[keep]):
            x, y = view.to_picture(center)
            angle = eye_angle(view.to_picture(points[0]), view.to_picture(points[1]))
            windows.append(Window(float(x), float(y), CROP_SCALE * float(size.max()) * view.side, angle))
        return windows

    def confidence(self, image: np.ndarray, view: Window) -> float:
        """The highest face probability of all anchors in one view, 0..1."""
        return float(self._detections(image, view)[1].max())

    def _detections(self, image: np.ndarray, view: Window) -> tuple[np.ndarray, np.ndarray]:
        """Box centre, box size and six points of each anchor ``(896, 8, 2)`` relative to the view, and probabilities
        ``(896,)``."""
        crop = view.crop(image, DETECTOR_SIZE, cv2.BORDER_CONSTANT)
        raw, logits = self._network(crop.astype(np.float32) / 127.5 - 1)
        found = raw.reshape(-1, 8, 2) / DETECTOR_SIZE
        found[:, [0, *range(2, 8)]] += self._anchors[:, None]  # all but the size are relative to the anchor's centre
        return found, _sigmoid(logits.ravel())


class FaceMesh:
    """Attention mesh: the 478 points of the face in a crop. Arguments as for :class:`Network`."""

    def __init__(self, content: bytes, num_threads: int):
        self._network = Network(content, num_threads, "Identity", "Identity_1")

    def __call__(self, image: np.ndarray, window: Window) -> tuple[np.ndarray, float]:
        """Points ``(478, 3)`` float32 in pixels of the picture, and the probability that the window contains a face."""
        crop = window.crop(image, MESH_SIZE, cv2.BORDER_REPLICATE)
        points, presence = self._network(crop.astype(np.float32) / 255)
        points = points.reshape(NUM_POINTS, 3) / MESH_SIZE
        xy = window.to_picture(points[:, :2])
        return np.column_stack([xy, points[:, 2] * window.side]).astype(np.float32), float(_sigmoid(presence.ravel()[0]))


class BlendshapeRegressor:
    """Blendshape scores of 478 points. Arguments as for :class:`Network`."""

    def __init__(self, content: bytes, num_threads: int):
        self._network = Network(content, num_threads, "StatefulPartitionedCall:0")

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points ``(478, 3)`` in pixels to scores ``(52,)`` float32 in ARKIT_BLENDSHAPES order, tongueOut 0.

        The network is invariant to position and scale but not to roll, so the points are rotated to a horizontal eye line.
        """
        (raw,) = self._network(points[SCORE_POINTS, :2] @ Window.around_landmarks(points).axes)
        by_name = dict(zip(SCORE_NAMES, raw.ravel(), strict=True))
        return np.array([by_name.get(name, 0.0) for name in ARKIT_BLENDSHAPES], dtype=np.float32)


def _anchors() -> np.ndarray:
    """Centres ``(896, 2)`` of BlazeFace's anchors relative to its view: 2 in each of 16 x 16 cells, 6 in each of 8 x 8."""
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
