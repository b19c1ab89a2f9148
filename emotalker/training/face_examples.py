"""Training examples of the face reader: features of synthetic faces and photographs, with blendshapes and landmark shifts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from emotalker.coefficients import ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES
from emotalker.synthetic.dataset import FaceCrops
from emotalker.synthetic.observation import MIRRORED_POINTS, FaceFeatures, extract_features
from emotalker.synthetic.reader import SyntheticFaceReader
from emotalker.training.sampling import Key

#: A face with full mouth movement is sampled up to this much more often: mouth movements are many, so each one is rare.
MOUTH_EMPHASIS = 2.0
WHITENING_FACES = 12_000
PICTURE_DAMPING, LANDMARK_DAMPING = 0.3, 0.05
MIN_CONTEXT = 6  # fewest frames whose average stands for a shot's
BATCH = 32  # faces encoded at a time; fits a processor's cache


class DescribedFaces(Dataset):
    """Inputs and targets of the network: ``described (D,)``, ``context (D,)``, ``blendshapes (52,)``, ``shifts (P, 2)``, and
    ``synthetic ()``, 1 for synthetic faces and 0 for photographs.

    Args:
        model: computes the features; its whitening is fitted.
        sets: the faces.
        weights: sampling weight of each set in training, where the context is the mean of randomly chosen frames of the
            person. None lists every face once, and the context is the mean of all of the person's frames.
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
    """Descriptions ``(N, D)`` float16 of the faces, and of the mirrored faces."""
    views = ([], [])
    for start in range(0, len(crops), BATCH):
        features = _features(crops, np.arange(start, min(start + BATCH, len(crops))))
        views[0].append(model.describe(features).half())
        if with_mirror:
            views[1].append(model.describe(features.mirrored()).half())
    return [torch.cat(parts).numpy() for parts in views if parts]


def _features(crops: FaceCrops, chosen: np.ndarray) -> FaceFeatures:
    return extract_features(crops.image[chosen], crops.found[chosen], crops.scores[chosen])


def sample_features(sets: Sequence[FaceCrops], weights: Sequence[float], seed: int) -> FaceFeatures:
    """Features of WHITENING_FACES faces sampled from all sets by their weights."""
    rng, features = np.random.default_rng(seed), []
    for crops, weight in zip(sets, np.asarray(weights) / np.sum(weights), strict=True):
        chosen = rng.integers(len(crops), size=round(WHITENING_FACES * weight))
        features += [_features(crops, part) for part in np.array_split(chosen, len(chosen) // BATCH + 1)]
    return FaceFeatures(*(torch.cat(parts) for parts in zip(*features, strict=True)))


def fit_whitening(model: SyntheticFaceReader, features: FaceFeatures) -> None:
    """Fit the model's principal components to the features of some faces."""
    model.of_mouth.fit(features.mouth, PICTURE_DAMPING)
    model.of_eye.fit(features.eyes.flatten(0, 1), PICTURE_DAMPING)
    model.of_landmarks.fit(features.landmarks, LANDMARK_DAMPING)
