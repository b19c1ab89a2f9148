"""All measures of generated motion in one Markdown text."""

from __future__ import annotations

from collections.abc import Sequence

from emotalker.data.shards import Corpus
from emotalker.evaluation import emotion, landmarks, lips, motion_statistics, sync
from emotalker.evaluation.motion import Performance
from emotalker.face.model import FaceModel
from emotalker.models.sync import SyncExpert


def write(
    held_out: dict[str, Sequence[Performance]], corpora: dict[str, Corpus], expert: SyncExpert, model: FaceModel
) -> str:
    """The whole report.

    Args:
        held_out: performances of GRID and of RAVDESS, by these names.
        corpora: those corpora, for what is learnt on their training clips.
        expert: judges sync.
        model: the head on which lip gaps and landmarks are measured.
    """
    ravdess = held_out["RAVDESS"]
    parts = []
    for name, performances in held_out.items():
        parts += [f"### Lips, held-out {name}", *lip_part(performances, corpora[name], model)]
    parts += ["### Sync", *sync_part(held_out, expert)]
    parts += ["### Life", *motion_statistics_part(held_out)]
    parts += ["### Emotion, RAVDESS actors 17-20", *emotion_part(ravdess, corpora["RAVDESS"])]
    return "\n\n".join([*parts, "### Landmarks, RAVDESS actors 17-20", *landmark_part(ravdess, model)])


def lip_part(performances: Sequence[Performance], corpus: Corpus, model: FaceModel) -> list[str]:
    """Generated lips and three baselines."""
    scores = lips.lip_scores(performances, corpus.split("train"), lips.MouthOpening(model))
    note = (
        f"Mean over {len(performances)} clips at zero lag. Lip gap: mean distance of the inner lips over the eye distance, "
        "on the average head. Another clip: the same speaker's. Energy: log energy, scaled on training clips. "
        "Ahead: clips on which the generated lips correlate better."
    )
    return [lips.lip_table(scores), note]


def sync_part(held_out: dict[str, Sequence[Performance]], expert: SyncExpert) -> list[str]:
    """Real and generated lips, and real lips with another clip's sound, which no expert should find in sync."""
    meter, groups = sync.SyncMeter(expert), {}
    for name, performances in held_out.items():
        groups[f"{name}, real"] = [meter(p.clip.audio, p.real) for p in performances]
        groups[f"{name}, generated"] = [meter(p.clip.audio, p.generated) for p in performances]
        others = lips.others_motion(performances)
        groups[f"{name}, another clip's motion"] = [
            meter(p.clip.audio, other) for p, other in zip(performances, others, strict=True)
        ]
    note = (
        "Our own expert on coefficients: distances lie between 0 and 2 and do not compare with SyncNet's. "
        "Offset: the best of -15 .. 15 frames; 0 ranks the true pair first."
    )
    return [sync.sync_table(groups), note]


def motion_statistics_part(held_out: dict[str, Sequence[Performance]]) -> list[str]:
    """How much eyes, brows and head move, beside real talkers."""
    groups = {
        f"{name}, {kind}": [getattr(p, kind) for p in performances]
        for name, performances in held_out.items()
        for kind in ("real", "generated")
    }
    note = (
        f"Blinks: both lids past {motion_statistics.SHUT:g}. Brows and gaze: standard deviation over a clip. Head: standard deviation of "
        "the three angles over a clip (root mean square), and mean speed. RAVDESS' landmarks show no gaze."
    )
    return [motion_statistics.motion_statistics_table(groups), note]


def emotion_part(performances: Sequence[Performance], corpus: Corpus) -> list[str]:
    """What a classifier of real motion reads from real and from generated motion."""
    training = corpus.split("train")
    classifier = emotion.EmotionClassifier(training, [clip.motion for clip in training])
    clips = [p.clip for p in performances]
    real, generated = [p.real for p in performances], [p.generated for p in performances]
    truth, made = (emotion.neutral_means(clips, motions) for motions in (real, generated))
    readings = {
        "real": classifier.read(clips, real, truth),
        "generated": classifier.read(clips, generated, truth),
        "generated, from generated neutral": classifier.read(clips, generated, made),
    }
    note = (
        f"Logistic regression on pooled real motion of {len(training)} clips of the training actors, less each actor's "
        "neutral mean. The last row takes off the mean of the motion generated from the actor's neutral clips instead. "
        "(7): calm counted as neutral."
    )
    return [
        emotion.accuracy_table(readings),
        note,
        "Rows: true emotion; columns: what is read from real and from generated motion.",
        emotion.confusion_table(readings["real"], readings["generated"]),
        "Level 2 against level 1, same actor, sentence and emotion; neutral and calm left out.",
        emotion.level_table(readings),
    ]


def landmark_part(performances: Sequence[Performance], model: FaceModel) -> list[str]:
    """Distances from real motion, by method, emotion and level."""
    scores = landmarks.distance_scores(performances, model)
    note = (
        "Pixels at 256 x 256, the 68 iBUG points of the average head moved by fitted real and by generated coefficients. "
        "Absolute: mean over x and y, not normalised, as EmoTalker's code; centred: each set less its mean, Euclidean. "
        "The actor's mean is measured on the very clips: where they hold their head on average, which no voice tells. "
        "About the actor's mean: generated motion with the same knowledge, its own mean over the actor's clips replaced."
    )
    return [landmarks.summary_table(scores), note, landmarks.level_tables(scores, [p.clip for p in performances])]
