"""Training the emotion recogniser on cached descriptions. Its settings: :mod:`emotalker.settings.emotion_recognizer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from emotalker.core.checkpoint import load_checkpoint, save_checkpoint
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data.emotional_speech import EmotionClip, licences, load_emotion_clips
from emotalker.models.emotion_recognizer import CALM, CLASSES, NEUTRAL, EmotionRecognizer, EmotionRecognizerConfig
from emotalker.models.hubert import AudioEncoder
from emotalker.settings.emotion_recognizer import EmotionRecognizerData, EmotionRecognizerLoss, EmotionRecognizerTraining
from emotalker.training.emotion_examples import RoomAndSpeech, cached_descriptions
from emotalker.training.emotion_strength import fit_strength, strength_targets
from emotalker.training.sampling import Key, seed_step
from emotalker.training.solver import Objective, Solver


@dataclass(frozen=True)
class DescribedClips:
    """Clips with their descriptions.

    Attributes:
        clips: the recordings.
        descriptions: ``(1 + copies, clips, inputs)`` float16; the first copy is not augmented.
    """

    clips: list[EmotionClip]
    descriptions: Tensor

    def where(self, keep: Callable[[EmotionClip], bool]) -> DescribedClips:
        """The clips for which a condition holds."""
        kept = [index for index, clip in enumerate(self.clips) if keep(clip)]
        return DescribedClips([self.clips[index] for index in kept], self.descriptions[:, kept])

    @property
    def targets(self) -> Tensor:
        """``(clips,)`` indices into CLASSES."""
        return torch.tensor([CALM if clip.label == "calm" else clip.emotion for clip in self.clips], dtype=torch.long)

    @property
    def levels(self) -> Tensor:
        """``(clips,)`` strength of the emotion: 1 normal, 2 strong, 0 unknown."""
        return torch.tensor([clip.level for clip in self.clips], dtype=torch.long)


def describe_corpora(data: EmotionRecognizerData, encoder: AudioEncoder, corpora: Sequence[str]) -> DescribedClips:
    """The clips of some corpora with their descriptions, computed or from the cache.

    Raises:
        DataError: a corpus is unknown, missing or empty, or its cache is damaged or of other settings.
        AudioError: a recording cannot be decoded.
    """
    clips, descriptions, encoder = [], [], encoder.eval().requires_grad_(False)
    for corpus in corpora:
        found = load_emotion_clips(data.root, [corpus], data.recordings)
        augmentation = RoomAndSpeech(**asdict(data.augmentation))
        described = cached_descriptions(corpus, found, encoder, data.copies, augmentation, data.seconds, data.cache)
        clips += found
        descriptions.append(described)
    if not clips:
        raise DataError("no corpus to train on; give data.corpora, and leave fewer of them out")
    return DescribedClips(clips, torch.cat(descriptions, dim=1))


class Descriptions(Dataset):
    """Examples ``{"description": (inputs,), "target": (), "weight": ()}`` of described clips.

    Args:
        described: the clips.
        balance: an emotion's weight is the same for all emotions; a corpus' weight within it is its number of clips to this
            power.
        neutral: weight of neutral relative to each other emotion.
        augmented: draw one of the copies at random; otherwise the unchanged one.
    """

    def __init__(self, described: DescribedClips, balance: float, neutral: float, augmented: bool):
        self.described, self.augmented = described, augmented
        self.targets = described.targets
        self.weights = balanced_weights([clip.corpus for clip in described.clips], self.targets, balance, neutral)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        copy = int(key.rng().integers(len(self.described.descriptions))) if self.augmented else 0
        description = self.described.descriptions[copy, key.index].float()
        return {"description": description, "target": self.targets[key.index], "weight": self.weights[key.index]}


def balanced_weights(corpora: Sequence[str], targets: Tensor, balance: float, neutral: float) -> Tensor:
    """Weights ``(N,)`` with mean 1 for :class:`Descriptions`, from the corpus and the class of each clip."""
    names, weights = np.array(corpora), torch.zeros(len(targets), dtype=torch.float64)
    for target in targets.unique():
        for corpus in sorted(set(corpora)):
            cell = (targets == target) & torch.from_numpy(names == corpus)
            weights[cell] = float(cell.sum()) ** (balance - 1) if cell.any() else 0.0
        weights[targets == target] /= weights[targets == target].sum()
    weights[targets == NEUTRAL] *= neutral
    return (weights / weights.mean()).float()


class EmotionObjective(Objective):
    """Weighted cross-entropy of each classifier, with label smoothing over the classes that occur, and mixup (Zhang et al.
    2018) of descriptions.

    Args:
        model: the network.
        loss: smoothing and mixup.
        occurring: ``(9,)`` bool, classes with training clips.
    """

    def __init__(self, model: EmotionRecognizer, loss: EmotionRecognizerLoss, occurring: Tensor):
        super().__init__()
        self.model, self.loss = model, loss
        self.register_buffer("smooth", occurring.float() / occurring.sum())

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        description, weight = batch["description"], batch["weight"]
        target = F.one_hot(batch["target"], len(CLASSES)).to(description)
        if self.training and self.loss.mixup:
            other = torch.randperm(len(weight), device=weight.device)
            share = float(np.random.beta(self.loss.mixup, self.loss.mixup))
            description, target, weight = (share * x + (1 - share) * x[other] for x in (description, target, weight))
        smoothing = self.loss.smoothing if self.training else 0.0
        target = (1 - smoothing) * target + smoothing * self.smooth
        logits = self.model.member_logits(description)
        entropy = -(logits.log_softmax(-1) * target).sum(-1)
        heard = self.model(batch["description"]).argmax(-1)
        right = (_merged(heard) == _merged(batch["target"])).float()
        total = batch["weight"].mean()
        return {
            "loss": (entropy * weight).mean(),
            "entropy": (entropy * weight).mean() / total,
            "error": ((1 - right) * batch["weight"]).mean() / total,
        }


def _merged(classes: Tensor) -> Tensor:
    """Calm as neutral."""
    return torch.where(classes == CALM, NEUTRAL, classes)


def make_recognizer(config: EmotionRecognizerTraining, encoder: AudioEncoder, training: DescribedClips) -> EmotionRecognizer:
    """An untrained recogniser with the statistics of the training clips."""
    seed_step(config.seed, 0)
    size = {"encoder_dim": encoder.dim, "encoder_layers": len(encoder.hubert.encoder.layers)}
    model = EmotionRecognizer(EmotionRecognizerConfig(**asdict(config.model), **size))
    if training.descriptions.shape[-1] != model.config.inputs:
        raise DataError("the cached descriptions are of another encoder; choose another data.cache folder")
    rows = training.descriptions.float().flatten(0, 1)
    model.mean.copy_(rows.mean(0))
    model.std.copy_(rows.std(0).clamp_min(1e-4))
    found = nuisance_directions(model.standardize(training.descriptions[0].float()), training, config.model.nuisance)
    model.nuisance[: len(found)] = found
    return model


def nuisance_directions(standardized: Tensor, training: DescribedClips, count: int) -> Tensor:
    """The ``count`` directions ``(count, inputs)`` in which speakers differ most when their emotions are accounted for.

    Args:
        standardized: unchanged descriptions ``(clips, inputs)``.
        training: the clips.
        count: of directions; fewer are returned if there are fewer speakers.
    """
    emotions = _merged(training.targets)
    rest = standardized.clone()
    for emotion in emotions.unique():
        rest[emotions == emotion] -= standardized[emotions == emotion].mean(0)
    speakers = np.array([f"{clip.corpus} {clip.speaker}" for clip in training.clips])
    means = torch.stack([rest[torch.from_numpy(speakers == speaker)].mean(0) for speaker in np.unique(speakers)])
    return torch.linalg.svd(means, full_matrices=False).Vh[:count]


@torch.no_grad()
def calibrate(model: EmotionRecognizer, validation: DescribedClips, neutral_bias: float) -> None:
    """Set the temperature with the lowest cross-entropy on unchanged and augmented validation crops, and neutral's bias."""
    descriptions = validation.descriptions.float().flatten(0, 1)
    targets = validation.targets.repeat(len(validation.descriptions))
    model.temperature.fill_(1)
    model.bias.zero_()
    logits = model.eval()(descriptions)
    choices = torch.arange(0.4, 2.5, 0.05)
    model.temperature.copy_(min(choices, key=lambda t: F.cross_entropy(logits / t, targets).item()))
    model.bias[[NEUTRAL, CALM]] = neutral_bias


