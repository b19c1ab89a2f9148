"""Speech without motion, for pre-training the audio encoder: folders of recordings, and RAVDESS' emotions in their names."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track
from torch.utils.data import Dataset

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.data import UNLABELLED, is_held_out
from emotalker.errors import DataError
from emotalker.training.augment import SpeechAugmentation
from emotalker.training.sampling import Key

AUDIO_SUFFIXES = {".wav", ".flac", ".opus", ".ogg", ".mp3", ".m4a"}
#: RAVDESS' emotions in the order of its file names' third field.
RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
RAVDESS_NAME = re.compile(r"03-0[12]-(\d\d)-\d\d-\d\d-\d\d-(\d\d)")


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        samples: ``(N,)`` int16 at 16 kHz.
        emotion: index into :data:`RAVDESS_EMOTIONS`, or -1.
        held_out: kept for validation: RAVDESS by actor, so that voices are new; everything else by name.
    """

    samples: np.ndarray
    emotion: int
    held_out: bool


def load_recordings(root: str | os.PathLike, folders: Sequence[str], held_out_actors: Sequence[int]) -> list[Recording]:
    """Decode every recording of some folders below ``root`` into memory (two hours are 230 MB).

    Raises:
        DataError: a folder is missing or holds no recording.
        AudioError: a recording cannot be decoded.
    """
    paths = []
    for folder in folders:
        found = sorted(p for p in (Path(root) / folder).glob("**/*") if p.suffix.lower() in AUDIO_SUFFIXES)
        if not found:
            raise DataError(f"no recordings in {Path(root) / folder}; correct data.root or data.audio")
        paths += found
    recordings = []
    for path in track(paths, "recordings"):
        samples = np.round(np.clip(load_audio(path, SAMPLE_RATE), -1, 1) * 32767).astype(np.int16)
        named = RAVDESS_NAME.fullmatch(path.stem)
        emotion = int(named[1]) - 1 if named else UNLABELLED
        held_out = int(named[2]) in held_out_actors if named else is_held_out(path.stem)
        recordings.append(Recording(samples, emotion, held_out))
    return recordings


class SpeechCrops(Dataset):
    """Crops of recordings, ``wave (N,)`` and ``emotion ()``; a long recording counts as often as it holds crops.

    Args:
        recordings: to cut from; a shorter one is filled up with silence.
        seconds: length of a crop.
        augmentation: None cuts the middle and leaves it as it is.
    """

    def __init__(self, recordings: Sequence[Recording], seconds: float, augmentation: SpeechAugmentation | None):
        self.samples = round(seconds * SAMPLE_RATE)
        self.augmentation = augmentation
        self.items = [r for r in recordings for _ in range(max(1, round(len(r.samples) / self.samples)))]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> dict:
        rng, recording = key.rng(), self.items[key.index]
        slack = max(0, len(recording.samples) - self.samples)
        start = int(rng.integers(0, slack + 1)) if self.augmentation else slack // 2
        wave = recording.samples[start : start + self.samples].astype(np.float32) / 32768
        wave = np.pad(wave, (0, self.samples - len(wave)))
        if self.augmentation:
            wave = self.augmentation(wave, rng)
        return {"wave": wave, "emotion": recording.emotion}
