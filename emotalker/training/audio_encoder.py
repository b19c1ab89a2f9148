"""Training the small audio encoder: Whisper's hidden states as targets (distillation as in DistilHuBERT, Chang et al. 2022),
and the emotions of the recordings that carry a label.

The teacher heard whole, clean recordings; the student hears crops of them at another speed, through another vocal tract,
room and noise, and has to say the same: that is what makes its features the words' and the emotion's, not the voice's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate

from emotalker.audio.io import SAMPLE_RATE
from emotalker.coefficients.resample import change_speed
from emotalker.core.checkpoint import save_checkpoint
from emotalker.core.registry import resolve
from emotalker.data.recordings import CORPORA, EMOTIONS, Recording, load_recordings
from emotalker.models.hubert import HOP_LENGTH, AudioEncoder
from emotalker.models.probe import LinearProbe
from emotalker.models.whisper import whisper_encoder
from emotalker.training.augment import SpeechAugmentation, random_speed, resample_wave
from emotalker.training.sampling import Key, seed_step
from emotalker.training.solver import STATE, Objective, Solver
from emotalker.training.stage import solver_config


class TeacherCrops(Dataset):
    """Crops of recordings with the teacher's states: ``wave (N,)``, ``targets (layers, N / 320, dim)``, ``valid (N / 320,)``
    (false beyond the recording's end) and ``emotion ()``. A long recording counts as often as it holds crops.

    Args:
        recordings: to cut from.
        seconds: length of a crop, a multiple of 0.04.
        augmentation: None cuts the middle and leaves it as it is.
        speeds: slowest and fastest, with augmentation.
        copies: how often a recording with a label counts.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        seconds: float,
        augmentation: SpeechAugmentation | None,
        speeds: tuple[float, float] = (0.85, 1.2),
        copies: int = 1,
    ):
        self.frames = round(seconds * SAMPLE_RATE / HOP_LENGTH)
        self.augmentation, self.speeds = augmentation, speeds
        self.items = []
        for recording in recordings:
            whole = self.frames * HOP_LENGTH
            times = copies if recording.emotion >= 0 else max(1, round(len(recording.samples) / whole))
            self.items += [recording] * times

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> dict:
        rng, recording = key.rng(), self.items[key.index]
        speed = random_speed(rng, *self.speeds) if self.augmentation else 1.0
        wanted = int(np.ceil(self.frames * speed))
        first, last = 0, len(recording.samples) // HOP_LENGTH
        if CORPORA[recording.corpus].sentence:
            start, stop = (sample // HOP_LENGTH for sample in recording.speech)
            pauses = rng.random(2) if self.augmentation else np.ones(2)  # recordings in use have some, of any length
            first, last = round(start * (1 - pauses[0])), round(stop + (last - stop) * pauses[1])
        slack = max(0, last - first - wanted)
        start = first + (int(rng.integers(0, slack + 1)) if self.augmentation else slack // 2)
        cut = recording.samples[start * HOP_LENGTH : (start + wanted) * HOP_LENGTH].astype(np.float32) / 32768
        wave = resample_wave(cut, speed)[: self.frames * HOP_LENGTH]
        valid = np.arange(self.frames) < len(wave) // HOP_LENGTH
        wave = np.pad(wave, (0, self.frames * HOP_LENGTH - len(wave)))
        if self.augmentation:
            wave = self.augmentation(wave, rng)
        return {
            "wave": wave,
            "targets": change_speed(recording.targets[:, start : start + wanted].float().numpy(), speed, self.frames, axis=1),
            "valid": valid,
            "emotion": recording.emotion,
        }


def distort_mel(mel: Tensor, warp: float = 0.12, shift: float = 0.1, bands: int = 10, steps: int = 12) -> Tensor:
    """Another vocal tract, level and SpecAugment's masks (Park et al. 2019) for each of ``(B, M, T)``.

    Args:
        warp: largest stretch of the frequency axis, as a share, either way.
        shift: largest shift of all bands; in Whisper's scale 0.25 is 10 dB.
        bands, steps: widest mask; the mask takes the recording's mean.
    """
    batch, height, width = mel.shape
    device = mel.device
    factor = 1 + warp * (2 * torch.rand(batch, 1, device=device) - 1)
    source = (torch.arange(height, device=device) / factor).clamp(0, height - 1)
    before = source.long().clamp_max(height - 2)
    share = (source - before)[:, :, None]
    low = mel.gather(1, before[:, :, None].expand(-1, -1, width))
    high = mel.gather(1, (before + 1)[:, :, None].expand(-1, -1, width))
    mel = torch.lerp(low, high, share) + shift * (2 * torch.rand(batch, 1, 1, device=device) - 1)
    masked = _span(batch, height, bands, device)[:, :, None] | _span(batch, width, steps, device)[:, None, :]
    return torch.where(masked, mel.mean((1, 2), keepdim=True), mel)


def _span(batch: int, length: int, widest: int, device: torch.device) -> Tensor:
    """One random span of up to ``widest`` places in each row: ``(batch, length)`` bool."""
    width = torch.randint(0, widest + 1, (batch, 1), device=device)
    start = torch.randint(0, max(1, length - widest), (batch, 1), device=device)
    place = torch.arange(length, device=device)
    return (place >= start) & (place < start + width)


class DistillationObjective(Objective):
    """Distance to the teacher's standardised states and cross-entropy of the emotions, weighted as if all were as common.

    Args:
        encoder: the student on a log-mel stem, with an emotion head if it is to learn emotions.
        layers, teacher_dim: number of the teacher's layers to predict, and their width.
        emotion_weight: of the emotion term.
        emotion_counts: how often each emotion occurs in training.
        smoothing: share of the emotions' labels that is spread over all of them.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        layers: int,
        teacher_dim: int,
        emotion_weight: float,
        emotion_counts: Tensor,
        smoothing: float,
    ):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleList(nn.Linear(encoder.dim, teacher_dim) for _ in range(layers))
        self.register_buffer("mean", torch.zeros(layers, 1, teacher_dim))
        self.register_buffer("std", torch.ones(layers, 1, teacher_dim))
        weights = emotion_counts.sum() / (emotion_counts.clamp_min(1) * (emotion_counts > 0).sum().clamp_min(1))
        weights = weights * (emotion_counts > 0)  # smoothing would ask for emotions that never occur
        self.register_buffer("class_weights", weights.float())
        self.emotion_weight, self.smoothing = emotion_weight, smoothing
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
            outputs["loss"] = outputs["loss"] + self.emotion_weight * outputs["emotion"]
        return outputs

    def _emotion(self, hidden: Tensor, emotion: Tensor) -> dict[str, Tensor]:
        logits = self.encoder.emotion_head(hidden).float()
        labelled = emotion >= 0
        options = {"ignore_index": -1, "reduction": "sum", "label_smoothing": self.smoothing if self.training else 0.0}
        felt = F.cross_entropy(logits, emotion, self.class_weights, **options) / labelled.sum().clamp_min(1)
        confusion = logits.new_zeros(len(EMOTIONS), len(EMOTIONS))
        pairs = (emotion[labelled], logits.argmax(-1)[labelled])
        confusion.index_put_(pairs, logits.new_tensor(1.0 / len(emotion)), accumulate=True)
        return {"emotion": felt, "confusion": confusion}

    def report(self, means: dict[str, Tensor]) -> dict[str, float]:
        """As named, with the confusion matrix as its unweighted accuracy (mean recall of the emotions that occur)."""
        values = {name: value.item() for name, value in means.items() if name != "confusion"}
        if "confusion" in means:
            counts = means["confusion"].sum(1)
            recall = means["confusion"].diagonal()[counts > 0] / counts[counts > 0]
            values["unweighted_accuracy"] = recall.mean().item() if len(recall) else 0.0
        return values


@torch.no_grad()
def warm_start(objective: DistillationObjective, crops: TeacherCrops, sample: int, weight_decay: float = 0.1) -> None:
    """Set what needs no gradient descent through the encoder, from ``sample`` augmented crops: the statistics of the
    teacher's states, the last normalisation (so that features start with zero mean and unit variance), the heads (ridge
    regression) and the emotions (logistic regression of the mean feature). From there on small steps suffice, which spare
    what the encoder's layers brought along."""
    device = objective.mean.device
    chosen = torch.randperm(len(crops))[:sample].tolist()
    keys = [Key(index, (index, 3)) for index in chosen]

    encoder, norm = objective.encoder.eval(), objective.encoder.hubert.encoder.layer_norm
    encoder.hubert.feature_extractor.train()  # distorted mel and positions that start anywhere, but no dropout
    norm.weight.fill_(1)
    norm.bias.zero_()

    def heard(keys: Sequence[Key]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        for first in range(0, len(keys), 16):
            batch = default_collate([crops[key] for key in keys[first : first + 16]])
            with torch.autocast(device.type, torch.bfloat16):
                hidden = encoder(batch["wave"]).float()
            targets = batch["targets"].transpose(0, 1)
            yield hidden, targets[:, batch["valid"]], hidden[batch["valid"]], batch["emotion"]

    some = list(heard(keys[:96]))
    targets, hidden = torch.cat([b[1] for b in some], dim=1), torch.cat([b[2] for b in some])
    objective.mean.copy_(targets.mean(1, keepdim=True))
    objective.std.copy_(targets.std(1, keepdim=True).clamp_min(1e-4))
    mean, std = hidden.mean(0), hidden.std(0).clamp_min(1e-3)
    norm.weight.copy_(1 / std)
    norm.bias.copy_(-mean / std)

    square, products, frames, pooled, emotions = 0.0, 0.0, 0, [], []
    for whole, targets, hidden, emotion in heard(keys):
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
            parameter.zero_()  # the mean to begin with
        weight, bias = probe.linear()
        encoder.emotion_head.classifier.weight.copy_(weight)
        encoder.emotion_head.classifier.bias.copy_(bias)


def train(config: dict) -> dict[str, float]:
    """Train from a composed configuration (``configs/audio_encoder.yaml``); returns the last validation's numbers."""
    data, loss, student = config["data"], config["loss"], config["model"]
    path = data["teacher"]
    recordings = load_recordings(
        data["root"], data["corpora"], data["cache"], lambda: whisper_encoder(resolve("whisper_base", path)), data["layers"]
    )
    training, validation = ([r for r in recordings if r.split == split] for split in ("train", "val"))
    counts = torch.bincount(torch.tensor([r.emotion for r in training if r.emotion >= 0], dtype=torch.long), minlength=8)

    seed_step(config["seed"], 0)
    emotions = EMOTIONS if counts.sum() else ()
    encoder = whisper_encoder(resolve("whisper_base", path), student["layers"], emotions=emotions, **student["hubert"])
    teacher_dim = recordings[0].targets.shape[-1]
    options = {name: loss[name] for name in ("emotion_weight", "smoothing")}
    objective = DistillationObjective(encoder, len(data["layers"]), teacher_dim, emotion_counts=counts, **options)
    augmentation = SpeechAugmentation(**data["augmentation"])
    crops = TeacherCrops(training, data["seconds"], augmentation, tuple(data["speeds"]), data["copies"])
    if not (config["resume"] and (Path(config["run"]) / STATE).exists()):
        warm_start(objective, crops, data["warm_start_crops"])

    def export(path: Path, facts: dict) -> None:
        about = [{"source": CORPORA[name].source, "licence": CORPORA[name].licence} for name in data["corpora"]]
        teacher = {"source": "Whisper base, encoder (Radford et al. 2022)", "licence": "MIT"}
        save_checkpoint(path.with_suffix(".safetensors"), encoder, extra=facts | {"data": [*about, teacher]})

    solver = Solver(
        solver_config(config),
        objective,
        crops,
        TeacherCrops(validation, data["seconds"], None),
        export,
        {"model": student, "loss": loss, "data": {name: data[name] for name in ("corpora", "layers", "seconds", "copies")}},
    )
    return solver.run()
