"""Emotion in motion, predicted by a classifier that is fitted to real motion of the training speakers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional as F

from emotalker.core.emotions import RAVDESS_EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data.shards import Clip
from emotalker.evaluation.motion import NEUTRAL, pair_key
from emotalker.evaluation.tables import markdown_table
from emotalker.models.probe import LinearProbe, confusion_matrix, unweighted_accuracy

PERCENTILES = (10, 50, 90)
WEIGHT_DECAY = 1e-2
STILL = 1e-2  # standard deviation over all frames below which an entry counts as constant
OUTLIER = 4.0
#: Emotions that are not compared with neutral. They are the first of RAVDESS_EMOTIONS.
RESTFUL = (NEUTRAL, "calm")


def pool(motion: np.ndarray, neutral: np.ndarray) -> Tensor:
    """Mean, standard deviation, percentiles and mean speed of every entry, ``(T, D)`` to ``(6 D,)``.

    Args:
        neutral: ``(D,)`` the actor's mean in neutral speech, which is subtracted.
    """
    away = motion - neutral
    speed = np.abs(np.diff(away, axis=0)).mean(0)
    parts = [away.mean(0), away.std(0), *np.percentile(away, PERCENTILES, axis=0), speed]
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))


def neutral_means(clips: Sequence[Clip], motions: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Per speaker the mean ``(D,)`` of their neutral clips; DataError if one has none."""
    frames: dict[str, list[np.ndarray]] = defaultdict(list)
    for clip, motion in zip(clips, motions, strict=True):
        frames[clip.speaker] += [motion] if clip.original_emotion == NEUTRAL else []
    missing = sorted(speaker for speaker, found in frames.items() if not found)
    if missing:
        raise DataError(f"no neutral clip of speaker {', '.join(missing)}; take more clips")
    return {speaker: np.concatenate(found).mean(0) for speaker, found in frames.items()}


@dataclass(frozen=True)
class Reading:
    """The classifier's output for N clips.

    Attributes:
        clips: their true labels.
        scores: ``(N, 8)`` log-probabilities in the order of :data:`~emotalker.core.emotions.RAVDESS_EMOTIONS`.
        distance: ``(N,)`` of the clip's mean expression from neutral: root mean square over entries, each in standard
            deviations of the training clips' means.
    """

    clips: Sequence[Clip]
    scores: Tensor
    distance: Tensor

    @property
    def labels(self) -> Tensor:
        """``(N,)`` true classes."""
        return torch.tensor([RAVDESS_EMOTIONS.index(clip.original_emotion) for clip in self.clips])

    def confusion(self, merged: bool = False) -> Tensor:
        """``(8, 8)`` counts by true emotion (rows); ``merged`` counts calm as neutral, ``(7, 7)``."""
        labels, predicted, classes = self.labels, self.scores.argmax(1), len(RAVDESS_EMOTIONS)
        if merged:  # calm is class 1, right after neutral
            joined = torch.cat([torch.logsumexp(self.scores[:, :2], 1, keepdim=True), self.scores[:, 2:]], 1)
            labels, predicted, classes = (labels - 1).clamp_min(0), joined.argmax(1), classes - 1
        return confusion_matrix(labels, predicted, classes)

    def accuracy(self, merged: bool = False) -> tuple[float, float]:
        """Fraction of clips classified correctly, and the mean of that fraction over emotions (unweighted accuracy)."""
        counts = self.confusion(merged)
        return (counts.diagonal().sum() / counts.sum()).item(), unweighted_accuracy(counts)

    def log_odds(self) -> Tensor:
        """``(N,)`` log-odds of the true emotion against neutral and calm."""
        right = self.scores.gather(1, self.labels[:, None])[:, 0]
        return right - torch.logsumexp(self.scores[:, : len(RESTFUL)], 1)


