"""The supplement's figures from this project's weights and the corpora at hand (``scripts/figures.py``)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emotalker.coefficients import ARKIT
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError, MissingExtraError
from emotalker.core.files import replace_on_success
from emotalker.data import Clip
from emotalker.face.model import FaceModel
from emotalker.models.vqvae import VQVAE
from emotalker.render.mesh_renderer import Head, MeshRenderer
from emotalker.video.sheet import draw_label, frame_grid

#: Codes around the one that is shown, so that the decoder sees it in a constant context.
_CONTEXT = 8
#: Random assignments of the labels to the clips, for the purity that chance gives.
_SHUFFLES = 20


def identity_sheet(
    motion: np.ndarray, heads: Mapping[str, Head], frames: Sequence[int], size: int = 256, width: int = 200
) -> np.ndarray:
    """One sentence on several heads (supplement, Fig. 3): a row for each head, a column for each frame.

    Args:
        motion: ``(T, 58)`` of ARKIT.
        heads: by the label of their row.
        frames: to show.
        size, width: of a rendered frame and of a cell, pixels.

    Returns:
        ``(rows * width, columns * width, 3)`` uint8 RGB.
    """
    rows = []
    for name, head in heads.items():
        row = frame_grid(list(MeshRenderer(head, size).render(motion[list(frames)])), len(frames), width)
        draw_label(row, name)
        rows.append(row)
    return np.concatenate(rows)


@dataclass(frozen=True)
class CodeUse:
    """Which codes the clips of each emotion are made of.

    Attributes:
        counts: ``(K, 8)`` how often each code occurs in clips of each emotion.
        purity: mean, over occurrences, of the share of the code's commonest emotion, the emotions weighted equally.
        chance: the same with the labels shuffled among the clips.
    """

    counts: np.ndarray
    purity: float
    chance: float

    @classmethod
    def measure(cls, vqvae: VQVAE, clips: Sequence[Clip]) -> CodeUse:
        """Encode labelled clips; DataError if there is none."""
        clips = [clip for clip in clips if clip.label >= 0]
        if not clips:
            raise DataError("no clip has an emotion; give a corpus with labels")
        face = clips[0].corpus.space.face
        with torch.inference_mode():
            codes = [vqvae.encode(torch.from_numpy(clip.motion[None, :, face]))[0][0].numpy() for clip in clips]
        size = vqvae.config.codebook_size
        rows = np.stack([np.bincount(code, minlength=size) for code in codes])
        labels = np.array([clip.label for clip in clips])
        rng = np.random.default_rng(0)
        chance = np.mean([_purity(_by_emotion(rows, rng.permutation(labels))) for _ in range(_SHUFFLES)])
        counts = _by_emotion(rows, labels)
        return cls(counts, _purity(counts), float(chance))

    @property
    def perplexity(self) -> float:
        """Of the codes' frequencies: how many are effectively used."""
        share = self.counts.sum(1) / self.counts.sum()
        share = share[share > 0]
        return float(np.exp(-(share * np.log(share)).sum()))

    @property
    def emotion_of_code(self) -> np.ndarray:
        """``(K,)`` the commonest emotion of each code, -1 for a code that is not used."""
        return np.where(self.counts.sum(1) > 0, _balanced(self.counts).argmax(1), -1)

    def centroids(self, codebook: np.ndarray) -> dict[str, np.ndarray]:
        """Mean vector of the codes of every emotion, weighted by their frequency; emotions without a code are left out.

        Args:
            codebook: ``(K, C)``.
        """
        balanced, owner, found = _balanced(self.counts), self.emotion_of_code, {}
        for label, emotion in enumerate(EMOTIONS):
            weight = np.where(owner == label, balanced[:, label], 0)
            if weight.any():
                found[emotion] = weight @ codebook / weight.sum()
        return found


