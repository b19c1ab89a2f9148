"""Training the lip branch (SPEC 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from emotalker.data import load_clips
from emotalker.motion.lip import LipBranch, LipConfig
from emotalker.training.augment import SpeechAugmentation
from emotalker.training.dataset import LipWindows, motion_statistics
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
    """

    def __init__(self, model: LipBranch, noise: float, drop: float, velocity_weight: float, emotion_drop: float):
        super().__init__()
        self.emotion_drop = emotion_drop
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
        if self.jaw is not None:
            terms["jaw_correlation"] = correlation(lips[..., self.jaw], target[..., self.jaw]).mean()
        return terms

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
    """Train from a composed configuration (``configs/lip.yaml``); returns the last validation's numbers."""
    data, augmentation = config["data"], config["augmentation"]
    clips, held_out = (load_clips(data["root"], split, config["space"]) for split in ("train", "val"))
    seed_step(config["seed"], 0)
    model = LipBranch(LipConfig.from_dict({"space": clips[0].corpus.space.name, **config["model"]}))
    model.standardizer.set(motion_statistics(clips, slice(None)))
    wave = SpeechAugmentation(augmentation["gain"], augmentation["noise"], augmentation["filter"])
    normalize = model.config.normalize_mel
    solver = Solver(
        solver_config(config),
        LipObjective(model, **config["loss"]),
        LipWindows(clips, data["frames"], wave, augmentation["warp"], tuple(augmentation["speeds"]), normalize),
        LipWindows(held_out, data["validation_frames"], None, normalize_mel=normalize),
        exporter(model, clips),
        {name: config[name] for name in ("model", "loss", "augmentation")} | {"frames": data["frames"]},
    )
    return solver.run()
