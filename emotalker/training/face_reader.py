"""Training the face reader, which corrects the tracker on synthetic faces.

Its settings: :mod:`emotalker.settings.face_reader`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.core.checkpoint import read_metadata, save_checkpoint
from emotalker.settings.face_reader import FaceReaderLoss, FaceReaderTraining
from emotalker.synthetic.dataset import load_faces
from emotalker.synthetic.films import LEADING_BLENDSHAPES
from emotalker.synthetic.reader import SyntheticFaceReader
from emotalker.training.distillation import copy_matching, reduce_inputs
from emotalker.training.face_examples import DescribedFaces, fit_whitening, sample_features
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
        loss: weights, and noise on the descriptors in training.
        teacher: in training the mean of its members is a second target. None for the labels alone.
    """

    def __init__(
        self,
        model: SyntheticFaceReader,
        variance: Tensor,
        loss: FaceReaderLoss,
        teacher: SyntheticFaceReader | None = None,
    ):
        super().__init__()
        self.model, self.loss = model, loss
        self.teacher = teacher.requires_grad_(False) if teacher is not None else None
        precision = 1 / variance.clamp(min=MIN_VARIANCE)
        precision[[ARKIT_BLENDSHAPES.index(name) for name in LEADING_BLENDSHAPES]] *= LEADING_WEIGHT
        self.register_buffer("precision", precision * len(precision) / (precision * variance).sum(), persistent=False)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        described, context = batch["described"], batch["context"]
        count, distills = len(described), self.teacher is not None and self.training
        if self.training:
            described = described + self.loss.noise * torch.randn_like(described)
        if distills:  # one person's motion on another's face: the teacher has targets where there are no labels
            moved = context + (described - context)[torch.randperm(count, device=described.device)]
            described, context = torch.cat([described, moved]), context.repeat(2, 1)
        blendshapes, shifts, logits = self.model(described, context)
        if not self.training:  # ensemble members are trained separately and averaged in use
            blendshapes, shifts = blendshapes.mean(0, keepdim=True), shifts.mean(0, keepdim=True)
        logits, weights = logits[:count], batch["synthetic"] / batch["synthetic"].sum().clamp(min=1)
        labels = batch["blendshapes"], batch["shifts"]
        blendshape, shift = self._errors(blendshapes[:, :count], shifts[:, :count], *labels, weights)
        loss = blendshape + self.loss.shift * shift
        if distills:
            with torch.no_grad():
                targets = [values.mean(0) for values in self.teacher(described, context)[:2]]
            by_teacher, shift_by_teacher = self._errors(blendshapes, shifts, *targets, weights.repeat(2) / 2)
            loss = torch.lerp(loss, by_teacher + self.loss.shift * shift_by_teacher, self.loss.distillation)
        kind = F.binary_cross_entropy_with_logits(logits, batch["synthetic"])
        return {
            "loss": loss + kind,
            "blendshape": blendshape,
            "shift": shift,
            "synthetic_accuracy": ((logits > 0) == (batch["synthetic"] > 0)).float().mean(),
        }

    def _errors(
        self, blendshapes: Tensor, shifts: Tensor, target_blendshapes: Tensor, target_shifts: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        # Squared error, because most blendshapes are 0 in most frames and absolute error is lowest for a constant 0. The
        # weighted sum is not a matrix product, which mixed precision would round to bf16.
        blendshape = ((blendshapes - target_blendshapes).square() * self.precision).mean((0, 2)).mul(weights).sum()
        errors = F.smooth_l1_loss(shifts, target_shifts.expand_as(shifts), beta=0.5, reduction="none")
        return blendshape, errors.mean((0, 2, 3)).mul(weights).sum()


def train(config: FaceReaderTraining) -> dict[str, float]:
    """Train the face reader; returns the metrics of the last validation.

    Raises:
        DataError: a folder of faces cannot be read.
        CheckpointError: the teacher cannot be loaded.
    """
    weights, teacher = config.data.weights, None
    sets = [load_faces(root) for root in config.data.root]
    training, validation = zip(*(crops.split() for crops in sets), strict=True)

    seed_step(config.seed, 0)
    model = SyntheticFaceReader(config.model)
    sources = [{"source": crops.source, "licence": crops.licence} for crops in sets]
    some = sample_features(training, weights, config.seed)
    if config.teacher is None:
        fit_whitening(model, some)
    else:
        large = SyntheticFaceReader.from_pretrained(config.teacher)
        teacher = reduce_inputs(large, config.model, large.describe(some))
        copy_matching(teacher, model)
        inherited = read_metadata(config.teacher).extra.get("data", [])
        sources += [source for source in inherited if source not in sources]
    facts = {"data": sources, "faces": sum(len(crops) for crops in sets)}

    def export(path: Path, more: dict) -> None:
        save_checkpoint(path.with_suffix(".safetensors"), model, extra=facts | more)

    variance = torch.from_numpy(training[0].blendshapes.var(0))
    solver = Solver(
        config,
        FaceReaderObjective(model, variance, config.loss, teacher),
        train_set=DescribedFaces(model, training, weights),
        validation_set=DescribedFaces(model, [crops for crops in validation if len(crops)]),
        export=export,
        identity={"model": config.model, "loss": config.loss, "weights": weights, "teacher": config.teacher},
    )
    return solver.run()
