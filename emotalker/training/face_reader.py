"""Training of the face reader, which predicts the motion of synthetic faces in the tracker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from emotalker.coefficients import ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES
from emotalker.core.checkpoint import save_checkpoint
from emotalker.synthetic.dataset import FaceCrops, load_faces
from emotalker.synthetic.films import LEADING_BLENDSHAPES
from emotalker.synthetic.observation import MIRRORED_POINTS, FaceFeatures, extract_features
from emotalker.synthetic.reader import FaceReaderConfig, SyntheticFaceReader
from emotalker.training.sampling import Key, seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import solver_config

#: Sampling weight 1 + MOUTH_EMPHASIS * (largest mouth blendshape) of a face: each of the many mouth movements is rare.
MOUTH_EMPHASIS = 2.0
LEADING_WEIGHT = 4.0  # loss weight of LEADING_BLENDSHAPES relative to the others
MIN_VARIANCE = 1e-3  # of a blendshape, the lower limit in the loss weights
WHITENING_FACES = 12_000
PICTURE_DAMPING, LANDMARK_DAMPING = 0.3, 0.05
MIN_CONTEXT = 6  # fewest context frames in training
BATCH = 32  # faces per forward pass, few enough for a processor's cache


class DescribedFaces(Dataset):
    """Training examples: descriptors ``described (D,)`` and ``context (D,)``, ``blendshapes (52,)``, ``shifts (P, 2)``, and
    ``synthetic ()``, 1 for synthetic faces and 0 for photographs.

    Args:
        model: computes the descriptors; its whitening is fitted.
        sets: the faces.
        weights: sampling weights of the sets, for training: faces are sampled and mirrored at random, and the context is the
            mean over a random subset of the person's frames. None, for validation: every face once, with the mean over all of
            the person's frames as context.
    """

    def __init__(self, model: SyntheticFaceReader, sets: Sequence[FaceCrops], weights: Sequence[float] | None = None):
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)
        mouth = [i for i, name in enumerate(ARKIT_BLENDSHAPES) if name.startswith("mouth")]
        self._views = [_described(model, crops, with_mirror=weights is not None) for crops in sets]
        self._labels = [self._with_mirrored(crops) for crops in sets]
        self._synthetic = [crops.synthetic for crops in sets]
        self._emphasis = [np.cumsum(1 + MOUTH_EMPHASIS * crops.blendshapes[:, mouth].max(1)) for crops in sets]
        self._ends = np.cumsum([len(crops) for crops in sets])
        self._context = []
        for crops in sets:
            _, which = np.unique(crops.person, return_inverse=True)
            frames = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
            self._context.append([frames[i] for i in which])

    @staticmethod
    def _with_mirrored(crops: FaceCrops) -> list[tuple[np.ndarray, np.ndarray]]:
        """Blendshapes and shifts of the faces, and of the mirrored faces."""
        blendshapes, shifts = crops.blendshapes, (crops.true - crops.found).astype(np.float16)
        return [
            (blendshapes, shifts),
            (blendshapes[:, MIRRORED_BLENDSHAPES], shifts[:, MIRRORED_POINTS] * np.float16([-1, 1])),
        ]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: Key) -> dict:
        rng = key.rng()
        if self.weights is None:
            which = int(np.searchsorted(self._ends, key.index, side="right"))
            item, view = key.index - int(self._ends[which]) + len(self._context[which]), 0
            context = self._context[which][item]
        else:
            which, view = int(rng.choice(len(self.weights), p=self.weights)), int(rng.integers(2))
            emphasis = self._emphasis[which]
            item = int(np.searchsorted(emphasis, rng.uniform(0, emphasis[-1])))
            context = self._context[which][item]
            count = int(rng.integers(min(MIN_CONTEXT, len(context)), len(context) + 1))
            context = context[rng.permutation(len(context))[:count]]
        described, (blendshapes, shifts) = self._views[which][view], self._labels[which][view]
        return {
            "described": described[item].astype(np.float32),
            "context": described[context].mean(0, dtype=np.float32),
            "blendshapes": blendshapes[item],
            "shifts": shifts[item].astype(np.float32),
            "synthetic": np.float32(self._synthetic[which]),
        }


@torch.inference_mode()
def _described(model: SyntheticFaceReader, crops: FaceCrops, with_mirror: bool) -> list[np.ndarray]:
    """Descriptors ``(N, D)`` float16 of the faces and, ``with_mirror``, of the mirrored faces."""
    views = ([], [])
    for start in range(0, len(crops), BATCH):
        features = _features(crops, np.arange(start, min(start + BATCH, len(crops))))
        views[0].append(model.describe(features).half())
        if with_mirror:
            views[1].append(model.describe(features.mirrored()).half())
    return [torch.cat(parts).numpy() for parts in views if parts]


def _features(crops: FaceCrops, chosen: np.ndarray) -> FaceFeatures:
    return extract_features(crops.image[chosen], crops.found[chosen], crops.scores[chosen])


class FaceReaderObjective(Objective):
    """Sum of three losses: for synthetic faces, the mean squared error of the blendshapes relative to their variance and the
    smooth L1 loss of the landmarks' shifts; for all faces, the cross-entropy of the classification as synthetic.

    Args:
        model: the network.
        variance: ``(52,)`` of the blendshapes.
        shift: weight of the second loss.
        noise: standard deviation of the noise added to descriptors in training.
    """

    def __init__(self, model: SyntheticFaceReader, variance: Tensor, shift: float, noise: float):
        super().__init__()
        self.model = model
        self.shift, self.noise = shift, noise
        precision = 1 / variance.clamp(min=MIN_VARIANCE)
        precision[[ARKIT_BLENDSHAPES.index(name) for name in LEADING_BLENDSHAPES]] *= LEADING_WEIGHT
        self.register_buffer("precision", precision * len(precision) / (precision * variance).sum(), persistent=False)

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        described = batch["described"]
        if self.training:
            described = described + self.noise * torch.randn_like(described)
        blendshapes, shifts, logits = self.model(described, batch["context"])
        if not self.training:  # members are trained separately; the ensemble predicts their mean
            blendshapes, shifts = blendshapes.mean(0, keepdim=True), shifts.mean(0, keepdim=True)
        counts = batch["synthetic"] / batch["synthetic"].sum().clamp(min=1)
        # Squared errors, because most blendshapes are 0 in most frames, so that a constant 0 minimises absolute errors. The
        # weighted mean is a product and a sum, because mixed precision would round a matrix product to bf16.
        blendshape = ((blendshapes - batch["blendshapes"]).square() * self.precision).mean((0, 2)).mul(counts).sum()
        truth = batch["shifts"].expand_as(shifts)
        shift = F.smooth_l1_loss(shifts, truth, beta=0.5, reduction="none").mean((0, 2, 3)).mul(counts).sum()
        kind = F.binary_cross_entropy_with_logits(logits, batch["synthetic"])
        return {
            "loss": blendshape + self.shift * shift + kind,
            "blendshape": blendshape,
            "shift": shift,
            "synthetic_accuracy": ((logits > 0) == (batch["synthetic"] > 0)).float().mean(),
        }


def train(config: dict) -> dict[str, float]:
    """Train from a composed configuration (``configs/face_reader.yaml``); returns the last validation's numbers."""
    data, loss = config["data"], config["loss"]
    sets = [load_faces(root) for root in data["root"]]
    seed_step(config["seed"], 0)
    model = SyntheticFaceReader(FaceReaderConfig.from_dict(config["model"]))
    taught, held_out = zip(*(cuts.split() for cuts in sets), strict=True)
    _learn_whitening(model, taught, data["weights"], config["seed"])
    facts = {"data": [{"source": s.source, "licence": s.licence} for s in sets], "faces": sum(len(s) for s in sets)}

    def export(path: Path, more: dict) -> None:
        save_checkpoint(path.with_suffix(".safetensors"), model, extra=facts | more)

    solver = Solver(
        solver_config(config),
        # the first set says how much each blendshape varies
        FaceReaderObjective(model, torch.from_numpy(taught[0].blendshapes.var(0)), loss["shift"], loss["noise"]),
        DescribedFaces(model, taught, data["weights"]),
        DescribedFaces(model, [cuts for cuts in held_out if len(cuts)]),
        export,
        {name: config[name] for name in ("model", "loss")} | {"weights": data["weights"]},
    )
    return solver.run()


def _learn_whitening(model: SyntheticFaceReader, sets: Sequence[FaceCrops], weights: Sequence[float], seed: int) -> None:
    """Fit the whitening to random faces of the sets, in proportion to the sets' weights."""
    rng, features = np.random.default_rng(seed), []
    for crops, weight in zip(sets, np.asarray(weights) / np.sum(weights), strict=True):
        chosen = rng.integers(len(crops), size=round(WHITENING_FACES * weight))
        features += [_features(crops, part) for part in np.array_split(chosen, len(chosen) // BATCH + 1)]
    mouth, eyes, landmarks = (torch.cat(parts) for parts in zip(*features, strict=True))
    model.of_mouth.fit(mouth, PICTURE_DAMPING)
    model.of_eye.fit(eyes.flatten(0, 1), PICTURE_DAMPING)
    model.of_landmarks.fit(landmarks, LANDMARK_DAMPING)
