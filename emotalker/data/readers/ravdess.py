"""RAVDESS (Livingstone and Russo 2018): 24 actors, eight emotions, two sentences.

Official file names ``MM-VV-EE-II-SS-RR-AA``: modality (01 audio and video, 02 video, 03 audio), channel, emotion, intensity,
sentence, repetition, actor.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from emotalker.audio.io import load_audio
from emotalker.coefficients.resample import resample
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.core.arrays import open_arrays
from emotalker.core.emotions import RAVDESS_EMOTIONS, emotion_of
from emotalker.core.errors import DataError
from emotalker.core.splits import TEST_SPEAKERS, VALIDATION_SPEAKERS
from emotalker.core.suffixes import AUDIO_SUFFIXES
from emotalker.data.readers.base import ClipData, ClipSource, CorpusReader
from emotalker.data.readers.tracked import VideoReader
from emotalker.face.calibration import smooth
from emotalker.face.geometry import Camera
from emotalker.face.sparse import Speaker, fit_landmarks, measure_speaker

NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
WIDTH, HEIGHT, FPS = 1280, 720, 29.97
#: Clips whose landmarks miss frames, so that audio and motion are not synchronous.
DAMAGED = frozenset({"01-05-02-02-01-02", "01-03-01-01-01-09", "01-04-02-01-01-15"})
LICENCE = "CC BY-NC-SA 4.0"
#: Landmark error, as a fraction of the distance between the eyes, at which the confidence is 1 / e.
MISFIT = 0.1
NOT_LANDMARKS = "{path} is not an actor's file of landmarks ({reason}); correct root="


def describe(stem: str) -> dict | None:
    """Labels of a file name without suffix, as arguments of :class:`ClipSource`; None if it is not a name of RAVDESS."""
    match = NAME.fullmatch(stem)
    if match is None:
        return None
    word = RAVDESS_EMOTIONS[int(match[3]) - 1]
    return {
        "id": stem[3:], "speaker": match[7], "emotion": emotion_of(word), "original_emotion": word, "level": int(match[4]),
        "fps": FPS, "licence": LICENCE,
    }  # fmt: skip


class RavdessReader(VideoReader):
    """Reads the official videos with audio (``Actor_01/01-01-...mp4``, at any depth)."""

    name = "ravdess"
    source = "RAVDESS (Livingstone and Russo 2018)"
    licence = LICENCE
    one_sitting = True
    validation_speakers = VALIDATION_SPEAKERS["ravdess"]
    test_speakers = TEST_SPEAKERS["ravdess"]

    def clips(self) -> list[ClipSource]:
        paths = sorted(p for p in self.root.glob("**/*.mp4") if p.stem.startswith("01-") and describe(p.stem))
        return self.found([ClipSource(**describe(p.stem), video=p) for p in paths], "Actor_01/01-01-03-01-01-01-01.mp4")


class RavdessLandmarksReader(CorpusReader):
    """Reads audio recordings and the 68 landmarks (iBUG) of their videos.

    ``landmarks/Actor_01.npz`` contains one array ``(T, 68, 2)`` per clip, in integer pixels of a 1280x720 image at 29.97 fps,
    under the video's name ``02-01-...``. The recording is an audio file ``03-01-...`` below ``audio``.

    Args:
        root: folder of both.
        landmarks, audio: folders below it.
        options: of :class:`CorpusReader`.
    """

    name = "ravdess_landmarks"
    source = "RAVDESS (Livingstone and Russo 2018), face from the 68 landmarks published with it"
    licence = LICENCE
    validation_speakers = VALIDATION_SPEAKERS["ravdess"]
    test_speakers = TEST_SPEAKERS["ravdess"]

    def __init__(self, root: str | os.PathLike, landmarks: str = "ravdess_landmarks", audio: str = "ravdess", **options):
        super().__init__(root, **options)
        self.landmarks = self.root / landmarks
        self.recordings = {p.stem: p for p in (self.root / audio).glob("**/*") if p.suffix.lower() in AUDIO_SUFFIXES}
        self._speaker = lru_cache(maxsize=2)(self._measure)
        self._file = lru_cache(maxsize=2)(_load_actor)

    def clips(self) -> list[ClipSource]:
        clips = []
        for path in sorted(self.landmarks.glob("Actor_*.npz")):
            with open_arrays(path, NOT_LANDMARKS) as file:
                names = sorted(file)
            for stem in names:
                recording = self.recordings.get("03" + stem[2:])
                if describe(stem) and recording and stem[3:] not in DAMAGED:
                    clips.append(ClipSource(**describe(stem), audio=recording, coefficients=path))
        return self.found(clips, f"{self.landmarks.name}/Actor_01.npz with recordings 03-01-...")

    def load(self, clip: ClipSource) -> ClipData:
        speaker = self._speaker(clip.coefficients)
        landmarks = self._file(clip.coefficients)[clip.id]
        fit = fit_landmarks(speaker, landmarks)
        rotation = rotation_matrix(fit.angles) @ speaker.rotation.T
        pose = np.concatenate([rotation_angles(rotation), fit.translation - speaker.translation], 1)
        motion = smooth(np.concatenate([speaker.calibration(fit.blendshapes), pose], 1), self.space)
        confidence = np.exp(-fit.relative_error / MISFIT)
        return self.cut(motion, load_audio(clip.audio), np.ones(len(motion), bool), confidence)

    def _measure(self, path: Path) -> Speaker:
        clips = self._file(path)
        neutral = [name[3:5] == "01" for name in clips]
        if not any(neutral):
            raise DataError(f"{path} contains no neutral clip, from which the actor's resting face is measured")
        return measure_speaker(list(clips.values()), neutral, Camera.default(WIDTH, HEIGHT))


def _load_actor(path: Path) -> dict[str, np.ndarray]:
    """Landmarks ``(T, 68, 2)`` at 25 fps by clip id, in pixel coordinates measured from the image's border."""
    with open_arrays(path, NOT_LANDMARKS) as file:
        return {name[3:]: resample(file[name].astype(np.float64) + 0.5, FPS, 25) for name in sorted(file)}
