"""All measures of generated motion as one Markdown text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emotalker.data.shards import Clip, Corpus
from emotalker.evaluation import emotion, landmarks, lips, motion_statistics, sync
from emotalker.evaluation.motion import Performance, perform
from emotalker.face.model import FaceModel
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.performance import PERFORMANCE
from emotalker.models.transformer import Mode


def measure(
    generator: MotionGenerator,
    clips: Mapping[str, Sequence[Clip]],
    corpora: dict[str, Corpus],
    meter: sync.SyncMeter,
    split: str = "test",
    seed: int = 0,
    decoding: Mode = "sample",
) -> str:
    """Generate the motion of all clips and :func:`write` the report; the RAVDESS clips are generated a second time without
    the mean-expression correction.

    Args:
        clips, corpora: of GRID and RAVDESS, by these names.
        seed: of :func:`~emotalker.evaluation.motion.perform`.
    """
    performances = {
        name: perform(generator, corpora[name], chosen, name, seed, decoding=decoding) for name, chosen in clips.items()
    }
    options = {"decoding": decoding, "performance": PERFORMANCE.without("mean_correction")}
    uncorrected = perform(generator, corpora["RAVDESS"], clips["RAVDESS"], "RAVDESS, no correction", seed, **options)
    return write(performances, uncorrected, corpora, meter, FaceModel.load(), split)


def write(
    performances: dict[str, Sequence[Performance]],
    uncorrected: Sequence[Performance],
    corpora: dict[str, Corpus],
    meter: sync.SyncMeter,
    model: FaceModel,
    split: str = "test",
) -> str:
    """The whole report.

    Args:
        performances: of GRID and of RAVDESS, by these names.
        uncorrected: the RAVDESS clips again, generated without the mean-expression correction.
        corpora: of the same names; baselines are fitted to their training clips.
        meter: of lip sync.
        model: the head on which lip gaps and landmarks are measured.
        split: of the clips, for the headings.
    """
    ravdess = performances["RAVDESS"]
    actors = f"RAVDESS, {split} actors {', '.join(sorted({p.clip.speaker for p in ravdess}))}"
    parts = []
    for name, made in performances.items():
        parts += [f"### Lips, {name}, {split} clips", *lip_part(made, corpora[name], model)]
    parts += [f"### Sync, {split} clips", *sync_part(performances, corpora, meter)]
    parts += [f"### Motion statistics, {split} clips", *motion_statistics_part(performances)]
    parts += [f"### Emotion, {actors}", *emotion_part(ravdess, uncorrected, corpora["RAVDESS"])]
    return "\n\n".join([*parts, f"### Landmarks, {actors}", *landmark_part(ravdess, model)])


def lip_part(performances: Sequence[Performance], corpus: Corpus, model: FaceModel) -> list[str]:
    """Generated lips and three baselines."""
    scores = lips.lip_scores(performances, corpus.split("train"), lips.MouthOpening(model))
    note = (
        f"Mean over {len(performances)} clips at zero lag. Lip gap: mean distance of the inner lips over the eye distance, "
        "on the average head. Another clip: of the same speaker. Energy: log energy, scaled on training clips. "
        "Ahead: fraction of clips on which the generated lips correlate better."
    )
    return [lips.lip_table(scores), note]


def sync_part(performances: dict[str, Sequence[Performance]], corpora: dict[str, Corpus], meter: sync.SyncMeter) -> list[str]:
    """Real lips, generated lips, and real lips of another clip, which are out of sync."""
    groups, origins = {}, {}
    for name, made in performances.items():
        origin = origins[name] = sync.corpus_offset(meter, corpora[name].split("val"))
        others = lips.others_motion(made)
        motions = {
            "real": [p.real for p in made], "generated": [p.generated for p in made], "another clip's motion": others,
        }  # fmt: skip
        for kind, chosen in motions.items():
            groups[f"{name}, {kind}"] = [meter(p.clip.audio, m, origin) for p, m in zip(made, chosen, strict=True)]
    note = (
        "Measured by the sync judge, which has another architecture than the training loss of the lips and is trained on "
        "corpora that no lips are trained on. Distances between unit vectors lie between 0 and 2 and are not comparable with "
        "SyncNet's. LSE-C at 0: median distance less the distance at offset 0. Offset: the best of -15 .. 15 frames, counted "
        "from the corpus' own, the median over real pairs of the validation split: "
        + ", ".join(f"{name} {origin:+d}" for name, origin in origins.items())
        + "."
    )
    return [sync.sync_table(groups), note]


def motion_statistics_part(performances: dict[str, Sequence[Performance]]) -> list[str]:
    """How much eyes, brows and head move, real and generated."""
    groups = {
        f"{name}, {kind}": [getattr(p, kind) for p in made]
        for name, made in performances.items()
        for kind in ("real", "generated")
    }
    note = (
        f"Blinks: mean of both eyeBlink entries above {motion_statistics.SHUT:g}. Brows and gaze: standard deviation over a "
        "clip. Head: standard deviation of the three angles over a clip (root mean square), and mean speed. The landmarks "
        "of RAVDESS contain no gaze."
    )
    return [motion_statistics.motion_statistics_table(groups), note]


def emotion_part(performances: Sequence[Performance], uncorrected: Sequence[Performance], corpus: Corpus) -> list[str]:
    """Accuracy of a classifier of real motion on real and on generated motion."""
    training = corpus.split("train")
    classifier = emotion.EmotionClassifier(training, [clip.motion for clip in training])
    clips = [p.clip for p in performances]
    real, generated = [p.real for p in performances], [p.generated for p in performances]
    truth, made = (emotion.neutral_means(clips, motions) for motions in (real, generated))
    readings = {
        "real": classifier.read(clips, real, truth),
        "generated, without mean-expression correction": classifier.read(clips, [p.generated for p in uncorrected], truth),
        "generated, with it": classifier.read(clips, generated, truth),
        "generated, with it, from generated neutral": classifier.read(clips, generated, made),
    }
    note = (
        f"Logistic regression on pooled real motion of {len(training)} clips of the training actors, less each actor's "
        "mean over real neutral clips. The mean-expression correction moves the mean of generated motion towards the "
        "emotion's mean expression in the training clips; without it the networks alone are measured. In the last row the "
        "mean over the motion generated from the actor's neutral clips is subtracted instead. (7): calm counted as neutral."
    )
    return [
        emotion.accuracy_table(readings),
        note,
        "Rows: true emotion; columns: predicted from real and from generated motion (with the correction).",
        emotion.confusion_table(readings["real"], readings["generated, with it"]),
        "Level 2 against level 1, same actor, sentence and emotion; neutral and calm left out.",
        emotion.level_table(readings),
    ]


def landmark_part(performances: Sequence[Performance], model: FaceModel) -> list[str]:
    """Distances from real motion, by method, emotion and level."""
    scores = landmarks.distance_scores(performances, model)
    note = (
        "Pixels at 256 x 256, the 68 iBUG points of the average head moved by fitted real and by generated coefficients. "
        "Absolute: mean over x and y, not normalised, as in EmoTalker's code; centred: each set less its mean, Euclidean. "
        "The actor's mean is measured on the same clips: it contains the mean pose, which the voice does not determine. "
        "About the actor's mean: generated motion, its own mean over the actor's clips replaced by that mean."
    )
    return [landmarks.summary_table(scores), note, landmarks.level_tables(scores, [p.clip for p in performances])]
