"""Stage 1: training the VQ-VAE of face motion (docs/method.md 3). Its settings: :mod:`emotalker.settings.vqvae`."""

from __future__ import annotations

from dataclasses import asdict

from torch import Tensor

from emotalker.data import load_clips
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.settings.vqvae import VQVAELoss, VQVAETraining
from emotalker.training.classification import balanced_weights, confusion_matrix, unweighted_accuracy
from emotalker.training.datasets import MotionWindows, motion_statistics
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter


class VQVAEObjective(Objective):
    """Reconstruction, velocity, commitment and emotion terms.

    Args:
        model: the network.
        loss: weights of the terms.
        class_weights: ``(8,)`` weights of the emotions in their cross-entropy.
        emotion_after: step from which the emotion term is used; it is off during warm-up (docs/method.md 3).
    """

    def __init__(self, model: VQVAE, loss: VQVAELoss, class_weights: Tensor, emotion_after: int):
        super().__init__()
        self.register_buffer("class_weights", class_weights)
        self.model = model
        self.emotion_after = emotion_after
        self.weights = asdict(loss)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        output = self.model(batch["motion"])
        weights = self.weights | {"emotion_weight": self.weights["emotion_weight"] * (step >= self.emotion_after)}
        if not self.training:
            weights["smoothing"] = 0.0
        losses = self.model.loss(output, batch["motion"], batch["emotion"], class_weights=self.class_weights, **weights)
        return losses | {"confusion": confusion_matrix(batch["emotion"], output.emotion_logits)}

    def report(self, means: dict[str, Tensor]) -> dict[str, float]:
        """All means, with the unweighted accuracy of the emotion head in place of its confusion matrix."""
        values = {name: value.item() for name, value in means.items() if name != "confusion"}
        return values | {"unweighted_accuracy": unweighted_accuracy(means["confusion"])}


def train(config: VQVAETraining) -> dict[str, float]:
    """Train the VQ-VAE; returns the metrics of the last validation. Raises as :func:`make_solver`."""
    return make_solver(config).run()


def make_solver(config: VQVAETraining) -> Solver:
    """The VQ-VAE with its data, ready to train.

    Raises:
        DataError: the corpus cannot be read.
    """
    data = config.data
    clips, validation = (load_clips(data.root, split, config.space, audio=False) for split in ("train", "val"))
    entries = clips[0].corpus.space.face

    labels = [clip.label for clip in clips]

    seed_step(config.seed, 0)
    model = VQVAE(VQVAEConfig(**asdict(config.model), motion_dim=len(entries)))
    model.standardizer.set(motion_statistics(clips, entries))

    return Solver(
        config,
        VQVAEObjective(model, config.loss, balanced_weights(labels), emotion_after=config.optimizer.warmup),
        train_set=MotionWindows(clips, data.frames, entries, data.augmentation),
        validation_set=MotionWindows(validation, data.frames, entries),
        export=exporter(model, clips),
        identity={"model": config.model, "loss": config.loss, "frames": data.frames},
    )
