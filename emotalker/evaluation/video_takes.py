"""The videos whose visible emotion is measured: generated from held-out voices, generated on request, and real ones.

A take generates or reads its frames when it is opened, and only every k-th of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from emotalker.core.emotions import RAVDESS_EMOTIONS, emotion_of
from emotalker.core.errors import DataError
from emotalker.core.splits import TEST_SPEAKERS
from emotalker.core.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from emotalker.evaluation.expression_networks import CLASSES
from emotalker.inference.pipeline import AudioSource, TalkingVideo
from emotalker.video.reader import read_frames

RAVDESS_NAME = re.compile(r"0[123]-0[12]-(?P<emotion>0[1-8])-0[12]-0[12]-0[12]-(?P<speaker>\d\d)")
JAVANESE_NAME = re.compile(r"(?P<speaker>\d\d)-\d\d-(?P<emotion>0[1-6])_\d\d")
JAVANESE_EMOTIONS = ("neutral", "sad", "happy", "surprised", "fear", "angry")


class Talk(Protocol):
    """Generates a video; ``emotion`` None is the emotion of the voice."""

    def __call__(self, audio: AudioSource, image: Path, emotion: str | None, intensity: float) -> TalkingVideo: ...


@dataclass(frozen=True)
class Take:
    """One video to look at.

    Attributes:
        section: the group it is counted in.
        subject: the person or portrait.
        name: of the video or the recording.
        emotion: one of :data:`~emotalker.evaluation.expression_networks.CLASSES`, or None if it is not known.
        open: from k to the resting face ``(H, W, 3)`` uint8 RGB, None for a real video, and every k-th frame.
    """

    section: str
    subject: str
    name: str
    emotion: str | None
    open: Callable[[int], tuple[np.ndarray | None, Iterator[np.ndarray]]]


def describe(stem: str) -> tuple[str, str | None]:
    """Speaker and emotion of a file name without suffix: RAVDESS', the Javanese corpus', or words between - and _.

    The emotion is None if there is none in the name or if it is not one of the networks' classes.
    """
    if match := RAVDESS_NAME.fullmatch(stem):
        emotion = emotion_of(RAVDESS_EMOTIONS[int(match["emotion"]) - 1])
    elif match := JAVANESE_NAME.fullmatch(stem):
        emotion = JAVANESE_EMOTIONS[int(match["emotion"]) - 1]
    else:
        emotion = next(filter(None, map(emotion_of, re.split(r"[-_ ]", stem))), None)
    return match["speaker"] if match else re.split(r"[-_ ]", stem)[0], emotion if emotion in CLASSES else None


def find_files(paths: Iterable[Path], suffixes: Iterable[str], option: str, limit: int | None = None) -> list[Path]:
    """Files with one of the suffixes, given directly or in given folders, sorted within each folder.

    Args:
        option: of the command line, for the error.
        limit: keep this many at most, evenly spaced.

    Raises:
        DataError: a path does not exist or nothing is found.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{option}: {path} does not exist; give files or folders")
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [file for file in inside if file.suffix.lower() in suffixes]
    if not found:
        raise DataError(f"{option}: no file with one of the suffixes {', '.join(sorted(suffixes))}; give files or folders")
    if limit is None or len(found) <= limit:
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, limit).round().astype(int)]


def heard_takes(root: Path, talk: Talk, intensities: Sequence[float], speakers: Sequence[str] | None = None) -> list[Take]:
    """RAVDESS' test actors on their own neutral portraits: strong, first sentence and take, seven emotions without calm.

    Args:
        root: contains ``ravdess/03-01-....opus`` (or another audio format) and ``ravdess_portraits/Actor_NN.png``.
        intensities: one section each.
        speakers: other actors than those of the test split.

    Raises:
        DataError: a recording or a portrait is missing.
    """
    takes = []
    for intensity in intensities:
        for speaker in speakers or TEST_SPEAKERS["ravdess"]:
            portrait = _existing(root / "ravdess_portraits" / f"Actor_{speaker}.png")
            for number, word in enumerate(RAVDESS_EMOTIONS, start=1):
                if word != "calm":
                    stem = f"03-01-{number:02d}-{'01' if word == 'neutral' else '02'}-01-01-{speaker}"
                    audio = _existing(*(root / "ravdess" / f"{stem}{suffix}" for suffix in AUDIO_SUFFIXES))
                    section = _with_intensity("RAVDESS, heard", intensity)
                    generated = _generated(talk, audio, portrait, None, intensity)
                    takes.append(Take(section, speaker, stem, emotion_of(word), generated))
    return takes


def asked_takes(voice: AudioSource, portraits: Sequence[Path], talk: Talk, intensities: Sequence[float]) -> list[Take]:
    """One neutral voice on several portraits, every class but neutral requested; one section for each intensity."""
    return [
        Take(_with_intensity("asked for", intensity), portrait.stem, f"{portrait.stem} {emotion}", emotion,
             _generated(talk, voice, portrait, emotion, intensity))
        for intensity in intensities for portrait in portraits for emotion in CLASSES if emotion != "neutral"
    ]  # fmt: skip


def voice_takes(
    recordings: Sequence[Path], portraits: Sequence[Path], talk: Talk, intensities: Sequence[float]
) -> list[Take]:
    """Every recording on every portrait; the emotion is taken from the recording's name."""
    return [
        Take(_with_intensity("heard", intensity), portrait.stem, recording.stem, describe(recording.stem)[1],
             _generated(talk, recording, portrait, None, intensity))
        for intensity in intensities for portrait in portraits for recording in recordings
    ]  # fmt: skip


def real_takes(folder: Path) -> list[Take]:
    """Real videos with an emotion in their names; of the Javanese corpus the test actors.

    Raises:
        DataError: there is none.
    """
    takes = []
    for path in find_files([folder], VIDEO_SUFFIXES, "--real"):
        speaker, emotion = describe(path.stem)
        held_out = not JAVANESE_NAME.fullmatch(path.stem) or speaker in TEST_SPEAKERS["javanese"]
        if emotion and held_out:
            takes.append(Take(f"real, {folder.name}", speaker, path.stem, emotion, _real(path)))
    if not takes:
        raise DataError(f"--real: no video in {folder} has an emotion in its name, as in W009_front_angry_level3_001.mp4")
    return takes


def _generated(
    talk: Talk, audio: AudioSource, image: Path, emotion: str | None, intensity: float
) -> Callable[[int], tuple[np.ndarray, Iterator[np.ndarray]]]:
    def open_(every: int) -> tuple[np.ndarray, Iterator[np.ndarray]]:
        video = talk(audio, image, emotion, intensity)
        renderer = video.make_renderer(video.portrait)
        return video.portrait.image, iter(renderer.render(video.motion.coefficients[::every]))

    return open_


def _real(path: Path) -> Callable[[int], tuple[None, Iterator[np.ndarray]]]:
    return lambda every: (None, islice(read_frames(path), 0, None, every))


def _with_intensity(name: str, intensity: float) -> str:
    return f"{name}, intensity {intensity:g}"


def _existing(*paths: Path) -> Path:
    for path in paths:
        if path.is_file():
            return path
    raise DataError(f"{paths[0]} is missing; correct the folder given with --ravdess")
