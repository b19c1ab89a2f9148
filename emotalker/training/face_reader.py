"""Training the face reader, the tracker's second look at the picture."""

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
from emotalker.synthetic.dataset import FaceCuts, load_faces
from emotalker.synthetic.films import LEADING_BLENDSHAPES
from emotalker.synthetic.observation import MIRRORED_POINTS, FaceFeatures, extract_features
from emotalker.synthetic.reader import FaceReaderConfig, SyntheticFaceReader
from emotalker.training.sampling import Key, seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import solver_config

#: How much more often a face whose mouth does something is shown, at most: there are many such movements, so each is rare.
MOUTH_EMPHASIS = 2.0
LEADING_WEIGHT = 4.0  # of LEADING_BLENDSHAPES: what is looked at first in a face, against what hardly shows
MIN_VARIANCE = 1e-3  # of an blendshape; rarer ones weigh no more
WHITENING_FACES = 12_000
PICTURE_DAMPING, LANDMARK_DAMPING = 0.3, 0.05
MIN_CONTEXT = 6  # frames whose average is taken for a shot's
BATCH = 32  # faces described at a time: few enough for a processor's cache


class DescribedFaces(Dataset):
    """Faces as the network gets them: ``described (D,)``, ``context (D,)``, ``blendshapes (52,)``, ``shifts (P, 2)``, and
    ``synthetic ()``, 1 for synthetic faces and 0 for photographs.

    Args:
        model: describes them, its whitening learnt.
        sets: the faces.
        weights: how often each set is drawn from in training; None asks every face once, in the context of all of the
            person's frames. In training the context is that of some of them at random.
    """

    def __init__(self, model: SyntheticFaceReader, sets: Sequence[FaceCuts], weights: Sequence[float] | None = None):
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)
        mouth = [i for i, name in enumerate(ARKIT_BLENDSHAPES) if name.startswith("mouth")]
        self._views = [_described(model, cuts, with_mirror=weights is not None) for cuts in sets]
        self._labels = [self._with_mirrored(cuts) for cuts in sets]
        self._synthetic = [cuts.synthetic for cuts in sets]
        self._emphasis = [np.cumsum(1 + MOUTH_EMPHASIS * cuts.blendshapes[:, mouth].max(1)) for cuts in sets]
        self._ends = np.cumsum([len(cuts) for cuts in sets])
        self._context = []
        for cuts in sets:
            _, which = np.unique(cuts.person, return_inverse=True)
            frames = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
            self._context.append([frames[i] for i in which])

    @staticmethod
    def _with_mirrored(cuts: FaceCuts) -> list[tuple[np.ndarray, np.ndarray]]:
        """Blendshapes and shifts of the faces, and of the mirrored ones."""
        blendshapes, shifts = cuts.blendshapes, (cuts.true - cuts.found).astype(np.float16)
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
def _described(model: SyntheticFaceReader, cuts: FaceCuts, with_mirror: bool) -> list[np.ndarray]:
    """Descriptions ``(N, D)`` float16 of the faces, and of the mirrored ones."""
    views = ([], [])
    for start in range(0, len(cuts), BATCH):
        seen = _seen(cuts, np.arange(start, min(start + BATCH, len(cuts))))
        views[0].append(model.describe(seen).half())
        if with_mirror:
            views[1].append(model.describe(seen.mirrored()).half())
    return [torch.cat(parts).numpy() for parts in views if parts]


def _seen(cuts: FaceCuts, chosen: np.ndarray) -> FaceFeatures:
    return extract_features(cuts.image[chosen], cuts.found[chosen], cuts.scores[chosen])


class FaceReaderObjective(Objective):
    """Of synthetic faces, mean square error of the blendshapes as a share of their variance, and smooth L1 of the points' shifts; of
    all, cross-entropy of whether they are synthetic.

    Args:
        model: the network.
        variance: ``(52,)`` of the blendshapes.
        shift: weight of the second loss.
        noise: standard deviation of what is added to descriptions in training.
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
        if not self.training:  # each member learns alone, and all read together
            blendshapes, shifts = blendshapes.mean(0, keepdim=True), shifts.mean(0, keepdim=True)
        counts = batch["synthetic"] / batch["synthetic"].sum().clamp(min=1)
        # Squares, as most blendshapes rest in most frames: absolute errors are least if all are said to rest always. A product
        # with counts and its sum, as a matrix product would be rounded to bf16 under mixed precision.
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


def _learn_whitening(model: SyntheticFaceReader, sets: Sequence[FaceCuts], weights: Sequence[float], seed: int) -> None:
    """From some faces of all sets, by their weights."""
    rng, seen = np.random.default_rng(seed), []
    for cuts, weight in zip(sets, np.asarray(weights) / np.sum(weights), strict=True):
        chosen = rng.integers(len(cuts), size=round(WHITENING_FACES * weight))
        seen += [_seen(cuts, part) for part in np.array_split(chosen, len(chosen) // BATCH + 1)]
    mouth, eyes, landmarks = (torch.cat(parts) for parts in zip(*seen, strict=True))
    model.of_mouth.learn(mouth, PICTURE_DAMPING)
    model.of_eye.learn(eyes.flatten(0, 1), PICTURE_DAMPING)
    model.of_landmarks.learn(landmarks, LANDMARK_DAMPING)
