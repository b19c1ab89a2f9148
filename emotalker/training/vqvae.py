"""Stage 1: training the VQ-VAE of face motion (docs/method.md 3)."""

from __future__ import annotations

from torch import Tensor

from emotalker.data import load_clips
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.training.datasets import MotionWindows, motion_statistics
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter, solver_config


class VQVAEObjective(Objective):
    """Reconstruction, velocity, commitment and emotion terms.

    Args:
        model: the network.
        emotion_after: step from which the emotion head counts; it is off during warm-up (docs/method.md 3).
        weights: ``commitment_weight``, ``velocity_weight``, ``emotion_weight``.
    """

    def __init__(self, model: VQVAE, emotion_after: int, weights: dict[str, float]):
        super().__init__()
        self.model = model
        self.emotion_after = emotion_after
        self.weights = dict(weights)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        output = self.model(batch["motion"])
        weights = self.weights | {"emotion_weight": self.weights["emotion_weight"] * (step >= self.emotion_after)}
        return self.model.loss(output, batch["motion"], batch["emotion"], **weights)


def train(config: dict) -> dict[str, float]:
    """Train from a composed configuration (``configs/vqvae.yaml``); returns the last validation's numbers."""
    data = config["data"]
    clips, validation = (load_clips(data["root"], split, config["space"], audio=False) for split in ("train", "val"))
    entries = clips[0].corpus.space.face
    seed_step(config["seed"], 0)
    model = VQVAE(VQVAEConfig.from_dict({"motion_dim": len(entries), **config["model"]}))
    model.standardizer.set(motion_statistics(clips, entries))
    solver = Solver(
        solver_config(config),
        VQVAEObjective(model, config["optimizer"]["warmup"], config["loss"]),
        MotionWindows(clips, data["frames"], entries),
        MotionWindows(validation, data["frames"], entries),
        exporter(model, clips),
        {"model": config["model"], "loss": config["loss"], "frames": data["frames"]},
    )
    return solver.run()
