"""Prepared training data of the face reader: folders of ``.npz`` files with face crops, and ``faces.json`` with their source.

Each file contains N crops of :mod:`emotalker.synthetic.observation` of a few people: ``image (N, 128, 128)`` uint8;
MediaPipe's landmarks ``found`` and the target landmarks ``true``, both ``(N, 478, 2)`` in pixels of the crop; MediaPipe's
``scores`` and the target ``blendshapes``, both ``(N, 52)``; ``person (N,)``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from emotalker.core.arrays import open_arrays
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.splits import split_of_name
from emotalker.synthetic.observation import READ_POINTS

HEADER = "faces.json"
HEADER_FIELDS = ("synthetic", "source", "licence")


@dataclass
class FaceCrops:
    """Face crops with labels.

    Attributes:
        image: ``(N, 128, 128)`` uint8.
        found, true: ``(N, P, 2)`` READ_POINTS in pixels of the crop, of MediaPipe and of the ground truth.
        scores, blendshapes: ``(N, 52)`` of MediaPipe and of the ground truth.
        person: ``(N,)`` number of the person.
        synthetic: True for synthetic faces, whose labels are exact; False for photographs, whose labels are estimates.
        source, licence: of the images.
    """

    image: np.ndarray
    found: np.ndarray
    true: np.ndarray
    scores: np.ndarray
    blendshapes: np.ndarray
    person: np.ndarray
    synthetic: bool
    source: str = ""
    licence: str = ""

    def __len__(self) -> int:
        return len(self.image)

    def split(self) -> tuple[FaceCrops, FaceCrops]:
        """The crops for training and for validation; about a tenth of the people are for validation."""
        # no test split: the tracker is evaluated on other synthetic people (scripts/evaluate_tracker.py)
        splits = np.array([split_of_name(f"{self.source}/{person}", test=0.0, validation=0.1) for person in self.person])
        return self._subset(splits == "train"), self._subset(splits == "val")

    def _subset(self, mask: np.ndarray) -> FaceCrops:
        arrays = {name: getattr(self, name)[mask] for name in ARRAYS}
        return FaceCrops(**arrays, synthetic=self.synthetic, source=self.source, licence=self.licence)


ARRAYS = tuple(field.name for field in fields(FaceCrops) if field.name not in HEADER_FIELDS)


def load_faces(root: str | os.PathLike) -> FaceCrops:
    """Read a folder of prepared faces; DataError if it is missing or empty, or if a file is damaged."""
    root = Path(root)
    try:
        header = json.loads((root / HEADER).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{root} is not a folder of faces ({error}); write one with scripts/prepare_faces.py") from error
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    for path in sorted(root.glob("*.npz")):
        with open_arrays(path, "{path} is damaged ({reason}); delete it and prepare the faces again", limit=1 << 35) as file:
            for name, values in parts.items():
                values.append(file[name][:, READ_POINTS] if name in ("found", "true") else file[name])
    if not parts["image"]:
        raise DataError(f"{root} contains no faces; write some with scripts/prepare_faces.py")
    return FaceCrops(**{name: np.concatenate(values) for name, values in parts.items()}, **header)


def save_faces(path: str | os.PathLike, faces: list[dict[str, np.ndarray]]) -> None:
    """Write one file atomically.

    Args:
        path: ``.npz`` file.
        faces: at least one; each maps the array names of the module's docstring to arrays without the N axis.
    """
    with replace_on_success(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: np.stack([face[name] for face in faces]) for name in faces[0]})
