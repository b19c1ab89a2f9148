"""Measures of an audio encoder: emotion on speakers it was not trained on, words at frame level, speed."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from emotalker.audio.io import load_audio
from emotalker.core.checkpoint import load_checkpoint
from emotalker.core.errors import DataError
from emotalker.core.registry import resolve
from emotalker.core.splits import TEST_SPEAKERS, VALIDATION_SPEAKERS, Split, split_of_name, split_of_speaker
from emotalker.data.recordings import CORPORA, EMOTIONS, hidden_states, label
from emotalker.models.hubert import FRAMES_PER_SECOND, AudioEncoder
from emotalker.models.mel_stem import LogMelStem
from emotalker.models.probe import LinearProbe, confusion_matrix, unweighted_accuracy
from emotalker.models.whisper import whisper_encoder

#: ``(1, N)`` at 16 kHz to ``(T, dim)`` at 50 Hz.
Features = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LabelledClip:
    """A recording, its emotion (index into EMOTIONS) and its actor's number."""

    path: Path
    emotion: int
    actor: int

    def split(self, corpus: str) -> Split:
        """By actor."""
        return split_of_speaker(f"{self.actor:02d}", VALIDATION_SPEAKERS[corpus], TEST_SPEAKERS[corpus])

    def wave(self) -> Tensor:
        """``(1, N)`` at 16 kHz."""
        return torch.from_numpy(load_audio(self.path))[None]


def open_encoder(source: str) -> tuple[Features, AudioEncoder]:
    """An encoder and its features: of a checkpoint, of a Hugging Face folder, or (``whisper:N``) of the teacher's layer N."""
    if source.startswith("whisper:"):
        teacher, layer = whisper_encoder(resolve("whisper_base")), int(source.partition(":")[2])
        return lambda wave: hidden_states(teacher, wave, [layer])[0], teacher
    is_folder = Path(source).is_dir()
    encoder = AudioEncoder.from_pretrained(source) if is_folder else load_checkpoint(source, "audio_encoder")
    return lambda wave: encoder.encode_long(wave)[0], encoder


def mel_features(wave: Tensor) -> Tensor:
    """Log-mel of the 40 ms around each frame, an untrained baseline: ``(1, N)`` to ``(T, 320)``."""
    stem = LogMelStem(2)
    wave = (wave - wave.mean()) / (wave.std() + 1e-5)
    frames = wave.shape[-1] // 320
    mel = stem.log_mel(torch.nn.functional.pad(wave, (200, 520)))[0].T
    return torch.cat([mel[offset : offset + 2 * frames : 2][:frames] for offset in range(4)], dim=1)


def labelled_clips(root: str | os.PathLike, corpus: str) -> list[LabelledClip]:
    """The clips of a labelled corpus below ``root``; DataError if there is none."""
    paths = sorted(Path(root).glob(CORPORA[corpus].files))
    if not paths:
        raise DataError(f"no recordings at {Path(root) / CORPORA[corpus].files}; correct --root")
    return [LabelledClip(path, *label(corpus, path.stem)) for path in paths]


@torch.no_grad()
def emotion_confusion(encoder: AudioEncoder, clips: Sequence[LabelledClip]) -> Tensor:
    """Predictions of the emotion head on whole clips, ``(8, 8)`` counts. Emotions that no clip has are never predicted."""
    occurring = torch.zeros(len(EMOTIONS)).index_fill(0, torch.tensor([clip.emotion for clip in clips]), 1) > 0
    predictions = []
    for clip in clips:
        scores = torch.tensor(list(encoder.recognize_emotion(encoder.encode_long(clip.wave())).values()))
        predictions.append(scores.masked_fill(~occurring, -1).argmax())
    return confusion_matrix(torch.tensor([clip.emotion for clip in clips]), torch.stack(predictions), len(EMOTIONS))


@torch.no_grad()
def pooled_probe(features: Features, training: Sequence[LabelledClip], evaluated: Sequence[LabelledClip]) -> Tensor:
    """Confusion of a logistic regression from the mean feature to the emotion."""
    (points, labels), (test_points, test_labels) = (
        (torch.stack([features(clip.wave()).mean(0) for clip in clips]), torch.tensor([clip.emotion for clip in clips]))
        for clips in (training, evaluated)
    )
    with torch.enable_grad():
        probe = LinearProbe(points, labels, len(EMOTIONS))
    return confusion_matrix(test_labels, probe.predict(test_points), len(EMOTIONS))


@torch.no_grad()
def word_probe(features: Features, grid: Path, training_clips: int, split: Split = "test") -> float:
    """Unweighted accuracy of a linear probe of the word spoken at each frame of the split's GRID clips; silence left out.

    Raises:
        DataError: the alignments are missing.
    """
    try:
        with open(grid / "words.tsv", newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["word"] not in ("sil", "sp")]
    except OSError as error:
        raise DataError(f"no word alignments at {grid / 'words.tsv'} ({error.strerror}); correct --root") from error
    words = {word: index for index, word in enumerate(sorted({row["word"] for row in rows}))}
    aligned: dict[str, list[dict]] = {}
    for row in rows:
        aligned.setdefault(row["clip"], []).append(row)
    training = [name for name in sorted(aligned) if split_of_name(name) == "train"][:training_clips]
    evaluated = [name for name in sorted(aligned) if split_of_name(name) == split]

    def frames(names: Sequence[str]) -> tuple[Tensor, Tensor]:
        points, labels = [], []
        for name in names:
            hidden = features(torch.from_numpy(load_audio(grid / "audio" / f"{name}.opus"))[None])
            for row in aligned[name]:
                first, last = (round(float(row[side]) * FRAMES_PER_SECOND) for side in ("start_s", "end_s"))
                points.append(hidden[first:last])
                labels += [words[row["word"]]] * len(points[-1])
        return torch.cat(points), torch.tensor(labels)

    with torch.enable_grad():
        probe = LinearProbe(*frames(training), len(words))
    points, labels = frames(evaluated)
    return unweighted_accuracy(confusion_matrix(labels, probe.predict(points), len(words)))


@torch.no_grad()
def encoding_seconds(encoder: AudioEncoder, seconds: float, repeats: int = 3) -> float:
    """Smallest wall-clock time of several repeats of encoding ``seconds`` of audio."""
    wave = torch.randn(1, round(seconds * 16000))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        encoder(wave)
        times.append(time.perf_counter() - start)
    return min(times)


def print_confusion(title: str, confusion: Tensor) -> None:
    """Unweighted accuracy, and the counts by true emotion (rows) and prediction (columns)."""
    print(f"{title}: unweighted accuracy {unweighted_accuracy(confusion):.3f}")
    print(" " * 10 + "".join(f"{name[:6]:>7}" for name in EMOTIONS))
    for name, row in zip(EMOTIONS, confusion.tolist(), strict=True):
        if sum(row):
            print(f"{name:>10}" + "".join(f"{count:7d}" for count in row))
