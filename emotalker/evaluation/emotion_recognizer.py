"""Measures of an emotion recogniser: on test speakers, and on corpora it was not trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import torch
from torch import Tensor

from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.data.emotional_speech import PLAIN, EmotionClip
from emotalker.models import AudioEncoder, EmotionRecognizer
from emotalker.models.emotion_recognizer import NEUTRAL
from emotalker.models.probe import confusion_matrix, unweighted_accuracy
from emotalker.settings.emotion_recognizer import EmotionRecognizerTraining
from emotalker.training.emotion_recognizer import DescribedClips, train_described
from emotalker.training.emotion_strength import NORMAL, STRONG

#: The emotions that nearly all corpora have, in which corpora are compared.
FIVE = tuple(EMOTIONS.index(name) for name in ("neutral", "happy", "sad", "angry", "fear"))
#: Name under which all plain speech is left out together: speech that is not acted is then new to the recogniser.
PLAIN_SPEECH = "plain"


@dataclass(frozen=True)
class HeardStrength:
    """Strength of the emotion as it is heard in some clips; None where there are no such clips.

    Attributes:
        auc: probability that a strong clip is heard as stronger than a normal one of the same emotion, mean over emotions.
        accuracy: of strong against normal, at 0.5.
        neutral, normal, strong, unknown: mean strength of clips that are neutral, and of emotions of each level.
    """

    auc: float | None
    accuracy: float | None
    neutral: float | None
    normal: float | None
    strong: float | None
    unknown: float | None


@dataclass(frozen=True)
class Hearing:
    """Result on some clips.

    Attributes:
        five: unweighted accuracy of the emotions in FIVE, others neither occurring nor predicted; None without such clips.
        occurring: unweighted accuracy of all emotions that occur, only these being predicted.
        false_emotion: fraction of the neutral clips taken for emotional, of all emotions; None without neutral clips.
        confusion: ``(8, 8)`` counts by true emotion (rows) and prediction among all.
        strength: as it is heard.
    """

    five: float | None
    occurring: float
    false_emotion: float | None
    confusion: Tensor
    strength: HeardStrength | None = None


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


def measure_strength(strength: Tensor, emotions: Tensor, levels: Tensor) -> HeardStrength:
    """Compare strengths ``(N,)`` with levels ``(N,)``, 1 normal, 2 strong, 0 unknown; ``emotions`` are indices."""

    def mean(chosen: Tensor) -> float | None:
        return strength[chosen].mean().item() if chosen.any() else None

    neutral = emotions == NEUTRAL
    normal, strong, unknown = (~neutral & (levels == level) for level in (NORMAL, STRONG, 0))
    areas = []
    for emotion in emotions[strong].unique():
        weak, more = (strength[chosen & (emotions == emotion)] for chosen in (normal, strong))
        if len(weak):
            difference = more[:, None] - weak
            areas.append(((difference > 0).float() + 0.5 * (difference == 0)).mean().item())
    known = normal | strong
    right = ((strength > 0.5) == strong)[known].float()
    return HeardStrength(
        sum(areas) / len(areas) if areas else None,
        right.mean().item() if strong.any() and normal.any() else None,
        *(mean(chosen) for chosen in (neutral, normal, strong, unknown)),
    )


@torch.no_grad()
def hear_strength(recognizer: EmotionRecognizer, described: DescribedClips) -> HeardStrength:
    """:func:`measure_strength` on the clips' unchanged speech, up to 5 s of each."""
    heard = recognizer.eval().strength(described.descriptions[0].float())
    return measure_strength(heard, emotions_of(described.clips), described.levels)


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
            heard = measure(hear_described(recognizer, own), emotions_of(own.clips))
            results[name] = replace(heard, strength=hear_strength(recognizer, own))
    return results


def row(title: str, result: Hearing) -> str:
    """One line of a Markdown table: accuracies and the fraction of neutral speech taken for emotional."""
    return _line(title, (result.five, result.occurring, result.false_emotion))


def strength_row(title: str, heard: HeardStrength) -> str:
    """One line of the table of strengths."""
    return _line(title, astuple(heard))


def _line(title: str, cells: Sequence[float | None]) -> str:
    return f"| {title} | " + " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells) + " |"


#: Head of the table whose lines :func:`row` makes.
TABLE = (
    "| speech | unweighted accuracy, 5 classes | unweighted accuracy, all its classes | neutral taken for emotional |\n"
    "|---|---|---|---|"
)
#: Head of the table whose lines :func:`strength_row` makes.
STRENGTH_TABLE = (
    "| strength of the emotion, 0 to 1 | strong above normal (AUC) | right at 0.5 | neutral | normal | strong | unknown |\n"
    "|---|---|---|---|---|---|---|"
)
