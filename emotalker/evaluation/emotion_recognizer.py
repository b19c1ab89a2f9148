"""Measures of an emotion recogniser: on test speakers, and on corpora it was not trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.data.emotional_speech import PLAIN, EmotionClip
from emotalker.models import AudioEncoder, EmotionRecognizer
from emotalker.models.emotion_recognizer import NEUTRAL
from emotalker.models.probe import confusion_matrix, unweighted_accuracy
from emotalker.settings.emotion_recognizer import EmotionRecognizerTraining
from emotalker.training.emotion_recognizer import DescribedClips, train_described

#: The emotions that nearly all corpora have, in which corpora are compared.
FIVE = tuple(EMOTIONS.index(name) for name in ("neutral", "happy", "sad", "angry", "fear"))
#: Name under which all plain speech is left out together: speech that is not acted is then new to the recogniser.
PLAIN_SPEECH = "plain"


@dataclass(frozen=True)
class Hearing:
    """Result on some clips.

    Attributes:
        five: unweighted accuracy of the emotions in FIVE, others neither occurring nor predicted; None without such clips.
        occurring: unweighted accuracy of all emotions that occur, only these being predicted.
        false_emotion: fraction of the neutral clips taken for emotional, of all emotions; None without neutral clips.
        confusion: ``(8, 8)`` counts by true emotion (rows) and prediction among all.
    """

    five: float | None
    occurring: float
    false_emotion: float | None
    confusion: Tensor


def measure(probabilities: Tensor, emotions: Tensor) -> Hearing:
    """Compare probabilities ``(N, 8)`` with true emotions ``(N,)``, indices into EMOTIONS."""

    def accuracy(classes: Tensor) -> float | None:
        chosen = torch.isin(emotions, classes)
        if not chosen.any():
            return None
        heard = classes[probabilities[chosen][:, classes].argmax(-1)]
        return unweighted_accuracy(confusion_matrix(emotions[chosen], heard, len(EMOTIONS)))

    heard, neutral = probabilities.argmax(-1), emotions == NEUTRAL
    false_emotion = (heard[neutral] != NEUTRAL).float().mean().item() if neutral.any() else None
    confusion = confusion_matrix(emotions, heard, len(EMOTIONS))
    return Hearing(accuracy(torch.tensor(FIVE)), accuracy(emotions.unique()), false_emotion, confusion)


def emotions_of(clips: Sequence[EmotionClip]) -> Tensor:
    """True emotions ``(N,)`` of clips."""
    return torch.tensor([clip.emotion for clip in clips], dtype=torch.long)


@torch.no_grad()
def hear_described(recognizer: EmotionRecognizer, described: DescribedClips) -> Tensor:
    """Probabilities ``(N, 8)`` of the clips' unchanged speech, up to 5 s of each."""
    return recognizer.eval().probabilities(described.descriptions[0].float())


@torch.no_grad()
def accuracy_with_calm(recognizer: EmotionRecognizer, described: DescribedClips) -> float:
    """Unweighted accuracy of all classes that occur, calm and neutral apart, only these being predicted."""
    targets, found = described.targets, recognizer.eval()(described.descriptions[0].float())
    classes = targets.unique()
    heard = classes[found[:, classes].argmax(-1)]
    return unweighted_accuracy(confusion_matrix(targets, heard, found.shape[1]))


@torch.no_grad()
def hear_with_head(encoder: AudioEncoder, clips: Sequence[EmotionClip]) -> Tensor:
    """Probabilities ``(N, 8)`` of the audio encoder's own emotion head on whole clips."""
    rows = []
    for clip in clips:
        wave = torch.from_numpy(clip.samples.astype("float32") / 32768)[None]
        heard, row = encoder.recognize_emotion(encoder.encode_long(wave)), torch.zeros(len(EMOTIONS))
        for name, probability in heard.items():
            row[EMOTIONS.index(emotion_of(name))] += probability
        rows.append(row)
    return torch.stack(rows)


def leave_out(
    corpus: str, config: EmotionRecognizerTraining, encoder: AudioEncoder, described: DescribedClips
) -> dict[str, Hearing]:
    """Train on all corpora but one and measure that one.

    Args:
        corpus: to leave out, or PLAIN_SPEECH for all plain speech.
        config: settings of the training; the run is not kept.
        encoder: that the descriptions are from.
        described: clips of all corpora.

    Returns:
        Result by corpus.
    """
    left = PLAIN if corpus == PLAIN_SPEECH else (corpus,)
    with tempfile.TemporaryDirectory() as folder:
        config = replace(config, run=folder, data=replace(config.data, leave_out=left))
        others = described.where(lambda clip: clip.corpus not in left)
        recognizer, _ = train_described(config, encoder, others)
    results = {}
    for name in left:
        own = described.where(lambda clip, name=name: clip.corpus == name)
        if own.clips:
            results[name] = measure(hear_described(recognizer, own), emotions_of(own.clips))
    return results


def row(title: str, result: Hearing) -> str:
    """One line of a Markdown table: accuracies and the fraction of neutral speech taken for emotional."""
    cells = (result.five, result.occurring, result.false_emotion)
    return f"| {title} | " + " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells) + " |"


#: Head of the table whose lines :func:`row` makes.
TABLE = (
    "| speech | unweighted accuracy, 5 classes | unweighted accuracy, all its classes | neutral taken for emotional |\n"
    "|---|---|---|---|"
)
