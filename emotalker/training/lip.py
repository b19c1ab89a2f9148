"""Training the lip branch (docs/method.md 5)."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from emotalker.core.checkpoint import load_checkpoint
from emotalker.core.errors import CheckpointError
from emotalker.data import load_clips
from emotalker.models.lip import LipBranch, LipConfig
from emotalker.models.sync import SyncExpert
from emotalker.training.augment import SpeechAugmentation
from emotalker.training.datasets import LipWindows, motion_statistics
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter, hide_some, solver_config


class LipObjective(Objective):
    """Squared error of lips and of their velocity.

    Training hands the branch the true face, running it a predicted one on any portrait; so face and reference are disturbed.

    Args:
        model: the network.
        noise: standard deviation of noise on face and reference, in their own standard deviations.
        drop: probability of replacing an example's face, and independently its reference, by the mean.
        velocity_weight: of the velocity term.
        emotion_drop: probability of hiding an example's emotion.
        sync_weight: of the sync expert's distance of the predicted lips from the sound.
        expert: frozen; None leaves that term out.
    """

    def __init__(
        self,
        model: LipBranch,
        noise: float,
        drop: float,
        velocity_weight: float,
        emotion_drop: float,
        sync_weight: float = 0.0,
        expert: SyncExpert | None = None,
    ):
        super().__init__()
        self.emotion_drop, self.sync_weight = emotion_drop, sync_weight
        self.expert = expert.requires_grad_(False).eval() if expert is not None and sync_weight else None
        self.model = model
        self.noise, self.drop, self.velocity_weight = noise, drop, velocity_weight
        names = model.space.lip_names
        self.jaw = names.index("jawOpen") if "jawOpen" in names else None

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        motion, reference = batch["motion"], batch["reference"]
        face = motion
        if self.training:
            face, reference = self._disturb(face), self._disturb(reference[:, None])[:, 0]
        emotion = None
        if self.model.config.num_emotions:
            emotion = hide_some(batch["emotion"], self.emotion_drop if self.training else 0.0)
        lips = self.model(batch["mel"], face[..., self.model.face_expression], reference, emotion)
        target = motion[..., self.model.lip]
        terms = self.model.loss(lips, target, velocity_weight=self.velocity_weight)
        if self.expert is not None:
            # as the expert hears a recording: what a voice adds to every frame is taken out of each band
            heard = self.expert.embed_audio(batch["mel"] - batch["mel"].mean((1, 3), keepdim=True))
            terms["sync"] = self.expert.loss(heard, self.expert.embed_lips(self.expert.standardize(lips)))
            terms["loss"] = terms["loss"] + self.sync_weight * terms["sync"]
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
        kept = torch.rand(len(motion), 1, 1, device=motion.device) >= self.drop
        # a constant offset per example: another face's resting expression rather than jitter
        offset = self.noise * torch.randn(len(motion), 1, motion.shape[-1], device=motion.device)
        return standardizer.inverse((standardizer(motion) + offset) * kept)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation along the last dimension; 0 where either is constant."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-8)


def train(config: dict) -> dict[str, float]:
    """Train from a composed configuration (``configs/lip.yaml``); returns the last validation's numbers.

    Raises:
        CheckpointError: the sync expert cannot be loaded, or knows another coefficient space.
        DataError: the corpus cannot be read.
    """
    data, augmentation = config["data"], config["augmentation"]
    clips, validation = (load_clips(data["root"], split, config["space"]) for split in ("train", "val"))
    seed_step(config["seed"], 0)
    model = LipBranch(LipConfig.from_dict({"space": clips[0].corpus.space.name, **config["model"]}))
    model.standardizer.set(motion_statistics(clips, slice(None)))
    expert = load_checkpoint(config["sync"], "sync") if config["sync"] else None
    if expert is not None and expert.space is not model.space:
        raise CheckpointError(f"{config['sync']} was trained in the space {expert.space.name!r}; train one for this space")
    wave = SpeechAugmentation(augmentation["gain"], augmentation["noise"], augmentation["filter"])
    normalize = model.config.normalize_mel
    solver = Solver(
        solver_config(config),
        LipObjective(model, **config["loss"], expert=expert),
        LipWindows(clips, data["frames"], wave, augmentation["warp"], tuple(augmentation["speeds"]), normalize),
        LipWindows(validation, data["validation_frames"], None, normalize_mel=normalize),
        exporter(model, clips),
        {name: config[name] for name in ("model", "loss", "augmentation")} | {"frames": data["frames"]},
    )
    return solver.run()
