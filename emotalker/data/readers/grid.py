"""GRID (Cooke et al. 2006) with its faces already detected: landmarks and blendshape scores of all clips in one file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.arrays import open_arrays
from emotalker.core.errors import DataError
from emotalker.core.suffixes import AUDIO_SUFFIXES
from emotalker.data.readers.base import ClipData, ClipSource, CorpusReader, fill_gaps, usable_span
from emotalker.face.calibration import Calibration, relative_pose, smooth
from emotalker.face.fit import fit_identity, fit_sequence
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel

WIDTH, HEIGHT = 360, 288  # pixels of GRID's video
CALIBRATION_CLIPS = 100  # evenly spaced among the speaker's clips


@dataclass
class Tracks:
    """Landmarks and blendshape scores of C clips, padded to T frames.

    Attributes:
        names: of the clips.
        frames: ``(C,)`` number of frames of each clip.
        scores: ``(C, T, 52)`` in the order of ARKIT_BLENDSHAPES; NaN where no face was found.
        landmarks: ``(C, T, L, 2)`` pixels.
        landmark_index: ``(L,)`` their indices among MediaPipe's 478 landmarks.
    """

    names: list[str]
    frames: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    landmark_index: np.ndarray

    @classmethod
    def load(cls, path: str | os.PathLike) -> Tracks:
        """Read ``motion.npz``; DataError if it is missing, damaged or incomplete."""
        with open_arrays(
            path, "{path} contains no GRID face tracks ({reason}); give the folder with motion.npz as root="
        ) as file:
            stored = file["blendshapes"].astype(np.float32)
            order = {str(name): i for i, name in enumerate(file["blendshape_names"])}
            scores = np.zeros((*stored.shape[:2], len(ARKIT_BLENDSHAPES)), np.float32)
            for i, name in enumerate(ARKIT_BLENDSHAPES):
                if name in order:  # the landmarker has no score for tongueOut
                    scores[..., i] = stored[..., order[name]]
            scores[np.isnan(stored).any(-1)] = np.nan
            landmarks = file["landmarks"][..., :2].astype(np.float32) * np.array([WIDTH, HEIGHT], np.float32)
            names = [str(name) for name in file["clip"]]
            return cls(names, file["frames"], scores, landmarks, file["landmark_index"])


class GridReader(CorpusReader):
    """Reads one speaker's audio (``audio/<clip>.*``) and face tracks (``motion.npz``).

    Args:
        root: folder of both.
        speaker: the speaker's name.
        options: of :class:`CorpusReader`.
    """

    name = "grid"
    source = "GRID audiovisual sentence corpus (Cooke et al. 2006), face tracked with MediaPipe's face landmarker"
    licence = "CC BY 4.0"

    def __init__(self, root: str | os.PathLike, speaker: str = "s1", **options):
        super().__init__(root, **options)
        self.speaker = speaker

    @cached_property
    def tracks(self) -> Tracks:
        """The face tracks, read once per process."""
        return Tracks.load(self.root / "motion.npz")

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.tracks.names)}

    def clips(self) -> list[ClipSource]:
        audio = {p.stem: p for p in sorted((self.root / "audio").glob("*")) if p.suffix.lower() in AUDIO_SUFFIXES}
        labels = {"speaker": self.speaker, "emotion": "neutral", "original_emotion": "neutral", "fps": 25.0}
        tracks = self.root / "motion.npz"
        clips = [
            ClipSource(id=name, **labels, audio=audio.get(name), coefficients=tracks, licence=self.licence)
            for name in self.tracks.names
        ]
        return self.found(clips, "motion.npz and audio/bbaf2n.wav")

    def load(self, clip: ClipSource) -> ClipData:
        if clip.audio is None:
            raise DataError(f"there is no audio file audio/{clip.id}.*")
        landmarks, scores = self._frames(clip.id)
        identity, calibration = self._speaker
        valid = ~np.isnan(scores).any(-1)
        start, stop = usable_span(valid, self.max_gap)
        motion = np.full((len(scores), self.space.dim), np.nan)
        if stop - start >= self.min_frames:
            part = slice(start, stop)
            points, prior = fill_gaps(landmarks[part]), fill_gaps(scores[part])
            fit = fit_sequence(FaceModel.load(), points, self._camera, prior, self.tracks.landmark_index, identity)
            pose = relative_pose(rotation_matrix(fit.angles), fit.translation)
            motion[part] = smooth(np.concatenate([calibration(fit.blendshapes), pose], axis=1), ARKIT)
        return self.cut(motion, load_audio(clip.audio), valid)

    @property
    def _camera(self) -> Camera:
        return Camera.default(WIDTH, HEIGHT)

    def _frames(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        clip = self._position[name]
        return tuple(array[clip, : self.tracks.frames[clip]] for array in (self.tracks.landmarks, self.tracks.scores))

    @cached_property
    def _speaker(self) -> tuple[np.ndarray, Calibration]:
        """The speaker's identity and calibration, from evenly spaced clips; DataError if there is no face in them."""
        chosen = np.unique(np.linspace(0, len(self.tracks.names) - 1, CALIBRATION_CLIPS).round().astype(int))
        parts = [self._frames(self.tracks.names[i]) for i in chosen]
        landmarks, scores = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        found = np.isfinite(scores).all(1)
        if not found.any():
            raise DataError(f"{self.root}: the face was found in no clip")
        model, index = FaceModel.load(), self.tracks.landmark_index
        identity = fit_identity(model, landmarks[found], self._camera, scores[found], index)
        fit = fit_sequence(model, landmarks[found], self._camera, scores[found], index, identity)
        return identity, Calibration.measure(fit.blendshapes, ARKIT)
