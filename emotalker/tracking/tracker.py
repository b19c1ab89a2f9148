"""From a video to motion in the default space."""

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
from emotalker.tracking.shot_fit import ShotFitter
from emotalker.tracking.shots import CutDetector, is_jump
from emotalker.tracking.smoothing import smooth_native, smooth_resampled
from emotalker.video.frames import timed_frames

#: Misfit of the landmarks, as a share of the eye distance, that halves the confidence. Usual is 0.015 to 0.03.
DOUBTFUL_ERROR = 0.06

#: Near the scores, which are steadier; outlines, which slide over a turning head, count little.
FIT_OPTIONS = FitOptions(oval_cm=1.5, gap_cm=0.05, score=0.1)
#: For shots that a face reader reads: its blendshapes are nearer to the truth than scores, and its points the head model's.
READER_OPTIONS = FitOptions(oval_cm=0.3, gap_cm=0.15, score=0.02)


@dataclass
class _Shot:
    """A shot while it is being read: all its frames' times, and which of them show the face."""

    fitter: ShotFitter
    times: list[float] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)


class Tracker:
    """Follows a face through videos. Not to be shared between threads.

    Args:
        landmarker: path of ``face_landmarker.task``; by default the registry finds or fetches it.
        backend: another source of landmarks (see :mod:`emotalker.tracking.backends`).
        options: strengths of the fit.
        smoothing: take the jitter out of the tracks. Frames that have nothing to do with each other need False.
        reader: looks at the picture again in shots of its kind, where the landmarks are MediaPipe's; none by default.

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
        self._chosen = np.flatnonzero(np.isin(self.backend.landmark_index, FIT_POINTS))

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

        A video without a face gives a result without a valid frame.

        Raises:
            VideoError: the file is missing, is no video, or not one of its frames can be decoded.
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
        """Track frames as they come; none is kept.

        Args:
            frames: seconds, seconds until the next is due, and RGB uint8 ``(H, W, 3)``, in order.
            face: the N-th largest face (1 is the largest), or the one at a point (x, y) in pixels, looked for at each shot's
                beginning and then followed by its place; by default the largest.
            identity: ``(I,)`` if the person is known; by default fitted in each shot.
            calibration: the person's resting levels and shut lids, e.g. measured on neutral clips; by default each shot's
                own, which cannot tell a lasting expression up to 0.25 from a tracker's bias.
            keep_landmarks: keep all frames' landmarks in the result, 4 kB a frame.
            on_frame: called with each frame's time.
            name: of the video, for messages.

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
                0.0 if detection is None else detection.confidence * _share_inside(detection.points, frame)
            )
            if keep_landmarks:
                landmarks.append(np.full((len(backend.landmark_index), 2), np.nan) if detection is None else detection.points)
            end = time + period
            if on_frame:
                on_frame(time)
        if not shots:
            raise VideoError(f"{name} holds no frames")
        return self._assemble(shots, end, size, calibration, landmarks)

    def _add(self, fitter: ShotFitter, frame: np.ndarray, detection: Detection) -> None:
        observed = self.reader.observe(frame, detection.points, detection.scores) if fitter.observing else None
        fitter.add(detection.points[self._chosen], detection.scores, observed)

    def _new_shot(self, frame: np.ndarray, identity: np.ndarray | None) -> _Shot:
        camera = Camera.default(frame.shape[1], frame.shape[0])
        index = self.backend.landmark_index[self._chosen]
        return _Shot(ShotFitter(self.model, camera, index, self.options, identity, self.reader, READER_OPTIONS))

    def _assemble(
        self,
        shots: list[_Shot],
        end: float,
        size: tuple[int, int],
        calibration: Calibration | None,
        landmarks: list[np.ndarray],
    ) -> TrackedVideo:
        fps = ARKIT.fps
        targets = np.arange(max(1, round(end * fps))) / fps
        starts = [0, *(int(np.ceil(shot.times[0] * fps - 1e-6)) for shot in shots[1:]), len(targets)]
        coefficients = np.full((len(targets), ARKIT.dim), np.nan, np.float32)
        confidence = np.zeros(len(targets), np.float32)
        kept = {name: [] for name in ("shots", "identities", "rest_poses", "rest_blendshapes", "shut_lids")}
        read = 0
        for shot, start, stop in zip(shots, starts, starts[1:], strict=False):
            if stop <= start:
                continue
            fit = shot.fitter.finish()
            read += fit.read
            found, rest = np.array(shot.found), np.zeros(6)
            levels = calibration or Calibration(ARKIT, np.zeros(52), (1.0, 1.0))
            if found.any():
                levels, rest = calibration or fit.calibration(), fit.rest_pose()
                times = np.array(shot.times)
                motion = np.full((len(times), ARKIT.dim), np.nan)
                motion[found] = fit.motion(levels)
                if self.smoothing:
                    motion = smooth_native(motion, ARKIT)
                sampled = sample_motion(times, motion, ARKIT, targets[start:stop], 1 / fps)
                coefficients[start:stop] = smooth_resampled(sampled, ARKIT) if self.smoothing else sampled
                trust = np.array(shot.confidence)
                trust[found] /= 1 + (fit.relative_error / DOUBTFUL_ERROR) ** 2
                confidence[start:stop] = np.interp(targets[start:stop], times[found], trust[found])
            for name, value in zip(kept, ((start, stop), fit.identity, rest, levels.rest, levels.shut), strict=True):
                kept[name].append(value)
        valid = np.isfinite(coefficients).all(1)
        confidence[~valid] = 0
        times = np.concatenate([shot.times for shot in shots])
        return TrackedVideo(
            MotionTrack(coefficients, ARKIT),
            confidence,
            valid,
            np.array(kept["shots"], np.int64),
            **{
                name: np.array(kept[name], np.float32)
                for name in ("identities", "rest_poses", "rest_blendshapes", "shut_lids")
            },
            source_fps=float((len(times) - 1) / (times[-1] - times[0])) if len(times) > 1 else float(1 / max(end, 1e-3)),
            size=tuple(int(side) for side in size),
            backend=self.backend.name,
            prior=self.backend.prior
            + (f", and the {self.reader.name} in {read} of {len(kept['shots'])} shots" if read else ""),
            **(
                {
                    "landmarks": np.array(landmarks, np.float32),
                    "landmark_times": times,
                    "landmark_index": self.backend.landmark_index,
                }
                if landmarks
                else {}
            ),
        )


def _share_inside(points: np.ndarray, frame: np.ndarray) -> float:
    """Share of the landmarks ``(L, 2)`` that lie in the picture."""
    return float(((points >= 0) & (points <= frame.shape[1::-1])).all(1).mean())
