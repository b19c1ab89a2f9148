"""Pre-training the small audio encoder: HuBERT's masked prediction of MFCC clusters (Hsu et al. 2021, first iteration),
together with emotion recognition on the clips that carry a label, so that the features know how something is said."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.features.hubert import EXTRA_SAMPLES, AudioEncoder, AudioEncoderConfig
from emotalker.motion.checkpoint import save_checkpoint
from emotalker.training.augment import SpeechAugmentation
from emotalker.training.sampling import Key, seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.speech import RAVDESS_EMOTIONS, SpeechCrops, load_recordings
from emotalker.training.stage import solver_config
from emotalker.training.units import MFCC, KMeans

NUM_EMOTIONS = len(RAVDESS_EMOTIONS)


class HubertObjective(Objective):
    """Cross-entropy of the clusters at masked frames, and of the emotion of the mean feature.

    Args:
        encoder: the network.
        units: number of clusters.
        mask_probability, mask_length: share of frames that start a masked span, and its length (HuBERT: 0.08, 10).
        emotion_weight: of the emotion term.
    """

    def __init__(self, encoder: AudioEncoder, units: int, mask_probability: float, mask_length: int, emotion_weight: float):
        super().__init__()
        self.encoder = encoder
        self.mfcc, self.units = MFCC(), KMeans(units, 39)
        self.unit_head = nn.Linear(encoder.dim, units)
        self.emotion_head = nn.Sequential(nn.Dropout(0.2), nn.Linear(encoder.dim, NUM_EMOTIONS))
        self.mask_probability, self.mask_length, self.emotion_weight = mask_probability, mask_length, emotion_weight

    def cepstra(self, wave: Tensor) -> Tensor:
        """``(B, N)`` to ``(B, N / 320, 39)``, frame by frame with the encoder, whose padding it repeats."""
        wave = (wave - wave.mean(-1, keepdim=True)) / (wave.std(-1, keepdim=True) + 1e-5)
        return self.mfcc(F.pad(wave, (EXTRA_SAMPLES // 2, EXTRA_SAMPLES // 2)))

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        wave, emotion = batch["wave"], batch["emotion"]
        targets = self.units(self.cepstra(wave))
        mask = span_mask(targets.shape, self.mask_probability, self.mask_length, wave.device)
        hidden = self.encoder(wave, mask_time_indices=mask)
        scores = self.unit_head(hidden[mask])
        masked = F.cross_entropy(scores, targets[mask])
        whole = hidden if self.training else self.encoder(wave)
        logits = self.emotion_head(whole.mean(1))
        labelled = emotion >= 0
        felt = F.cross_entropy(logits, emotion, ignore_index=-1, reduction="sum") / labelled.sum().clamp_min(1)
        confusion = torch.zeros(NUM_EMOTIONS, NUM_EMOTIONS, device=wave.device)
        pairs = (emotion[labelled], logits.argmax(-1)[labelled])
        confusion.index_put_(pairs, torch.tensor(1.0 / len(wave), device=wave.device), accumulate=True)
        return {
            "loss": masked + self.emotion_weight * felt,
            "masked": masked,
            "accuracy": (scores.argmax(-1) == targets[mask]).float().mean(),
            "emotion": felt,
            "confusion": confusion,
        }

    def report(self, means: dict[str, Tensor]) -> dict[str, float]:
        """As named, with the confusion matrix as its unweighted accuracy (mean recall of the emotions that occur)."""
        confusion = means["confusion"]
        counts = confusion.sum(1)
        recall = confusion.diagonal()[counts > 0] / counts[counts > 0]
        values = {name: value.item() for name, value in means.items() if name != "confusion"}
        return values | {"unweighted_accuracy": recall.mean().item() if len(recall) else 0.0}


def span_mask(shape: tuple[int, int], probability: float, length: int, device: torch.device) -> Tensor:
    """Random spans over ``(B, T)``: each frame starts one with ``probability``, and each row has at least one. Bool."""
    batch, frames = shape
    starts = torch.rand(batch, frames, device=device) < probability
    starts[torch.arange(batch), torch.randint(0, frames, (batch,), device=device)] = True
    spans = F.max_pool1d(F.pad(starts.float(), (length - 1, 0))[:, None], length, stride=1)
    return spans[:, 0] > 0


def fit_units(objective: HubertObjective, crops: SpeechCrops, sample: int) -> None:
    """Fit the clusters on ``sample`` crops."""
    chosen = torch.randperm(len(crops))[:sample].tolist()
    waves = torch.stack([torch.from_numpy(crops[Key(index, (index, 3))]["wave"]) for index in chosen])
    objective.units.fit(objective.cepstra(waves).flatten(0, 1))


def train(config: dict) -> dict[str, float]:
    """Train from a composed configuration (``configs/hubert.yaml``); returns the last validation's numbers."""
    data = config["data"]
    recordings = load_recordings(data["root"], data["audio"], data["held_out_actors"])
    seed_step(config["seed"], 0)
    encoder = AudioEncoder(AudioEncoderConfig.from_dict(config["model"]))
    objective = HubertObjective(encoder, **config["loss"])
    crops = SpeechCrops([r for r in recordings if not r.held_out], data["seconds"], SpeechAugmentation())
    fit_units(objective, crops, data["unit_sample"])

    def export(path: Path, facts: dict) -> None:
        extra = facts | {"data": data["licences"], "emotions": RAVDESS_EMOTIONS}
        save_checkpoint(path.with_suffix(".safetensors"), encoder, extra=extra)

    solver = Solver(
        solver_config(config),
        objective,
        crops,
        SpeechCrops([r for r in recordings if r.held_out], data["seconds"], None),
        export,
        {"model": config["model"], "loss": config["loss"], "seconds": data["seconds"]},
    )
    return solver.run()
