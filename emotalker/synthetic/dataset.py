"""Single faces with known blendshapes, for the face reader: folders of ``.npz`` files, and a ``faces.json`` that says whence.

Each file holds N cuts of :mod:`emotalker.synthetic.reader` from a few people: ``image (N, 128, 128)`` uint8; ``found``
and ``true (N, 478, 2)``, MediaPipe's landmarks and what they should be, in the cut's pixels; ``scores`` and ``blendshapes (N,
52)``; ``person (N,)``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.splits import split_of_name
from emotalker.synthetic.observation import READ_POINTS

HEADER = "faces.json"
HEADER_FIELDS = ("synthetic", "source", "licence")


@dataclass
class FaceCuts:
    """Attributes:
    image: ``(N, 128, 128)`` uint8.
    found, true: ``(N, P, 2)`` READ_POINTS in the cut's pixels.
    scores, blendshapes: ``(N, 52)``.
    person: ``(N,)``.
    drawn: they are no photographs, and ``true`` and ``blendshapes`` are the truth.
    source, licence: of the pictures.
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

    def split(self) -> tuple[FaceCuts, FaceCuts]:
        """What is for training, and a tenth of the people, for validation."""
        # evaluation draws people of its own, so none are set apart for it here
        splits = np.array([split_of_name(f"{self.source}/{person}", test=0.0, validation=0.1) for person in self.person])
        return self._chosen(splits == "train"), self._chosen(splits == "val")

    def _chosen(self, mask: np.ndarray) -> FaceCuts:
        arrays = {name: getattr(self, name)[mask] for name in ARRAYS}
        return FaceCuts(**arrays, synthetic=self.synthetic, source=self.source, licence=self.licence)


ARRAYS = tuple(field.name for field in fields(FaceCuts) if field.name not in HEADER_FIELDS)


def load_faces(root: str | os.PathLike) -> FaceCuts:
    """Read a folder; DataError if it is none or a file is damaged."""
    root = Path(root)
    try:
        header = json.loads((root / HEADER).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{root} is no folder of faces ({error}); write one with scripts/prepare_faces.py") from error
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    for path in sorted(root.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as file:
                for name, values in parts.items():
                    values.append(file[name][:, READ_POINTS] if name in ("found", "true") else file[name])
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise DataError(f"{path} is damaged ({error}); delete it and prepare the faces again") from error
    if not parts["image"]:
        raise DataError(f"{root} holds no faces; write some with scripts/prepare_faces.py")
    return FaceCuts(**{name: np.concatenate(values) for name, values in parts.items()}, **header)


def save_faces(path: str | os.PathLike, cuts: list[dict[str, np.ndarray]]) -> None:
    """Write one file of cuts, each a dict of the arrays named above without N; whole or not at all."""
    with replace_on_success(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: np.stack([cut[name] for cut in cuts]) for name in cuts[0]})
