"""Single faces with known actions, for the face reader: folders of ``.npz`` files, and a ``faces.json`` that says whence.

Each file holds N cuts of :mod:`emotalker.tracking.face_reader` from a few people: ``image (N, 128, 128)`` uint8; ``found``
and ``true (N, 478, 2)``, MediaPipe's landmarks and what they should be, in the cut's pixels; ``scores`` and ``actions (N,
52)``; ``person (N,)``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from emotalker.data.shards import is_held_out
from emotalker.errors import DataError
from emotalker.files import replace_on_success
from emotalker.tracking.face_look import READ_POINTS

HEADER = "faces.json"
HEADER_FIELDS = ("drawn", "source", "licence")


@dataclass
class FaceCuts:
    """Attributes:
    image: ``(N, 128, 128)`` uint8.
    found, true: ``(N, P, 2)`` READ_POINTS in the cut's pixels.
    scores, actions: ``(N, 52)``.
    person: ``(N,)``.
    drawn: they are no photographs, and ``true`` and ``actions`` are the truth.
    source, licence: of the pictures.
    """

    image: np.ndarray
    found: np.ndarray
    true: np.ndarray
    scores: np.ndarray
    actions: np.ndarray
    person: np.ndarray
    drawn: bool
    source: str = ""
    licence: str = ""

    def __len__(self) -> int:
        return len(self.image)

    def split(self) -> tuple[FaceCuts, FaceCuts]:
        """What is for training, and a tenth of the people, for validation."""
        held_out = np.array([is_held_out(f"{self.source}/{person}") for person in self.person])
        return self._chosen(~held_out), self._chosen(held_out)

    def _chosen(self, mask: np.ndarray) -> FaceCuts:
        arrays = {name: getattr(self, name)[mask] for name in ARRAYS}
        return FaceCuts(**arrays, drawn=self.drawn, source=self.source, licence=self.licence)


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
