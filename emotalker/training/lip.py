"""Training the lip branch (docs/method.md 5). Its settings: :mod:`emotalker.settings.lip`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Self

import torch
from torch import Tensor

from emotalker.core.checkpoint import load_checkpoint
from emotalker.core.errors import CheckpointError
from emotalker.data import load_clips
from emotalker.models.lip import LipBranch, LipConfig
from emotalker.models.sync import SyncExpert
from emotalker.settings.lip import LipLoss, LipTraining
from emotalker.training.augment import SpeechAugmentation
from emotalker.training.datasets import LipWindows, motion_statistics
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter, hide_some


class LipObjective(Objective):
    """Squared error of lips and of their velocity, and the sync expert's distance between predicted lips and speech.

    Training uses the recorded face, generation a predicted face on any portrait; so face and reference are disturbed.

    Args:
        model: the network.
        loss: weights and disturbance.
        expert: frozen; None leaves its term out.
    """

    def __init__(self, model: LipBranch, loss: LipLoss, expert: SyncExpert | None = None):
        super().__init__()
        self.model, self.loss = model, loss
        self.expert = expert.requires_grad_(False).eval() if expert is not None and loss.sync_weight else None
        names = model.space.lip_names
        self.jaw = names.index("jawOpen") if "jawOpen" in names else None

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        motion, reference = batch["motion"], batch["reference"]
        face = motion
        if self.training:
            face, reference = self._disturb(face), self._disturb(reference[:, None])[:, 0]
        emotion = None
        if self.model.config.num_emotions:
            emotion = hide_some(batch["emotion"], self.loss.emotion_drop if self.training else 0.0)
        lips = self.model(batch["mel"], face[..., self.model.face_expression], reference, emotion)
        target = motion[..., self.model.lip]
        terms = self.model.loss(lips, target, velocity_weight=self.loss.velocity_weight)
        if self.expert is not None:
            # the expert takes mel bands without their mean, see SyncExpert.windows
            audio = self.expert.embed_audio(batch["mel"] - batch["mel"].mean((1, 3), keepdim=True))
            terms["sync"] = self.expert.loss(audio, self.expert.embed_lips(self.expert.standardize(lips)))
            terms["loss"] = terms["loss"] + self.loss.sync_weight * terms["sync"]
        if self.jaw is not None:
            terms["jaw_correlation"] = correlation(lips[..., self.jaw], target[..., self.jaw]).mean()
        return terms

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.expert is not None:
            self.expert.eval()
        return self

    def _disturb(self, motion: Tensor) -> Tensor:
        """``(B, T, D)`` to the same."""
        standardizer = self.model.standardizer
        kept = torch.rand(len(motion), 1, 1, device=motion.device) >= self.loss.drop
        # one offset per example: another face's resting expression rather than jitter
        offset = self.loss.noise * torch.randn(len(motion), 1, motion.shape[-1], device=motion.device)
        return standardizer.inverse((standardizer(motion) + offset) * kept)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation along the last dimension; 0 where either is constant."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-8)


def train(config: LipTraining) -> dict[str, float]:
    """Train the lip branch; returns the metrics of the last validation. Raises as :func:`make_solver`."""
    return make_solver(config).run()


def make_solver(config: LipTraining) -> Solver:
    """The lip branch with its data, ready to train.

    Raises:
        CheckpointError: the sync expert cannot be loaded or was trained in another coefficient space.
        DataError: the corpus cannot be read.
    """
    data, augmentation = config.data, config.augmentation
    clips, validation = (load_clips(data.root, split, config.space) for split in ("train", "val"))

    seed_step(config.seed, 0)
    model = LipBranch(LipConfig(**asdict(config.model), space=clips[0].corpus.space.name))
    model.standardizer.set(motion_statistics(clips, slice(None)))
    expert = load_expert(config.sync, model) if config.sync else None

    wave = SpeechAugmentation(augmentation.gain, augmentation.noise, augmentation.filter)
    normalize = config.model.normalize_mel
    return Solver(
        config,
        LipObjective(model, config.loss, expert),
        train_set=LipWindows(clips, data.frames, wave, augmentation.warp, augmentation.speeds, normalize),
        validation_set=LipWindows(validation, data.validation_frames, None, normalize_mel=normalize),
        export=exporter(model, clips),
        identity={"model": config.model, "loss": config.loss, "augmentation": augmentation, "frames": data.frames},
    )


def load_expert(path: str, model: LipBranch) -> SyncExpert:
    """A sync expert. Raises CheckpointError if it cannot be loaded or has another coefficient space than the model."""
    expert = load_checkpoint(path, "sync")
    if expert.space is not model.space:
        raise CheckpointError(f"{path} was trained in the space {expert.space.name!r}; train one for this space")
    return expert