def _by_emotion(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.stack([rows[labels == label].sum(0) for label in range(len(EMOTIONS))], 1)


def _balanced(counts: np.ndarray) -> np.ndarray:
    """``(K, 8)`` frequency of each code within each emotion."""
    return counts / np.maximum(counts.sum(0), 1)


def _purity(counts: np.ndarray) -> float:
    balanced = _balanced(counts)
    return float(balanced.max(1).sum() / balanced.sum())


def faces_of(vqvae: VQVAE, vectors: Mapping[str, np.ndarray], model: FaceModel, size: int = 256) -> dict[str, np.ndarray]:
    """What code vectors ``(C,)`` decode to, on the average head (supplement, Fig. 4): ``(size, size, 3)`` uint8 each.

    The codes have no lips, which stay at rest.
    """
    renderer, frames = MeshRenderer(Head.average(model), size), {}
    for name, vector in vectors.items():
        codes = torch.from_numpy(vector.astype(np.float32)).expand(1, 2 * _CONTEXT + 1, -1)
        with torch.inference_mode():
            decoded = vqvae.decode(codes)[0].numpy()
        motion = np.zeros((1, ARKIT.dim), np.float32)
        motion[0, ARKIT.face] = decoded[len(decoded) // 2]
        (frames[name],) = renderer.render(motion)
    return frames


def save_codebook_figure(path: str | os.PathLike, vqvae: VQVAE, use: CodeUse, model: FaceModel) -> Path:
    """Heads of the emotions' centroids, the usage of the codes, and a map of them by their two main directions.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    figure = _figure((12, 7))
    codebook = vqvae.quantizer.codebook.numpy()
    faces = faces_of(vqvae, use.centroids(codebook), model)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 2))
    for panel, (name, face) in zip(np.atleast_1d(top.subplots(1, len(faces))), faces.items(), strict=True):
        panel.imshow(face)
        panel.set_title(name, fontsize=9)
        panel.set_axis_off()
    left, right = bottom.subplots(1, 2)
    usage = np.sort(use.counts.sum(1))[::-1]
    left.bar(np.arange(len(usage)), usage, width=1.0)
    left.set_yscale("symlog", linthresh=1)
    left.set_xlabel("codes, the most frequent first")
    left.set_ylabel("occurrences")
    left.set_title(f"{(usage > 0).sum()} of {len(usage)} codes occur, perplexity {use.perplexity:.0f}", fontsize=9)
    owner, total = use.emotion_of_code, use.counts.sum(1)
    used = codebook[owner >= 0]
    directions = np.linalg.svd(used - used.mean(0), full_matrices=False)[2][:2]
    places = (codebook - used.mean(0)) @ directions.T
    for label, emotion in enumerate(EMOTIONS):
        mine = owner == label
        if mine.any():
            right.scatter(*places[mine].T, s=4 + 60 * np.sqrt(total[mine] / total.max()), label=emotion, alpha=0.7)
    right.legend(fontsize=7)
    right.set_title(f"codes by their commonest emotion: purity {use.purity:.2f}, by chance {use.chance:.2f}", fontsize=9)
    return _save(figure, path)


def pitch_by_emotion(clips: Sequence[Clip]) -> dict[str, np.ndarray]:
    """Mean pitch of the head of every labelled clip, degrees, positive downwards, by emotion."""
    found: dict[str, list[float]] = {}
    for clip in clips:
        if clip.emotion is not None:
            pitch = clip.motion[:, clip.corpus.space.index("pitch")]
            found.setdefault(clip.emotion, []).append(float(np.degrees(pitch.mean())))
    return {emotion: np.array(found[emotion]) for emotion in EMOTIONS if emotion in found}


def save_pitch_figure(path: str | os.PathLike, corpora: Mapping[str, Mapping[str, np.ndarray]]) -> Path:
    """How far heads are raised in each emotion (supplement, Fig. 5): a panel for each corpus.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
        DataError: no clip has an emotion.
    """
    corpora = {name: pitches for name, pitches in corpora.items() if pitches}
    if not corpora:
        raise DataError("no clip has an emotion; give a corpus with labels")
    figure = _figure((5 * len(corpora), 4))
    for panel, (name, pitches) in zip(
        np.atleast_1d(figure.subplots(1, len(corpora), sharey=True)), corpora.items(), strict=True
    ):
        panel.axhline(0, color="0.8", linewidth=0.8)
        panel.boxplot([-values for values in pitches.values()], showfliers=False)
        panel.set_xticks(range(1, len(pitches) + 1), [f"{k}\n{len(v)}" for k, v in pitches.items()], fontsize=7)
        panel.set_title(name, fontsize=9)
    figure.supylabel("head raised, degrees", fontsize=9)
    return _save(figure, path)


def diversity(motions: Sequence[np.ndarray]) -> float:
    """How much samples of one sentence differ: root mean square of the distance between pairs, per coefficient.

    Args:
        motions: two or more of ``(T, D)``.
    """
    stacked = np.stack(motions)
    # Mean squared distance of pairs of independent samples: twice the unbiased variance.
    return float(np.sqrt(2 * stacked.var(0, ddof=1).mean()))


def _figure(size: tuple[float, float]):
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib; install it with: pip install 'emotalker[plot]'") from error
    figure = Figure(size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path: str | os.PathLike) -> Path:
    with replace_on_success(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return Path(path)
