"""Landmark distances between generated and real motion on the average head, projected to the 68 iBUG points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.data.shards import Clip
from emotalker.evaluation.metrics.landmark_distance import MEASURES, VARIANTS, landmark_distances
from emotalker.evaluation.motion import Performance
from emotalker.evaluation.tables import markdown_table
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.face.topology import IBUG_68

SIZE = 256  # pixels, of the paper's pictures
PIXELS_PER_CM = 10.0  # the face then fills about as much of the picture as in MEAD's crops


class LandmarkProjector:
    """The 68 points of a moving head in a picture of 256 x 256 pixels.

    Args:
        model: the head.
        identity: ``(I,)`` of the speaker, or None for the average head.
    """

    def __init__(self, model: FaceModel, identity: np.ndarray | None = None):
        self.camera = Camera.default(SIZE, SIZE)
        self.neutral = model.landmarks(identity)[IBUG_68]
        self.blendshapes = model.landmark_blendshapes[:, IBUG_68]
        middle = (self.neutral[:, :2].min(0) + self.neutral[:, :2].max(0)) / 2
        self.rest = np.array([*-middle, -self.camera.focal / PIXELS_PER_CM], np.float32)

    def __call__(self, motion: np.ndarray, still: bool = False) -> np.ndarray:
        """``(T, D)`` of the arkit space to ``(T, 68, 2)`` pixels; ``still`` leaves head motion out."""
        points = self.neutral + np.tensordot(motion[:, ARKIT.expression], self.blendshapes, 1)
        if not still:
            pose = motion[:, ARKIT.pose]
            points = points @ rotation_matrix(pose[:, :3]).transpose(0, 2, 1) + pose[:, None, 3:]
        return self.camera.project(points + self.rest)


def distance_scores(performances: Sequence[Performance], model: FaceModel) -> dict[str, np.ndarray]:
    """Distances from the real motion, by method: per method ``(N, 2, 2, 2)``: clip, with or without head motion, variant,
    measure.

    The static face is the generator's reference. The actor's mean is over all their real clips here and contains the mean
    pose, which the voice does not determine. Motion is therefore also measured with its own mean replaced by that one, and
    without head motion.
    """
    projector = LandmarkProjector(model)
    speakers = {p.clip.speaker for p in performances}

    def mean_of(made: Callable[[Performance], np.ndarray]) -> dict[str, np.ndarray]:
        return {s: np.concatenate([made(p) for p in performances if p.clip.speaker == s]).mean(0) for s in speakers}

    means, own = mean_of(lambda p: p.real), mean_of(lambda p: p.generated)
    names = ("generated", "generated, about the actor's mean", "generated, head still", "static face", "actor's mean")
    scores: dict[str, list[list[np.ndarray]]] = {name: [] for name in names}
    for performance in performances:
        still = performance.generated.copy()
        still[:, ARKIT.pose] = 0
        speaker = performance.clip.speaker
        placed = performance.generated - own[speaker] + means[speaker]
        motions = (performance.generated, placed, still, performance.reference[None], means[speaker][None])
        real = [projector(performance.real, still) for still in (False, True)]
        for method, motion in zip(scores, motions, strict=True):
            made = [np.broadcast_to(projector(motion, still), real[0].shape) for still in (False, True)]
            scores[method].append([landmark_distances(m, r) for m, r in zip(made, real, strict=True)])
    return {name: np.array(values) for name, values in scores.items()}


def summary_table(scores: dict[str, np.ndarray]) -> str:
    """Means over all clips, in pixels at 256."""
    kinds = [f"{m} {v}{s}" for s in ("", ", head still") for v in VARIANTS for m in MEASURES]
    return markdown_table(["", *kinds], [[name, *map(float, v.mean(0).ravel())] for name, v in scores.items()])


def level_tables(scores: dict[str, np.ndarray], clips: Sequence[Clip], variant: str = "absolute") -> str:
    """F-LMD and M-LMD by emotion and level, the layout of the supplement's Table 3, for every method."""
    words = list(dict.fromkeys(clip.original_emotion for clip in clips))
    levels = sorted({clip.level for clip in clips})
    tables = []
    for m, measure in enumerate(MEASURES):
        rows = []
        for level in levels:
            for name, values in scores.items():
                chosen = values[:, 0, VARIANTS.index(variant), m]
                cells = [_mean([d for d, c in zip(chosen, clips, strict=True) if (c.original_emotion, c.level) == (w, level)])
                         for w in words]  # fmt: skip
                rows.append([f"level {level}, {name}", *cells])
        tables.append(markdown_table([f"{measure}, {variant}", *words], rows))
    return "\n\n".join(tables)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
