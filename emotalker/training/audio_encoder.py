"""Training the small audio encoder: distillation of Whisper's hidden states (as in DistilHuBERT, Chang et al. 2022), and the
emotions of labelled recordings. Its settings: :mod:`emotalker.settings.audio_encoder`.

The teacher's states are of whole, clean recordings. The student takes crops with another speed, vocal tract length, room and
noise, so that its features depend on words and emotion and less on the voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import default_collate

from emotalker.core.checkpoint import save_checkpoint
from emotalker.core.registry import resolve
from emotalker.data.recordings import CORPORA, EMOTIONS, load_recordings
from emotalker.models.hubert import AudioEncoder
from emotalker.models.probe import LinearProbe
from emotalker.models.whisper import whisper_encoder
from emotalker.settings.audio_encoder import AudioEncoderTraining, DistillationLoss
from emotalker.training.augment import SpeechAugmentation
from emotalker.training.classification import balanced_weights, confusion_matrix, unweighted_accuracy
from emotalker.training.sampling import Key, seed_step
from emotalker.training.solver import STATE, Objective, Solver
from emotalker.training.teacher_crops import TeacherCrops, distort_mel


class DistillationObjective(Objective):
    """Distance to the teacher's standardised states, and the emotions' cross-entropy with weights that balance the classes.

    Args:
        encoder: the student on a log-mel stem, with an emotion head if there are emotion labels.
        layers, teacher_dim: number of the teacher's layers to predict, and their width.
        class_weights: ``(8,)`` weights of the emotions in their cross-entropy.
        loss: weight of the emotion term and label smoothing.
    """

    def __init__(self, encoder: AudioEncoder, layers: int, teacher_dim: int, class_weights: Tensor, loss: DistillationLoss):
        super().__init__()
        self.encoder, self.loss = encoder, loss
        self.heads = nn.ModuleList(nn.Linear(encoder.dim, teacher_dim) for _ in range(layers))
        self.register_buffer("mean", torch.zeros(layers, 1, teacher_dim))
        self.register_buffer("std", torch.ones(layers, 1, teacher_dim))
        self.register_buffer("class_weights", class_weights)
        encoder.hubert.feature_extractor.distort = distort_mel

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        hidden = self.encoder(batch["wave"])
        targets = ((batch["targets"] - self.mean) / self.std).clamp(-6, 6)
        guesses = torch.stack([head(hidden) for head in self.heads], dim=1)
        valid = batch["valid"][:, None].expand(targets.shape[:3])
        distance = (guesses - targets).abs().mean(-1)[valid].mean()
        similarity = F.cosine_similarity(guesses.float(), targets, dim=-1)[valid].mean()
        outputs = {"distance": distance, "similarity": similarity}
        outputs["loss"] = distance + 1 - similarity
        if self.encoder.emotion_head is not None:
            outputs |= self._emotion(hidden, batch["emotion"])
            outputs["loss"] = outputs["loss"] + self.loss.emotion_weight * outputs["emotion"]
        return outputs

    def _emotion(self, hidden: Tensor, emotion: Tensor) -> dict[str, Tensor]:
        logits = self.encoder.emotion_head(hidden).float()
        labelled = emotion >= 0
        smoothing = self.loss.smoothing if self.training else 0.0
        options = {"ignore_index": -1, "reduction": "sum", "label_smoothing": smoothing}
        entropy = F.cross_entropy(logits, emotion, self.class_weights, **options) / labelled.sum().clamp_min(1)
        return {"emotion": entropy, "confusion": confusion_matrix(emotion, logits)}

    def report(self, means: dict[str, Tensor]) -> dict[str, float]:
        """All means, with unweighted accuracy (mean recall of the emotions that occur) in place of the confusion matrix."""
        values = {name: value.item() for name, value in means.items() if name != "confusion"}
        if "confusion" in means:
            values["unweighted_accuracy"] = unweighted_accuracy(means["confusion"])
        return values


@torch.no_grad()
def warm_start(objective: DistillationObjective, crops: TeacherCrops, count: int, weight_decay: float = 0.1) -> None:
    """Initialise the parts with a closed-form solution from ``count`` augmented crops: the teacher's statistics, the
    last normalisation (so that features start with zero mean and unit variance), the heads (ridge regression) and the
    emotions (logistic regression of the mean feature). Small steps then suffice and preserve the pretrained layers."""
    device = objective.mean.device
    chosen = torch.randperm(len(crops))[:count].tolist()
    keys = [Key(index, (index, 3)) for index in chosen]

    encoder, norm = objective.encoder.eval(), objective.encoder.hubert.encoder.layer_norm
    encoder.hubert.feature_extractor.train()  # distorted mel and random first positions, but no dropout
    norm.weight.fill_(1)
    norm.bias.zero_()

    def encoded(keys: Sequence[Key]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        for first in range(0, len(keys), 16):
            batch = default_collate([crops[key] for key in keys[first : first + 16]])
            with torch.autocast(device.type, torch.bfloat16):
                hidden = encoder(batch["wave"]).float()
            targets = batch["targets"].transpose(0, 1)
            yield hidden, targets[:, batch["valid"]], hidden[batch["valid"]], batch["emotion"]

    some = list(encoded(keys[:96]))
    targets, hidden = torch.cat([b[1] for b in some], dim=1), torch.cat([b[2] for b in some])
    objective.mean.copy_(targets.mean(1, keepdim=True))
    objective.std.copy_(targets.std(1, keepdim=True).clamp_min(1e-4))
    mean, std = hidden.mean(0), hidden.std(0).clamp_min(1e-3)
    norm.weight.copy_(1 / std)
    norm.bias.copy_(-mean / std)

    square, products, frames, pooled, emotions = 0.0, 0.0, 0, [], []
    for whole, targets, hidden, emotion in encoded(keys):
        square = square + hidden.T @ hidden
        products = products + hidden.T @ ((targets - objective.mean) / objective.std).clamp(-6, 6)
        frames += len(hidden)
        pooled.append(whole.mean(1))
        emotions.append(emotion)
    square = square / frames + 1e-2 * torch.eye(encoder.dim)
    for head, product in zip(objective.heads, products / frames, strict=True):
        head.weight.copy_(torch.linalg.solve(square, product).T)
        head.bias.zero_()

    pooled, emotions = torch.cat(pooled), torch.cat(emotions)
    if encoder.emotion_head is not None and (emotions >= 0).any():
        with torch.enable_grad():
            probe = LinearProbe(pooled[emotions >= 0], emotions[emotions >= 0], len(EMOTIONS), weight_decay)
        for parameter in encoder.emotion_head.attention.parameters():
            parameter.zero_()  # attention starts as the mean
        weight, bias = probe.linear()
        encoder.emotion_head.classifier.weight.copy_(weight)
        encoder.emotion_head.classifier.bias.copy_(bias)


def train(config: AudioEncoderTraining) -> dict[str, float]:
    """Train the audio encoder; returns the metrics of the last validation.

    Raises:
        CheckpointError: the teacher cannot be loaded.
        DataError: a corpus is unknown or cannot be read.
    """
    data, student = config.data, asdict(config.model)

    def teacher(layers: Sequence[int] | None = None, **options) -> AudioEncoder:
        return whisper_encoder(resolve("whisper_base", data.teacher), layers, **options)

    recordings = load_recordings(data.root, data.corpora, data.cache, teacher, data.layers)
    training, validation = ([r for r in recordings if r.split == split] for split in ("train", "val"))
    labels = [r.emotion for r in training]

    seed_step(config.seed, 0)
    encoder = teacher(student.pop("layers"), emotions=EMOTIONS if max(labels) >= 0 else (), **student)
    objective = DistillationObjective(
        encoder, len(data.layers), recordings[0].targets.shape[-1], balanced_weights(labels), config.loss
    )
    augmentation = SpeechAugmentation(**asdict(data.augmentation))
    crops = TeacherCrops(training, data.seconds, augmentation, data.speeds, data.copies)
    if not (config.resume and (Path(config.run) / STATE).exists()):
        warm_start(objective, crops, data.warm_start_crops)

    kept = {name: getattr(data, name) for name in ("corpora", "layers", "seconds", "copies")}
    solver = Solver(
        config,
        objective,
        train_set=crops,
        validation_set=TeacherCrops(validation, data.seconds, None),
        export=_exporter(encoder, data.corpora),
        identity={"model": config.model, "loss": config.loss, "data": kept},
    )
    return solver.run()


def _exporter(encoder: AudioEncoder, corpora: Sequence[str]) -> Callable[[Path, dict], None]:
    """A solver's ``export``: the encoder, and source and licence of the corpora and of the teacher."""
    sources = [{"source": CORPORA[name].source, "licence": CORPORA[name].licence} for name in corpora]
    sources.append({"source": "Whisper base, encoder (Radford et al. 2022)", "licence": "MIT"})

    def export(path: Path, facts: dict) -> None:
        save_checkpoint(path.with_suffix(".safetensors"), encoder, extra=facts | {"data": sources})

    return export
