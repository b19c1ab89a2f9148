"""The 3-D protocol: generated against real motion on the vertices of the head model (docs/method.md 8)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from emotalker.core.progress import progress_bar
from emotalker.data.shards import Clip
from emotalker.evaluation.evaluate import write_text
from emotalker.evaluation.metrics.vertices import MEASURES, FaceVertices, vertex_measures
from emotalker.evaluation.motion import choose_clips, neutral_references, open_corpus
from emotalker.evaluation.tables import latex_table, markdown_table
from emotalker.face.model import FaceModel
from emotalker.inference.generator import MotionGenerator

HEADINGS = ("LVE, mm² ↓", "MVE, mm ↓", "FDD, mm² → 0", "MEE, mm² ↓", "CE, mm² ↓", "diversity, mm")
CLIPS = 40  # of the test split, unless given


def vertex_report(
    root: Path,
    clips: int | None = None,
    samples: int = 1,
    checkpoints: str | os.PathLike | None = None,
    seed: int = 0,
    output: Path | None = None,
) -> str:
    """Generate test clips of a prepared corpus and compare vertices; returns Markdown, and writes it with ``vertices.tex``.

    Args:
        root: prepared corpus of blendshapes with sound.
        clips: at most; CLIPS by default.
        samples: motions of each clip.
        output: folder.

    Raises:
        DataError: the corpus cannot be used.
    """
    corpus = open_corpus(str(root))
    chosen = choose_clips(corpus.split("test"), clips or CLIPS)
    generator, vertices = MotionGenerator.from_pretrained(checkpoints), FaceVertices(FaceModel.load())
    references = neutral_references(corpus)
    rows: dict[str, list[np.ndarray]] = {}
    with progress_bar() as progress:
        for n, clip in enumerate(progress.track(chosen, description="generating")):
            reference = references.get(clip.speaker, np.zeros(corpus.space.dim, np.float32))
            made = [
                generator.generate(clip.audio, reference, seed=seed + n * samples + k).coefficients for k in range(samples)
            ]
            for name, measured in clip_rows(made, clip, reference, vertices).items():
                rows.setdefault(name, []).append(measured)
    text = write_report(rows, chosen, str(corpus.root), samples, vertices)
    if output is not None:
        write_text(output / "vertices" / "report.md", text)
        write_text(output / "vertices" / "vertices.tex", vertex_table(rows, latex=True))
    return text


def clip_rows(made: Sequence[np.ndarray], clip: Clip, reference: np.ndarray, vertices: FaceVertices) -> dict[str, np.ndarray]:
    """MEASURES of one clip by method: generated, and two baselines that hear nothing.

    Args:
        made: samples ``(T, D)``.
        clip: with its real motion.
        reference: ``(D,)`` the speaker's neutral face.
        vertices: of the head.
    """
    real = vertices.displacement(clip.motion)
    methods = {
        "generated": list(made),
        "neutral face": [np.broadcast_to(reference, clip.motion.shape)],
        "real mean face of the clip": [np.broadcast_to(clip.motion.mean(0), clip.motion.shape)],
    }
    return {
        name: vertex_measures([vertices.displacement(m) for m in motions], real, vertices.lips, vertices.upper)
        for name, motions in methods.items()
    }


def vertex_table(rows: Mapping[str, Sequence[np.ndarray]], latex: bool = False) -> str:
    """Means over clips by method; MEE, CE and diversity of one sample are left out."""
    cells = []
    for name, values in rows.items():
        mean = np.mean(values, 0)
        if np.isnan(mean[MEASURES.index("diversity")]):
            mean = np.where(np.isin(MEASURES, ("LVE", "MVE", "FDD")), mean, np.nan)
        cells.append([name, *map(float, mean)])
    return (latex_table if latex else markdown_table)(["", *HEADINGS], cells, 4)


def write_report(
    rows: Mapping[str, Sequence[np.ndarray]], clips: Sequence[Clip], root: str, samples: int, vertices: FaceVertices
) -> str:
    """The table with what it can and cannot show."""
    people = len({clip.speaker for clip in clips})
    note = (
        f"{len(clips)} test clips of {people} speaker{'s' * (people != 1)} of {Path(root).name}, {samples} sample"
        f"{'s' * (samples != 1)} of each. ProbTalk3D's definitions (arXiv:2409.07966) on {len(vertices.face)} face vertices "
        f"of this project's head model, of which {len(vertices.lips)} are lips and {len(vertices.upper)} upper face, without "
        "head pose; LVE, MVE and FDD are of the first sample. Published values are on FLAME's mesh in metres and of other "
        "corpora: they are not comparable. The real motion is fitted to landmarks or scores, so its own error is in every "
        "row. FDD: positive where the upper face moves less than the real one. The mean face knows the clip and hears "
        "nothing: an error above its own means that the generated face is farther from the real one than a face that does "
        "not move."
    )
    return "\n\n".join(["## Vertices in 3-D", vertex_table(rows), note])
