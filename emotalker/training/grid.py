"""GRID (Cooke et al. 2006) as a prepared corpus: recordings and landmark tracks in, calibrated motion out."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT, ARKIT_ACTIONS
from emotalker.errors import DataError
from emotalker.face.fit import fit_identity, fit_sequence
from emotalker.face.geometry import Camera, rotation_matrix
from emotalker.face.model import FaceModel
from emotalker.training.calibration import Calibration, relative_pose, smooth
from emotalker.training.corpus import SAMPLE_RATE, Corpus, CorpusWriter

WIDTH, HEIGHT = 360, 288  # pixels of GRID's video
SOURCE = "GRID audiovisual sentence corpus, speaker 1 (Cooke et al. 2006), face tracked with MediaPipe's face landmarker"
LICENCE = "CC BY 4.0"


@dataclass
class Tracks:
    """Face tracks of all clips.

    Attributes:
        names: of the clips.
        frames: ``(C,)`` how many frames of each clip exist.
        scores: ``(C, T, 52)`` action scores in ARKIT_ACTIONS order; NaN where no face was found.
        landmarks: ``(C, T, L, 2)`` pixels.
        landmark_index: ``(L,)`` which of MediaPipe's 478 points they are.
    """

    names: list[str]
    frames: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    landmark_index: np.ndarray

    @classmethod
    def load(cls, path: str | os.PathLike) -> Tracks:
        """Read ``motion.npz``; DataError if it is missing or lacks something."""
        try:
            with np.load(path, allow_pickle=False) as file:
                stored = file["blendshapes"].astype(np.float32)
                order = {str(name): i for i, name in enumerate(file["blendshape_names"])}
                scores = np.zeros((*stored.shape[:2], len(ARKIT_ACTIONS)), np.float32)
                for i, name in enumerate(ARKIT_ACTIONS):
                    if name in order:  # the landmarker knows every action but tongueOut
                        scores[..., i] = stored[..., order[name]]
                scores[np.isnan(stored).any(-1)] = np.nan
                landmarks = file["landmarks"][..., :2].astype(np.float32) * np.array([WIDTH, HEIGHT], np.float32)
                names = [str(name) for name in file["clip"]]
                return cls(names, file["frames"], scores, landmarks, file["landmark_index"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} holds no GRID face tracks ({error}); give the folder with motion.npz as root="
            ) from error


def usable_span(found: np.ndarray, max_gap: int) -> tuple[int, int]:
    """The longest stretch whose gaps are at most ``max_gap`` frames long and which begins and ends with a found face.

    Args:
        found: ``(T,)`` bool.

    Returns:
        start and stop, ``(0, 0)`` if no face was found at all.
    """
    frames = np.flatnonzero(found)
    if len(frames) == 0:
        return 0, 0
    stretches = np.split(frames, np.flatnonzero(np.diff(frames) > max_gap + 1) + 1)
    best = max(stretches, key=lambda stretch: stretch[-1] - stretch[0])
    return int(best[0]), int(best[-1]) + 1


def fill_gaps(values: np.ndarray) -> np.ndarray:
    """Interpolate NaN frames of ``(T, ...)`` linearly; the first and the last frame are known."""
    flat = values.reshape(len(values), -1).copy()
    known = ~np.isnan(flat).any(1)
    time = np.arange(len(flat))
    for column in flat.T:
        column[~known] = np.interp(time[~known], time[known], column[known])
    return flat.reshape(values.shape)


def fit_clips(
    landmarks: Sequence[np.ndarray], scores: Sequence[np.ndarray], landmark_index: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Fit one speaker's clips with one identity.

    Args:
        landmarks: per clip ``(T, L, 2)`` pixels.
        scores: per clip ``(T, 52)``, towards which the actions are drawn.
        landmark_index: ``(L,)`` which of the 478 points.

    Returns:
        per clip actions ``(T, 52)``, angles ``(T, 3)`` in radians, translation ``(T, 3)`` in cm.
    """
    model, camera = FaceModel.load(), Camera.default(WIDTH, HEIGHT)
    identity = fit_identity(model, np.concatenate(landmarks), camera, np.concatenate(scores), landmark_index)
    fits = [
        fit_sequence(model, points, camera, prior, landmark_index, identity)
        for points, prior in zip(track(landmarks, "fit"), scores, strict=True)
    ]
    return [f.actions for f in fits], [f.angles for f in fits], [f.translation for f in fits]


def prepare(config: dict) -> Corpus:
    """Prepare the corpus (``configs/prepare_grid.yaml``): cut, fit, calibrate, write.

    Raises:
        DataError: tracks or audio are missing.
    """
    root = Path(config["root"])
    tracks = Tracks.load(root / "motion.npz")
    spans = {}
    for clip, name in enumerate(tracks.names):
        found = ~np.isnan(tracks.scores[clip, : tracks.frames[clip]]).any(-1)
        start, stop = usable_span(found, config["max_gap"])
        if stop - start >= config["min_frames"]:
            spans[name] = (clip, start, stop)
    if not spans:
        raise DataError(f"{root}: the face was found in no clip")
    scores = [fill_gaps(tracks.scores[clip, start:stop]) for clip, start, stop in spans.values()]
    landmarks = [fill_gaps(tracks.landmarks[clip, start:stop]) for clip, start, stop in spans.values()]
    actions, angles, translation = fit_clips(landmarks, scores, tracks.landmark_index)

    calibration = Calibration.measure(np.concatenate(actions), ARKIT)
    filled = int(sum(np.isnan(tracks.scores[c, a:b]).any(-1).sum() for c, a, b in spans.values()))
    cut = int(sum(tracks.frames[c] - (b - a) for c, a, b in spans.values()))
    counts = {"dropped_clips": len(tracks.names) - len(spans), "cut_frames": cut, "interpolated_frames": filled}
    writer = CorpusWriter(config["out"], ARKIT, SOURCE, LICENCE, counts | {"calibration": calibration.to_dict()})
    for i, (name, (_, start, stop)) in enumerate(track(spans.items(), "audio", len(spans))):
        pose = relative_pose(rotation_matrix(angles[i]), translation[i])
        motion = smooth(np.concatenate([calibration(actions[i]), pose], axis=1), ARKIT)
        audio = load_audio(root / "audio" / f"{name}.opus", SAMPLE_RATE)[start * 640 : stop * 640]
        writer.add(name, motion, audio, emotion="neutral", first_frame=start)
    corpus = writer.close()
    print(
        f"{len(corpus.clips)} clips in {corpus.root}; " + ", ".join(f"{n.replace('_', ' ')}: {c}" for n, c in counts.items())
    )
    return corpus