def train(config: EmotionRecognizerTraining) -> dict[str, float]:
    """Train the emotion recogniser; returns the metrics of the last validation.

    Raises:
        CheckpointError: the encoder cannot be loaded.
        DataError: as :func:`describe_corpora`.
    """
    encoder = load_checkpoint(config.data.encoder, "audio_encoder")
    corpora = [name for name in config.data.corpora if name not in config.data.leave_out]
    return train_described(config, encoder, describe_corpora(config.data, encoder, corpora))[1]


def train_described(
    config: EmotionRecognizerTraining, encoder: AudioEncoder, described: DescribedClips
) -> tuple[EmotionRecognizer, dict[str, float]]:
    """Train on clips that are described already; returns the calibrated network after the last step, and its metrics."""
    training, validation = (described.where(lambda clip, split=split: clip.split == split) for split in ("train", "val"))
    model, loss = make_recognizer(config, encoder, training), config.loss
    emotions, levels = _merged(training.targets), training.levels
    strengths = strength_targets([clip.corpus for clip in training.clips], emotions, levels, loss)
    fit_strength(model, training.descriptions, *strengths, loss.strength_decay)
    occurring = torch.bincount(training.targets, minlength=len(CLASSES)) > 0
    kept = ("corpora", "leave_out", "copies", "seconds", "augmentation")
    used = sorted({clip.corpus for clip in described.clips})

    def export(path: Path, facts: dict) -> None:
        calibrate(model, validation, loss.neutral_bias)
        sources = licences(used)
        save_checkpoint(path.with_suffix(".safetensors"), model, extra=facts | {"data": sources, "emotions": EMOTIONS})
        model.temperature.fill_(1)
        model.bias.zero_()

    solver = Solver(
        config,
        EmotionObjective(model, loss, occurring),
        train_set=Descriptions(training, loss.balance, loss.neutral, augmented=True),
        validation_set=Descriptions(validation, loss.balance, loss.neutral, augmented=False),
        export=export,
        identity={"model": config.model, "loss": loss, "data": {name: getattr(config.data, name) for name in kept}},
    )
    metrics = solver.run()
    calibrate(model.cpu(), validation, loss.neutral_bias)
    return model, metrics
