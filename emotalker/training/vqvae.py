"""Stage 1: training the VQ-VAE of face motion (docs/method.md 3). Its settings: :mod:`emotalker.settings.vqvae`."""

from __future__ import annotations

from dataclasses import asdict

from torch import Tensor

from emotalker.data import load_clips
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.settings.vqvae import VQVAELoss, VQVAETraining
from emotalker.training.datasets import MotionWindows, motion_statistics
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter


class VQVAEObjective(Objective):
    """Reconstruction, velocity, commitment and emotion terms.

    Args:
        model: the network.
        loss: weights of the terms.
        emotion_after: step from which the emotion term is used; it is off during warm-up (docs/method.md 3).
    """

    def __init__(self, model: VQVAE, loss: VQVAELoss, emotion_after: int):
        super().__init__()
        self.model = model
        self.emotion_after = emotion_after
        self.weights = asdict(loss)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        output = self.model(batch["motion"])
        weights = self.weights | {"emotion_weight": self.weights["emotion_weight"] * (step >= self.emotion_after)}
        return self.model.loss(output, batch["motion"], batch["emotion"], **weights)


def train(config: VQVAETraining) -> dict[str, float]:
    """Train the VQ-VAE; returns the metrics of the last validation.

    Raises:
        DataError: the corpus cannot be read.
    """
    data = config.data
    clips, validation = (load_clips(data.root, split, config.space, audio=False) for split in ("train", "val"))
    entries = clips[0].corpus.space.face

    seed_step(config.seed, 0)
    model = VQVAE(VQVAEConfig(**asdict(config.model), motion_dim=len(entries)))
    model.standardizer.set(motion_statistics(clips, entries))

    solver = Solver(
        config,
        VQVAEObjective(model, config.loss, emotion_after=config.optimizer.warmup),
        train_set=MotionWindows(clips, data.frames, entries),
        validation_set=MotionWindows(validation, data.frames, entries),
        export=exporter(model, clips),
        identity={"model": config.model, "loss": config.loss, "frames": data.frames},
    )
    return solver.run()
