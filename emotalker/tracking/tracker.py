"""Tracks a face in a video as motion of the arkit space (docs/method.md 10)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.coefficients.resample import sample_motion
from emotalker.core.errors import VideoError
from emotalker.face.calibration import Calibration
from emotalker.face.fit import FitOptions
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.tracking.backends import FIT_POINTS, Backend, Detection, FaceChoice, MediaPipe
from emotalker.tracking.reader import FaceReader
from emotalker.tracking.result import TrackedVideo
from emotalker.tracking.shot_fit import ShotFit, ShotFitter
from emotalker.tracking.shots import CutDetector, is_jump
from emotalker.tracking.smoothing import smooth_native, smooth_resampled
from emotalker.video.frames import timed_frames

#: Mean error of the landmarks, relative to the eye distance, that halves the confidence. Typical is 0.015 to 0.03.
HALF_CONFIDENCE_ERROR = 0.06

#: Strong weight on the scores, which have less jitter; weak weight on the outline, which slides over a turning head.
FIT_OPTIONS = FitOptions(oval_cm=1.5, gap_cm=0.05, score=0.1)
#: For a face reader: its blendshapes are more accurate than the scores, and its points are those of the head model.
READER_OPTIONS = FitOptions(oval_cm=0.3, gap_cm=0.15, score=0.02)


@dataclass
class _Shot:
    """A shot in progress: times of all its frames, whether the face was found, and confidence."""

    fitter: ShotFitter
    times: list[float] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)


class Tracker:
    """Tracks a face in videos. Instances are not thread-safe.

    Args:
        landmarker: path of ``face_landmarker.task``; by default the registry finds or downloads it.
        backend: another landmark backend (see :mod:`emotalker.tracking.backends`).
        options: weights of the fit.
        smoothing: remove jitter from the tracks; must be False for unrelated frames.
        reader: predicts blendshapes from the picture in shots to which it applies; ignored without the MediaPipe backend.

    Raises:
        CheckpointError: the landmark model is missing or damaged.
    """

    def __init__(
        self,
        landmarker: str | os.PathLike | None = None,
        backend: Backend | None = None,
        options: FitOptions = FIT_OPTIONS,
        smoothing: bool = True,
        reader: FaceReader | None = None,
    ):
        self.backend = backend or MediaPipe(landmarker)
        self.model = FaceModel.load()
        self.reader = reader if isinstance(self.backend, MediaPipe) else None
        self.options, self.smoothing = options, smoothing
        self._fitted = np.flatnonzero(np.isin(self.backend.landmark_index, FIT_POINTS))

    def track(
        self,
        video: str | os.PathLike,
        face: FaceChoice = None,
        identity: np.ndarray | None = None,
        calibration: Calibration | None = None,
        keep_landmarks: bool = False,
        on_frame: Callable[[float], None] | None = None,
    ) -> TrackedVideo:
        """Track a video file; arguments as for :meth:`track_frames`.

        The result of a video without a face has no valid frame.

        Raises:
            VideoError: the file is missing, is not a video, or none of its frames can be decoded.
        """
        return self.track_frames(timed_frames(video), face, identity, calibration, keep_landmarks, on_frame, str(video))

    def track_frames(
        self,
        frames: Iterable[tuple[float, float, np.ndarray]],
        face: FaceChoice = None,
        identity: np.ndarray | None = None,
        calibration: Calibration | None = None,
        keep_landmarks: bool = False,
        on_frame: Callable[[float], None] | None = None,
        name: str = "the video",
    ) -> TrackedVideo:
        """Track frames from an iterable; frames are not stored.

        Args:
            frames: time in seconds, duration in seconds, and RGB uint8 ``(H, W, 3)``, in order.
            face: the N-th largest face (1 is the largest), or the face at a point (x, y) in pixels. It is searched for at the
                beginning of each shot and then followed by its position. By default the largest.
            identity: ``(I,)`` of a known person; by default fitted in each shot.
            calibration: the person's calibration, e.g. measured on neutral clips; by default measured in each shot, where a
                lasting expression up to 0.25 cannot be separated from the tracker's bias.
            keep_landmarks: keep all frames' landmarks in the result, 4 kB per frame.
            on_frame: called with each frame's time.
            name: of the video, for error messages.

        Raises:
            VideoError: there is no frame.
        """
        backend, detect_cut = self.backend, CutDetector()
        shots: list[_Shot] = []
        landmarks: list[np.ndarray] = []
        size, last_points, end = None, None, 0.0
        for time, period, frame in frames:
            cut = detect_cut(frame)
            if cut or not shots:
                backend.reset(face)
                shots.append(self._new_shot(frame, identity))
                size = size or frame.shape[1::-1]
                last_points = None
            detection = backend.follow(frame)
            if detection is not None:
                if last_points is not None and is_jump(last_points, detection.points):
                    shots.append(self._new_shot(frame, identity))
                self._add(shots[-1].fitter, frame, detection)
                last_points = detection.points
            shot = shots[-1]
            shot.times.append(time)
            shot.found.append(detection is not None)
            shot.confidence.append(
                0.0 if detection is None else detection.confidence * _fraction_inside(detection.points, frame)
            )
            if keep_landmarks:
                landmarks.append(np.full((len(backend.landmark_index), 2), np.nan) if detection is None else detection.points)
            end = time + period
            if on_frame:
                on_frame(time)
        if not shots:
            raise VideoError(f"{name} contains no frames")
        return self._assemble(shots, end, size, calibration, landmarks)

    def _add(self, fitter: ShotFitter, frame: np.ndarray, detection: Detection) -> None:
        observation = self.reader.observe(frame, detection.points, detection.scores) if fitter.observing else None
        fitter.add(detection.points[self._fitted], detection.scores, observation)

    def _new_shot(self, frame: np.ndarray, identity: np.ndarray | None) -> _Shot:
        camera = Camera.default(frame.shape[1], frame.shape[0])
        index = self.backend.landmark_index[self._fitted]
        return _Shot(ShotFitter(self.model, camera, index, self.options, identity, self.reader, READER_OPTIONS))

    def _assemble(
        self,
        shots: list[_Shot],
        end: float,
        size: tuple[int, int],
        calibration: Calibration | None,
        landmarks: list[np.ndarray],
    ) -> TrackedVideo:
        """Fit what remains of the shots and sample their motion at 25 fps."""
        fps = ARKIT.fps
        targets = np.arange(max(1, round(end * fps))) / fps
        starts = [0, *(int(np.ceil(shot.times[0] * fps - 1e-6)) for shot in shots[1:]), len(targets)]
        coefficients = np.full((len(targets), ARKIT.dim), np.nan, np.float32)
        confidence = np.zeros(len(targets), np.float32)
        bounds: list[tuple[int, int]] = []
        per_shot = {name: [] for name in ("identities", "rest_poses", "rest_blendshapes", "shut_lids")}
        shots_read = 0
        for shot, start, stop in zip(shots, starts, starts[1:], strict=False):
            if stop <= start:
                continue
            fit = shot.fitter.finish()
            shots_read += fit.used_reader
            levels, rest_pose = calibration or Calibration(ARKIT, np.zeros(52), (1.0, 1.0)), np.zeros(6)
            if any(shot.found):
                levels, rest_pose = calibration or fit.calibration(), fit.rest_pose()
                coefficients[start:stop], confidence[start:stop] = self._sample(shot, fit, levels, targets[start:stop])
            bounds.append((start, stop))
            for name, value in zip(per_shot, (fit.identity, rest_pose, levels.rest, levels.shut), strict=True):
                per_shot[name].append(value)
        valid = np.isfinite(coefficients).all(1)
        confidence[~valid] = 0
        times = np.concatenate([shot.times for shot in shots])
        prior = self.backend.prior
        if shots_read:
            prior += f", and the {self.reader.name} in {shots_read} of {len(bounds)} shots"
        tracked = TrackedVideo(
            MotionTrack(coefficients, ARKIT),
            confidence,
            valid,
            np.array(bounds, np.int64),
            **{name: np.array(values, np.float32) for name, values in per_shot.items()},
            source_fps=float((len(times) - 1) / (times[-1] - times[0])) if len(times) > 1 else float(1 / max(end, 1e-3)),
            size=tuple(int(side) for side in size),
            backend=self.backend.name,
            prior=prior,
        )
        if landmarks:
            tracked.landmarks, tracked.landmark_times = np.array(landmarks, np.float32), times
            tracked.landmark_index = self.backend.landmark_index
        return tracked

    def _sample(
        self, shot: _Shot, fit: ShotFit, calibration: Calibration, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Motion ``(T, D)`` and confidence ``(T,)`` of a shot with a face at the times ``targets (T,)`` in seconds."""
        times, found = np.array(shot.times), np.array(shot.found)
        motion = np.full((len(times), ARKIT.dim), np.nan)
        motion[found] = fit.motion(calibration)
        if self.smoothing:
            motion = smooth_native(motion, ARKIT)
        sampled = sample_motion(times, motion, ARKIT, targets, 1 / ARKIT.fps)
        if self.smoothing:
            sampled = smooth_resampled(sampled, ARKIT)
        confidence = np.array(shot.confidence)
        confidence[found] /= 1 + (fit.relative_error / HALF_CONFIDENCE_ERROR) ** 2
        return sampled, np.interp(targets, times[found], confidence[found])


def _fraction_inside(points: np.ndarray, frame: np.ndarray) -> float:
    """Fraction of the landmarks ``(L, 2)`` that are inside the picture."""
    return float(((points >= 0) & (points <= frame.shape[1::-1])).all(1).mean())
