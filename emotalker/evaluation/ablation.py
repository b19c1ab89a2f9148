"""The ablation of the performance steps (docs/method.md 9): what generated motion measures like without each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from emotalker.data.shards import Clip, Corpus
from emotalker.evaluation.emotion import RESTFUL, EmotionClassifier, neutral_means
from emotalker.evaluation.lips import MouthOpening
from emotalker.evaluation.lipsync import correlation
from emotalker.evaluation.motion import Performance, perform
from emotalker.evaluation.motion_statistics import brow_deviation, head_deviation
from emotalker.evaluation.sync import SyncMeter, corpus_offset
from emotalker.evaluation.tables import markdown_table
from emotalker.face.model import FaceModel
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.performance import PERFORMANCE, STEPS

ALL_ON, ALL_OFF, PUBLISHED = "every step", "no step", "no step, continuous decoding (published)"
HEADER = (
    "", "jawOpen r, GRID", "lip gap r, GRID", "jawOpen r, RAVDESS", "lip gap r, RAVDESS", "LSE-C at 0, GRID",
    "LSE-C at 0, RAVDESS", "emotion (8)", "emotion log-odds", "brows", "head (degrees)",
)  # fmt: skip


def variants() -> dict[str, dict]:
    """Arguments of :meth:`MotionGenerator.generate` by row of the table."""
    single = {f"without {step}": {"performance": PERFORMANCE.without(step)} for step in STEPS}
    off = {"performance": PERFORMANCE.without(*STEPS)}
    return {ALL_ON: {}, **single, ALL_OFF: off, PUBLISHED: off | {"decoding": "continuous"}}


@dataclass(frozen=True)
class AblationMeter:
    """Measures one variant.

    Attributes:
        opening: the mouth on the average head.
        meter: of lip sync.
        origins: offset of sound and picture in each corpus, in frames.
        classifier: of emotion, fitted to real motion of the training speakers.
    """

    opening: MouthOpening
    meter: SyncMeter
    origins: Mapping[str, int]
    classifier: EmotionClassifier

    def __call__(self, grid: Sequence[Performance], ravdess: Sequence[Performance]) -> list[float]:
        """The cells of HEADER after the first."""
        cells = [
            *self._mouth(grid),
            *self._mouth(ravdess),
            self._confidence(grid, "GRID"),
            self._confidence(ravdess, "RAVDESS"),
        ]
        clips, real = [p.clip for p in ravdess], [p.real for p in ravdess]
        reading = self.classifier.read(clips, [p.generated for p in ravdess], neutral_means(clips, real))
        odds = reading.log_odds()[[clip.original_emotion not in RESTFUL for clip in clips]]
        brows, head = (float(np.mean([f(p.generated) for p in ravdess])) for f in (brow_deviation, head_deviation))
        return [*cells, reading.accuracy()[0], float(odds.mean()), brows, head]

    def _mouth(self, performances: Sequence[Performance]) -> list[float]:
        """Mean correlation of jawOpen and of the lip gap with the real ones."""
        found = []
        for p in performances:
            made, real = self.opening(p.generated), self.opening(p.real)
            found.append([np.nan_to_num(correlation(made[:, k], real[:, k])) for k in range(2)])
        return np.mean(found, axis=0).tolist()

    def _confidence(self, performances: Sequence[Performance], corpus: str) -> float:
        scores = [self.meter(p.clip.audio, p.generated, self.origins[corpus]) for p in performances]
        return float(np.mean([score.confidence_in_sync for score in scores]))


def report(
    generator: MotionGenerator,
    clips: Mapping[str, Sequence[Clip]],
    corpora: Mapping[str, Corpus],
    meter: SyncMeter,
    seed: int = 0,
) -> str:
    """Generate every clip once per variant; one table as Markdown, with a row for the real motion.

    Args:
        clips, corpora: of GRID and RAVDESS, by these names.
        meter: of lip sync.
        seed: of :func:`~emotalker.evaluation.motion.perform`; the same for every variant.
    """
    training = corpora["RAVDESS"].split("train")
    classifier = EmotionClassifier(training, [clip.motion for clip in training])
    origins = {name: corpus_offset(meter, corpus.split("val")) for name, corpus in corpora.items()}
    measure = AblationMeter(MouthOpening(FaceModel.load()), meter, origins, classifier)
    rows, made = [], {}
    for name, options in variants().items():
        made = {c: perform(generator, corpora[c], chosen, f"{name}, {c}", seed, **options) for c, chosen in clips.items()}
        rows.append([name, *measure(made["GRID"], made["RAVDESS"])])
    real = {c: [replace(p, generated=p.real) for p in performances] for c, performances in made.items()}
    rows.append(["real motion", *measure(real["GRID"], real["RAVDESS"])])
    note = (
        f"{len(clips['GRID'])} clips of GRID, {len(clips['RAVDESS'])} of RAVDESS, each generated once per row with the same "
        "seed. r: mean correlation with the real motion at zero lag. LSE-C at 0: the sync judge's median distance less the "
        "distance at offset 0. Emotion (8): accuracy of a classifier of real motion; log-odds: of the true emotion against "
        "neutral and calm. Brows: standard deviation over a clip, and head: of the angles in degrees, both on RAVDESS."
    )
    return f"{markdown_table(HEADER, rows)}\n\n{note}"
