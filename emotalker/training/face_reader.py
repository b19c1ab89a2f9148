"""Training the face reader, which corrects the tracker on synthetic faces.

Its settings: :mod:`emotalker.settings.face_reader`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.core.checkpoint import save_checkpoint
from emotalker.settings.face_reader import FaceReaderLoss, FaceReaderTraining
from emotalker.synthetic.dataset import load_faces
from emotalker.synthetic.films import LEADING_BLENDSHAPES
from emotalker.synthetic.reader import SyntheticFaceReader
from emotalker.training.face_examples import DescribedFaces, fit_whitening
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver

LEADING_WEIGHT = 4.0  # of LEADING_BLENDSHAPES, the most visible ones, relative to the others
MIN_VARIANCE = 1e-3  # of a blendshape; rarer ones get no higher weight


class FaceReaderObjective(Objective):
    """For synthetic faces, squared error of blendshapes relative to their variance and smooth L1 of landmark shifts; for all
    faces, cross-entropy of whether they are synthetic.

    Args:
        model: the network.
        variance: ``(52,)`` of the blendshapes.
        loss: weight of the shifts, and noise on the features in training.
    """

    def __init__(self, model: SyntheticFaceReader, variance: Tensor, loss: FaceReaderLoss):
        super().__init__()
        self.model, self.loss = model, loss
        precision = 1 / variance.clamp(min=MIN_VARIANCE)
        precision[[ARKIT_BLENDSHAPES.index(name) for name in LEADING_BLENDSHAPES]] *= LEADING_WEIGHT
        self.register_buffer("precision", precision * len(precision) / (precision * variance).sum(), persistent=False)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        described = batch["described"]
        if self.training:
            described = described + self.loss.noise * torch.randn_like(described)
        blendshapes, shifts, logits = self.model(described, batch["context"])
        if not self.training:  # ensemble members are trained separately and averaged in use
            blendshapes, shifts = blendshapes.mean(0, keepdim=True), shifts.mean(0, keepdim=True)
        counts = batch["synthetic"] / batch["synthetic"].sum().clamp(min=1)
        # Squared error, because most blendshapes are 0 in most frames and absolute error is lowest for a constant 0. The
        # weighted sum is not a matrix product, which mixed precision would round to bf16.
        blendshape = ((blendshapes - batch["blendshapes"]).square() * self.precision).mean((0, 2)).mul(counts).sum()
        truth = batch["shifts"].expand_as(shifts)
        shift = F.smooth_l1_loss(shifts, truth, beta=0.5, reduction="none").mean((0, 2, 3)).mul(counts).sum()
        kind = F.binary_cross_entropy_with_logits(logits, batch["synthetic"])
        return {
            "loss": blendshape + self.loss.shift * shift + kind,
            "blendshape": blendshape,
            "shift": shift,
            "synthetic_accuracy": ((logits > 0) == (batch["synthetic"] > 0)).float().mean(),
        }


def train(config: FaceReaderTraining) -> dict[str, float]:
    """Train the face reader; returns the metrics of the last validation.

    Raises:
        DataError: a folder of faces cannot be read.
    """
    weights = config.data.weights
    sets = [load_faces(root) for root in config.data.root]
    training, validation = zip(*(crops.split() for crops in sets), strict=True)

    seed_step(config.seed, 0)
    model = SyntheticFaceReader(config.model)
    fit_whitening(model, training, weights, config.seed)
    facts = {"data": [{"source": s.source, "licence": s.licence} for s in sets], "faces": sum(len(s) for s in sets)}

    def export(path: Path, more: dict) -> None:
        save_checkpoint(path.with_suffix(".safetensors"), model, extra=facts | more)

    variance = torch.from_numpy(training[0].blendshapes.var(0))
    solver = Solver(
        config,
        FaceReaderObjective(model, variance, config.loss),
        train_set=DescribedFaces(model, training, weights),
        validation_set=DescribedFaces(model, [crops for crops in validation if len(crops)]),
        export=export,
        identity={"model": config.model, "loss": config.loss, "weights": weights},
    )
    return solver.run()
