"""Training the sync expert. Its settings: :mod:`emotalker.settings.sync`."""

from __future__ import annotations

import math
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.data.shards import load_clips
from emotalker.models.sync import MAX_SHIFT, SyncConfig, SyncExpert, shifted_similarity
from emotalker.settings.sync import SyncTraining
from emotalker.training.augment import SpeechAugmentation
from emotalker.training.datasets import LipWindows, motion_statistics
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter


class SyncObjective(Objective):
    """InfoNCE over shifts: sound and lips of the same time against those up to 15 frames away in the same recording.

    Other recordings are not used as negatives, because voice or expression alone could reject them. The loss is computed
    per frame and for the average over the window, as the expert is used.

    Args:
        model: the network.
        scale, offset, noise: of the lips in training, in standard deviations: amplitudes vary by a factor
            ``exp(N(0, scale))``, resting positions by ``N(0, offset)``, and frames by ``N(0, noise)``.
    """

    def __init__(self, model: SyncExpert, scale: float, offset: float, noise: float):
        super().__init__()
        self.model = model
        self.scale, self.offset, self.noise = scale, offset, noise
        self.log_sharpness = nn.Parameter(torch.tensor([8.0, 24.0]).log())  # of a frame's and of a window's choice

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        lips = self.model.standardize(batch["motion"][..., self.model.lip])
        if self.training:
            lips = self._vary(lips)
        audio, lips = self.model.embed_audio(batch["mel"]), self.model.embed_lips(lips)
        frame_loss, window_loss = 0.0, 0.0
        by_frame, by_window = self.log_sharpness.clamp(max=math.log(100)).exp()
        for anchor, other in ((audio, lips), (lips, audio)):
            similarity = shifted_similarity(anchor, other)
            frame_loss = frame_loss + _choose(by_frame * similarity) / 2
            window_loss = window_loss + _choose(by_window * similarity.mean(-1)) / 2
        found = similarity.mean(-1).argmax(1) - MAX_SHIFT
        return {
            "loss": frame_loss + window_loss,
            "frame": frame_loss,
            "window": window_loss,
            "in_sync": (found == 0).float().mean(),
            "within_one_frame": (found.abs() <= 1).float().mean(),
        }

    def _vary(self, lips: Tensor) -> Tensor:
        """``(B, F, L)`` to the same: amplitudes, resting mouths and trackers vary."""
        one = lips.new_zeros(len(lips), 1, 1)
        mean = lips.mean(1, keepdim=True)
        factor = (torch.randn_like(one) * self.scale).exp()
        return (lips - mean) * factor + mean + torch.randn_like(mean) * self.offset + torch.randn_like(lips) * self.noise


def _choose(logits: Tensor) -> Tensor:
    """Cross-entropy of ``(B, shifts, ...)`` with no shift at all as the answer."""
    answer = torch.full((len(logits), *logits.shape[2:]), MAX_SHIFT, device=logits.device)
    return F.cross_entropy(logits, answer)


def train(config: SyncTraining) -> dict[str, float]:
    """Train the sync expert; returns the metrics of the last validation. Raises as :func:`make_solver`."""
    return make_solver(config).run()


def make_solver(config: SyncTraining) -> Solver:
    """The sync expert with its data, ready to train.

    Raises:
        DataError: the corpus cannot be read.
    """
    data, augmentation = config.data, config.augmentation
    clips, validation = (load_clips(data.root, split) for split in ("train", "val"))

    seed_step(config.seed, 0)
    model = SyncExpert(SyncConfig(**asdict(config.model), space=clips[0].corpus.space.name))
    model.standardizer.set(motion_statistics(clips, slice(None)))

    wave = SpeechAugmentation(augmentation.gain, augmentation.noise, augmentation.filter)
    return Solver(
        config,
        SyncObjective(model, **asdict(config.loss)),
        train_set=LipWindows(clips, data.frames, wave, augmentation.warp, augmentation.speeds, normalize_mel=True),
        validation_set=LipWindows(validation, data.validation_frames, None, normalize_mel=True),
        export=exporter(model, clips),
        identity={"model": config.model, "loss": config.loss, "augmentation": augmentation, "frames": data.frames},
    )