class EmotionClassifier:
    """Multinomial logistic regression on pooled motion of real clips.

    It uses the entries that move in those clips and clips inputs at OUTLIER standard deviations, because a generator
    that is also trained on the output of other trackers moves additional entries.

    Args:
        clips, motions: of training actors, including neutral clips of each.
    """

    def __init__(self, clips: Sequence[Clip], motions: Sequence[np.ndarray]):
        neutral = neutral_means(clips, motions)
        self.entries = np.flatnonzero(np.concatenate(motions).std(0) > STILL)
        points = self._pool(clips, motions, neutral)
        self.mean, self.std = points.mean(0), points.std(0).clamp_min(1e-5)
        labels = torch.tensor([RAVDESS_EMOTIONS.index(clip.original_emotion) for clip in clips])
        self.probe = LinearProbe(self._standardize(points), labels, len(RAVDESS_EMOTIONS), WEIGHT_DECAY)
        self.expressions = int((self.entries < clips[0].corpus.space.expression.stop).sum())

    def _pool(self, clips: Sequence[Clip], motions: Sequence[np.ndarray], neutral: dict[str, np.ndarray]) -> Tensor:
        pairs = zip(clips, motions, strict=True)
        return torch.stack([pool(m[:, self.entries], neutral[clip.speaker][self.entries]) for clip, m in pairs])

    def _standardize(self, points: Tensor) -> Tensor:
        return ((points - self.mean) / self.std).clamp(-OUTLIER, OUTLIER)

    @torch.no_grad()
    def read(self, clips: Sequence[Clip], motions: Sequence[np.ndarray], neutral: dict[str, np.ndarray]) -> Reading:
        """Classify motions ``(T, D)``, real or generated, of the clips, given the neutral means of their speakers."""
        points, probe = self._pool(clips, motions, neutral), self.probe
        standard = (self._standardize(points) - probe.mean) / probe.std
        away = (points / self.std)[:, : self.expressions].clamp(-OUTLIER, OUTLIER)  # means come first
        return Reading(clips, F.log_softmax(F.linear(standard, probe.weight, probe.bias), -1), away.square().mean(1).sqrt())


def accuracy_table(readings: dict[str, Reading]) -> str:
    """Accuracies of 8 classes and of 7, calm counted as neutral."""
    header = ["", "clips", "accuracy (8)", "unweighted (8)", "accuracy (7)", "unweighted (7)"]
    rows = [[name, str(len(r.clips)), *r.accuracy(), *r.accuracy(merged=True)] for name, r in readings.items()]
    return markdown_table(header, [["chance", "", 1 / 8, 1 / 8, 1 / 7, 1 / 7], *rows])


def confusion_table(real: Reading, generated: Reading) -> str:
    """Both confusion matrices side by side: true emotion in rows, prediction in columns."""
    short = [word[:3] for word in RAVDESS_EMOTIONS]
    header = ["true", *(f"real {s}" for s in short), *(f"gen {s}" for s in short)]
    left, right = real.confusion().tolist(), generated.confusion().tolist()
    rows = [[word, *map(str, left[i]), *map(str, right[i])] for i, word in enumerate(RAVDESS_EMOTIONS)]
    return markdown_table(header, rows)


def level_table(readings: dict[str, Reading]) -> str:
    """Level 2 against level 1 of the same actor, sentence and emotion: means of both, fraction in which 2 is
    larger, p of a sign test."""
    header = ["", "measure", "pairs", "level 1", "level 2", "level 2 more", "p"]
    rows = []
    for name, reading in readings.items():
        for measure, values in (
            ("distance from neutral", reading.distance),
            ("log-odds against neutral", reading.log_odds()),
        ):
            weak, strong = paired_levels(reading.clips, values.numpy())
            more = int((strong > weak).sum())
            p = float(binomtest(more, len(weak), alternative="greater").pvalue) if len(weak) else float("nan")
            fraction = f"{more / len(weak):.0%}" if len(weak) else "-"
            means = [float(v.mean()) if len(v) else float("nan") for v in (weak, strong)]
            rows.append([name, measure, str(len(weak)), *means, fraction, f"{p:.1g}"])
    return markdown_table(header, rows)


def paired_levels(clips: Sequence[Clip], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of level 1 and of level 2 of clips that differ in level only, two arrays ``(P,)``."""
    pairs: dict[tuple, dict[int, float]] = defaultdict(dict)
    for clip, value in zip(clips, values, strict=True):
        if clip.original_emotion not in RESTFUL:
            pairs[pair_key(clip)][clip.level] = value
    whole = [pair for pair in pairs.values() if {1, 2} <= pair.keys()]
    return np.array([pair[1] for pair in whole]), np.array([pair[2] for pair in whole])
