"""Agreement of generated with real lips, against baselines that use no sound or only its loudness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.data.shards import Clip
from emotalker.evaluation.lipsync import correlation, log_energy
from emotalker.evaluation.motion import Performance
from emotalker.evaluation.tables import markdown_table
from emotalker.face.model import FaceModel
from emotalker.face.topology import EYE_CORNERS, INNER_LIPS

ENERGY_CLIPS = 200  # training clips on which the energy baseline is scaled


class MouthOpening:
    """jawOpen, and the distance of the inner lips as a fraction of the eye distance, on the average head.

    Args:
        model: the head.
    """

    names = ("jawOpen", "lip gap")

    def __init__(self, model: FaceModel):
        middle = slice(3, 8)  # as lipsync.lip_gap
        upper, lower = INNER_LIPS.upper[middle], INNER_LIPS.lower[middle]
        right, left = model.landmark_mean[EYE_CORNERS].reshape(2, 2, 3).mean(1)
        scale = np.linalg.norm(left - right)
        self._rest = (model.landmark_mean[upper] - model.landmark_mean[lower]) / scale
        self._blendshapes = (model.landmark_blendshapes[:, upper] - model.landmark_blendshapes[:, lower]) / scale

    def __call__(self, motion: np.ndarray) -> np.ndarray:
        """``(T, D)`` of the arkit space to ``(T, 2)``."""
        between = self._rest + np.tensordot(motion[:, ARKIT.expression], self._blendshapes, 1)
        gap = np.linalg.norm(between, axis=-1).mean(-1)
        return np.stack([motion[:, ARKIT.index("jawOpen")], gap], 1)


def scale_energy(clips: Sequence[Clip], opening: MouthOpening) -> np.ndarray:
    """The least-squares line from a frame's log energy to the opening of the mouth: ``(2, 2)`` slopes and offsets."""
    chosen = [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, ENERGY_CLIPS).round().astype(int))]
    energy = np.concatenate([log_energy(clip.audio, clip.frames) for clip in chosen])
    target = np.concatenate([opening(clip.motion) for clip in chosen])
    line = np.stack([energy, np.ones_like(energy)], 1)
    return np.linalg.lstsq(line, target, rcond=None)[0]


def others_motion(performances: Sequence[Performance], seed: int = 0) -> list[np.ndarray]:
    """Per clip the real motion ``(T', D)`` of another one of the same speaker; its own if there is no other."""
    by_speaker: dict[str, list[int]] = {}
    for i, performance in enumerate(performances):
        by_speaker.setdefault(performance.clip.speaker, []).append(i)
    partner = list(range(len(performances)))
    rng = np.random.default_rng(seed)
    for members in by_speaker.values():
        order = rng.permutation(members)
        for one, other in zip(order, np.roll(order, 1), strict=True):  # a cycle: no clip keeps its own
            partner[one] = int(other)
    return [performances[i].real for i in partner]


def lip_scores(performances: Sequence[Performance], training: Sequence[Clip], opening: MouthOpening) -> dict[str, np.ndarray]:
    """Correlation with the real mouth and root mean square error, by method.

    Args:
        performances: of the evaluated clips.
        training: clips to which the mean face and the scale of the energy are fitted.

    Returns:
        per method ``(N, 2, 2)``: clip, jawOpen or lip gap, correlation or error. A mouth that never moves correlates by 0.
    """
    line = scale_energy(training, opening)
    mean = np.mean([clip.motion.mean(0) for clip in training], axis=0, dtype=np.float64)[None]
    others = others_motion(performances)
    scores: dict[str, list[np.ndarray]] = {}
    for performance, other in zip(performances, others, strict=True):
        truth = opening(performance.real)
        energy = log_energy(performance.clip.audio, len(truth))
        methods = {
            "generated": opening(performance.generated),
            "mean face": opening(mean).repeat(len(truth), 0),
            "another clip's motion": opening(other),
            "energy scaled": energy[:, None] * line[0] + line[1],
        }
        for name, made in methods.items():
            n = min(len(made), len(truth))
            found = [np.nan_to_num(correlation(made[:, k], truth[:, k])) for k in range(2)]
            error = np.sqrt(np.square(made[:n] - truth[:n]).mean(0))
            scores.setdefault(name, []).append(np.stack([found, error], 1))
    return {name: np.stack(values) for name, values in scores.items()}


def lip_table(scores: dict[str, np.ndarray]) -> str:
    """:func:`lip_scores` averaged over clips; the last columns: fraction of clips on which the generated lips correlate
    better."""
    header = ["", "jawOpen r", "jawOpen RMSE", "lip gap r", "lip gap RMSE", "ahead: jawOpen", "ahead: lip gap"]
    ours = scores["generated"]
    rows = []
    for name, values in scores.items():
        mean = values.mean(0)
        ahead = ["", ""] if name == "generated" else [f"{s:.0%}" for s in (ours > values)[:, :, 0].mean(0)]
        rows.append([name, *(float(v) for v in mean.ravel()), *ahead])
    return markdown_table(header, rows)
