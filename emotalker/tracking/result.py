"""What tracking a video gives, and the file that keeps it."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.coefficients import ARKIT, MotionTrack, get_space
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.coefficients.space import BLINKS, GAZE_PAIRS
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.face.geometry import Camera


@dataclass
class TrackedVideo:
    """A face followed through a video of S shots.

    Attributes:
        motion: ``(T, D)`` at 25 fps; frame k is at k / 25 s of the sound (of the picture, if there is no sound). Blendshapes are
            calibrated, the pose is relative to the shot's rest; NaN where no face was found.
        confidence: ``(T,)`` 0..1, 0 where no face was found.
        valid: ``(T,)`` bool.
        shots: ``(S, 2)`` first frame and the one after the last.
        identities: ``(S, I)`` shape of the head in each shot.
        rest_poses: ``(S, 6)`` angles in radians and place in cm, in camera space, from which pose is counted.
        rest_blendshapes: ``(S, 52)`` tracked levels taken as rest; ``shut_lids (S, 2)`` those taken as shut lids.
        source_fps: mean frame rate of the video.
        size: width and height of the first frame, pixels.
        backend, prior: where the landmarks come from, and what the blendshapes were drawn towards.
        landmarks: ``(N, L, 2)`` pixels of all native frames (NaN without a face) at ``landmark_times (N,)`` seconds, if they
            were asked for; which of MediaPipe's 478 they are says ``landmark_index (L,)``.
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
        """The view that was assumed."""
        return Camera.default(*self.size)

    def shot_of(self, frame: int) -> int:
        """Which shot a frame belongs to."""
        return int(np.searchsorted(self.shots[:, 0], frame, side="right")) - 1

    def placed(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """A frame as it lies in the picture: identity ``(I,)``, blendshapes ``(52,)`` as tracked, angles and translation ``(3,)``
        in camera space."""
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
        """Write an ``.npz`` that :meth:`MotionTrack.load` reads, too; OutputError if that cannot be done."""
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
        """Read what :meth:`save` wrote; DataError if the file is no such result."""
        try:
            with np.load(path, allow_pickle=False) as file:
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
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a tracked video written by EmoTalker: {error}") from error
