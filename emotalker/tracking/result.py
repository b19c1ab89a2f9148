"""The result of tracking a video, and its file format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.coefficients import ARKIT, MotionTrack, get_space
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.coefficients.space import BLINKS, GAZE_PAIRS
from emotalker.core.arrays import open_arrays
from emotalker.core.files import replace_on_success
from emotalker.face.geometry import Camera


@dataclass
class TrackedVideo:
    """The tracked face of a video of S shots.

    Attributes:
        motion: ``(T, D)`` at 25 fps; frame k is at k / 25 s of the sound (of the picture, if there is no sound). Blendshapes
            are calibrated, and the pose is relative to the shot's resting pose; NaN where no face was found.
        confidence: ``(T,)`` 0..1, 0 where no face was found.
        valid: ``(T,)`` bool.
        shots: ``(S, 2)`` first frame, and last frame + 1.
        identities: ``(S, I)`` identity in each shot.
        rest_poses: ``(S, 6)`` resting pose in camera space: angles in radians and translation in cm.
        rest_blendshapes: ``(S, 52)`` tracked levels at rest.
        shut_lids: ``(S, 2)`` tracked levels of the blinks with closed eyes.
        source_fps: mean frame rate of the video.
        size: width and height of the first frame, pixels.
        backend, prior: names of the landmark backend and of the blendshapes' prior.
        landmarks: ``(N, L, 2)`` pixels in all frames of the video, NaN without a face; None if not requested.
        landmark_times: ``(N,)`` seconds.
        landmark_index: ``(L,)`` their indices among MediaPipe's 478 points.
    """

    motion: MotionTrack
    confidence: np.ndarray
    valid: np.ndarray
    shots: np.ndarray
    identities: np.ndarray
    rest_poses: np.ndarray
    rest_blendshapes: np.ndarray
    shut_lids: np.ndarray
    source_fps: float
    size: tuple[int, int]
    backend: str
    prior: str
    landmarks: np.ndarray | None = None
    landmark_times: np.ndarray | None = None
    landmark_index: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.motion.coefficients)

    @property
    def camera(self) -> Camera:
        """The assumed camera."""
        return Camera.default(*self.size)

    def shot_of(self, frame: int) -> int:
        """Index of the shot that contains a frame."""
        return int(np.searchsorted(self.shots[:, 0], frame, side="right")) - 1

    def placed(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """A frame before calibration: identity ``(I,)``, tracked blendshapes ``(52,)``, and angles ``(3,)`` and translation
        ``(3,)`` in camera space."""
        shot = self.shot_of(frame)
        vector, rest = self.motion.coefficients[frame].astype(np.float64), self.rest_blendshapes[shot]
        blendshapes = vector[ARKIT.expression].copy()
        for name, shut in zip(BLINKS, self.shut_lids[shot], strict=True):
            blendshapes[ARKIT.index(name)] *= max(shut - rest[ARKIT.index(name)], 1e-3)
        for i, j in (ARKIT.indices(pair) for pair in GAZE_PAIRS):
            gaze = blendshapes[i] - blendshapes[j] + rest[i] - rest[j]
            blendshapes[i], blendshapes[j] = max(gaze, 0) - rest[i], max(-gaze, 0) - rest[j]
        pose, origin = vector[ARKIT.pose], self.rest_poses[shot]
        angles = rotation_angles(rotation_matrix(pose[:3]) @ rotation_matrix(origin[:3]))
        return self.identities[shot], np.clip(blendshapes + rest, 0, 1), angles, pose[3:] + origin[3:]

    def summary(self) -> str:
        """One line for the console."""
        return (
            f"{len(self)} frames at {self.motion.space.fps} fps, face in {self.valid.mean():.0%}, "
            f"{len(self.shots)} shot{'s' if len(self.shots) != 1 else ''}, "
            f"mean confidence {self.confidence[self.valid].mean() if self.valid.any() else 0:.2f}; "
            f"landmarks: {self.backend}, prior: {self.prior}"
        )

    def save(self, path: str | os.PathLike) -> Path:
        """Write an ``.npz``, which :meth:`MotionTrack.load` also accepts; OutputError if that fails."""
        optional = ("landmarks", "landmark_times", "landmark_index")
        with replace_on_success(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                coefficients=self.motion.coefficients.astype(np.float32),
                names=np.array(self.motion.space.names),
                fps=self.motion.space.fps,
                space=self.motion.space.name,
                confidence=self.confidence,
                valid=self.valid,
                shots=self.shots,
                identities=self.identities,
                rest_poses=self.rest_poses,
                rest_blendshapes=self.rest_blendshapes,
                shut_lids=self.shut_lids,
                source_fps=self.source_fps,
                size=np.array(self.size),
                backend=self.backend,
                prior=self.prior,
                **{name: getattr(self, name) for name in optional if getattr(self, name) is not None},
            )
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> TrackedVideo:
        """Read a file written by :meth:`save`; DataError if it is not such a file."""
        with open_arrays(path, "{path} is not a tracked video written by EmoTalker: {reason}") as file:
            return cls(
                MotionTrack(file["coefficients"], get_space(str(file["space"]))),
                **{name: file[name] for name in ("confidence", "valid", "shots", "identities", "rest_poses")},
                **{name: file[name] for name in ("rest_blendshapes", "shut_lids")},
                source_fps=float(file["source_fps"]),
                size=tuple(int(side) for side in file["size"]),
                backend=str(file["backend"]),
                prior=str(file["prior"]),
                **{name: file[name] for name in ("landmarks", "landmark_times", "landmark_index") if name in file},
            )
