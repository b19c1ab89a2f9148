"""What the measures see of a video: frames at 25 fps in one square, its face in every frame, and its sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.resample import resample
from emotalker.coefficients.rotation import rotation_angles
from emotalker.core.errors import DataError, FaceNotFoundError
from emotalker.data.readers.base import fill_gaps
from emotalker.face.crop import Crop
from emotalker.face.geometry import align_rigid
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.topology import IBUG_68, SKIN_POINTS
from emotalker.video.reader import read_frames, video_info

FPS = ARKIT.fps
#: "face": head and shoulders around the first frame's face; "whole": the whole frame; "auto": whole if it is a square.
CropRule = Literal["auto", "face", "whole"]


@dataclass
class Footage:
    """A video of one person, or landmarks of one.

    Attributes:
        landmarks: ``(T, 68, 2)`` iBUG points in pixels; NaN where no face was found.
        frames: ``(T, S, S, 3)`` uint8, or None if only landmarks are known.
        points: ``(T, 478, 3)`` of the landmarker, pixels; NaN where no face was found; or None.
        scores: ``(T, 52)`` of the landmarker, NaN where no face was found, or None.
        audio: ``(N,)`` at 16 kHz, or None.
        embedding: of the face, once it has been computed.
    """

    landmarks: np.ndarray
    frames: np.ndarray | None = None
    points: np.ndarray | None = None
    scores: np.ndarray | None = None
    audio: np.ndarray | None = None
    embedding: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.landmarks)

    def motion(self, model: FaceModel) -> np.ndarray:
        """Motion ``(T, 58)`` of the arkit space: blendshapes as the landmarker scores them, angles of the head in radians
        from a rigid alignment of the points with the model, translation zero. Frames without a face are interpolated.

        Coarser than :mod:`emotalker.tracking` and twenty times faster; of real and generated videos alike.

        Raises:
            ValueError: only landmarks are known.
        """
        if self.scores is None or self.points is None:
            raise ValueError("landmarks alone have no blendshapes")
        values = np.full((len(self), ARKIT.dim), np.nan)
        rest = model.landmark_mean[SKIN_POINTS]
        for i in np.flatnonzero(np.isfinite(self.scores).all(1)):
            points = self.points[i, SKIN_POINTS] * [1, -1, -1]  # pixels grow downwards, depth away from the camera
            points = points * (np.linalg.norm(rest - rest.mean(0)) / np.linalg.norm(points - points.mean(0)))
            rotation, _ = align_rigid(rest, points)
            values[i] = 0
            values[i, ARKIT.expression] = self.scores[i]
            values[i, ARKIT.pose][:3] = rotation_angles(rotation)
        return _without_gaps(values).astype(np.float32)


def read_footage(
    path: str | os.PathLike,
    landmarker: FaceLandmarker,
    size: int = 256,
    crop: CropRule = "auto",
    limit: int | None = None,
    audio: str | os.PathLike | None = None,
) -> Footage:
    """Read a video and find the face in all its frames.

    Args:
        size: side of the square, pixels.
        limit: frames at most.
        audio: the sound, if it is not the video's own.

    Raises:
        VideoError, AudioError: a file cannot be read.
        FaceNotFoundError: no frame shows a face.
    """
    frames = _square(_at_constant_rate(path, limit), landmarker, size, crop, path)
    landmarker.reset()
    faces = [landmarker.track(frame) for frame in frames]
    landmarker.reset()
    if not any(faces):
        raise FaceNotFoundError(f"no face found in any frame of {path}; leave this video out")
    points = np.full((len(frames), 478, 3), np.nan)
    scores = np.full((len(frames), len(ARKIT_BLENDSHAPES)), np.nan)
    for i, face in enumerate(faces):
        if face is not None:
            points[i], scores[i] = face.points, face.scores
    if audio is not None:
        sound = load_audio(audio)
    else:
        sound = load_audio(path) if video_info(path).has_audio else None
    return Footage(points[:, IBUG_68, :2], np.array(frames), points, scores, sound)


def read_landmarks(path: str | os.PathLike, key: str, fps: float) -> Footage:
    """Published landmarks: an array ``(T, 68, 2)`` in pixels of an NPZ file.

    Args:
        key: name of the array.
        fps: its frame rate; the result has 25.

    Raises:
        DataError: the file or the array is missing, or has another shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            values = file[key].astype(np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} contains no landmarks of {key} ({error}); correct the folder of landmarks") from error
    if values.ndim != 3 or values.shape[1:] != (68, 2) or not np.isfinite(values).all():
        raise DataError(f"{path}: {key} is {values.shape}, expected finite landmarks (T, 68, 2)")
    return Footage(resample(values, fps, FPS))


def first_square(path: str | os.PathLike, landmarker: FaceLandmarker, size: int = 256, crop: CropRule = "auto") -> np.ndarray:
    """The first frame of a video with a face, as :func:`read_footage` sees it, ``(size, size, 3)`` uint8.

    Raises:
        VideoError, FaceNotFoundError: as for :func:`read_footage`.
    """
    for frame in _at_constant_rate(path, None):
        if landmarker.detect(frame):
            return _square(iter([frame]), landmarker, size, crop, path)[0]
    raise FaceNotFoundError(f"no face found in any frame of {path}; leave this video out")


def _at_constant_rate(path: str | os.PathLike, limit: int | None) -> Iterator[np.ndarray]:
    """Frames of a video at 25 fps: at each time the frame that is shown."""
    fps, wanted = video_info(path).fps, 0
    for i, frame in enumerate(read_frames(path)):
        while (limit is None or wanted < limit) and wanted / FPS < (i + 1) / fps - 1e-6:
            yield frame
            wanted += 1
        if limit is not None and wanted >= limit:
            return


def _square(
    frames: Iterator[np.ndarray], landmarker: FaceLandmarker, size: int, crop: CropRule, path: str | os.PathLike
) -> list[np.ndarray]:
    """Frames in one square: around the face of the first frame that has one, or whole."""
    squares: list[np.ndarray] = []
    before: list[np.ndarray] = []  # frames until a face is found
    chosen: Crop | None = None
    for frame in frames:
        height, width = frame.shape[:2]
        if crop == "whole" or (crop == "auto" and abs(width - height) <= 2):
            squares.append(_resized(frame, size))
        elif chosen is not None:
            squares.append(chosen.take(frame))
        else:
            before.append(frame)
            if faces := landmarker.detect(frame):
                chosen = Crop.around_head(faces[0].points[:, :2], width, height, size)
                squares = [chosen.take(each) for each in before]
    if not squares:
        found = "no face in any frame" if before else "no frames"
        raise FaceNotFoundError(f"{path} has {found}; leave this video out")
    return squares


def _resized(frame: np.ndarray, size: int) -> np.ndarray:
    if frame.shape[:2] == (size, size):
        return frame
    method = cv2.INTER_AREA if frame.shape[0] >= size else cv2.INTER_CUBIC
    return cv2.resize(frame, (size, size), interpolation=method)


def _without_gaps(values: np.ndarray) -> np.ndarray:
    """``(T, D)`` with NaN rows interpolated, those at the ends repeated."""
    known = np.flatnonzero(np.isfinite(values).all(1))
    filled = values.copy()
    filled[: known[0]], filled[known[-1] + 1 :] = values[known[0]], values[known[-1]]
    return fill_gaps(filled)
