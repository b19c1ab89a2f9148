"""Identity: cosine similarity of dlib's face embeddings (King 2017, a ResNet with 128 outputs)."""

from __future__ import annotations

import os

import numpy as np

from emotalker.core.errors import MissingExtraError
from emotalker.core.registry import resolve

#: MediaPipe's points for dlib's five: outer and inner corner of the left and of the right eye, lower end of the nose.
FIVE_POINTS = (263, 362, 33, 133, 2)


class FaceEmbedder:
    """Embeds faces.

    Args:
        path: ``dlib_face_recognition_resnet_model_v1.dat``; by default the registry finds or downloads it.

    Raises:
        MissingExtraError: dlib is not installed.
        CheckpointError: the model file is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        try:
            import dlib
        except ImportError as error:
            raise MissingExtraError("identity needs dlib: pip install 'emotalker[identity]'") from error
        self._dlib = dlib
        self._network = dlib.face_recognition_model_v1(str(resolve("dlib_face_recognition", path)))

    def __call__(self, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The embedding ``(128,)`` of a face in a frame ``(H, W, 3)`` uint8 RGB with landmarks ``(478, 2)`` in pixels."""
        low, high = points.min(0), points.max(0)
        box = self._dlib.rectangle(*(round(float(v)) for v in (*low, *high)))
        parts = [self._dlib.point(*(round(float(v)) for v in points[i])) for i in FIVE_POINTS]
        face = self._dlib.full_object_detection(box, parts)
        return np.array(self._network.compute_face_descriptor(np.ascontiguousarray(frame), face))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine similarity of two vectors; NaN if one is zero."""
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else float("nan")
