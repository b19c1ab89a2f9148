"""Measures of generated motion, on synthetic motion of known quality."""

import json

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT
from emotalker.core.emotions import RAVDESS_EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data import CorpusWriter
from emotalker.data.readers.ravdess import describe
from emotalker.data.shards import Corpus
from emotalker.evaluation import ablation, emotion, landmarks, lips, motion_statistics, report
from emotalker.evaluation.metrics.landmark_distance import MOUTH
from emotalker.evaluation.motion import Performance, choose_clips, neutral_references, open_corpus, pair_key, perform
from emotalker.evaluation.sync import SyncMeter
from emotalker.evaluation.tables import markdown_table
from emotalker.face.model import FaceModel
from emotalker.inference.performance import STEPS
from emotalker.models.sync_judge import SyncJudge, SyncJudgeConfig

FRAMES = 40


@pytest.fixture(scope="module")
def head() -> FaceModel:
    return FaceModel.load()


def acted(word: int, level: int, actor: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A motion whose upper face shows an emotion by its level, and whose jaw follows the loudness of its sound."""
    motion = np.full((FRAMES, ARKIT.dim), 0.02 * actor, np.float32)
    motion[:, 5 * word : 5 * word + 5] += 0.25 * level * (word > 0)
    loud = np.clip(np.sin(np.arange(FRAMES) * 0.7 + rng.uniform(0, 6)), 0.05, 1)
    motion[:, ARKIT.index("jawOpen")] = 0.6 * np.log10(loud / 0.05)
    motion += rng.normal(0, 0.01, motion.shape)
    return motion, np.repeat(0.5 * loud, 640) * rng.normal(0, 1, FRAMES * 640).clip(-1, 1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    root, rng = tmp_path_factory.mktemp("data") / "acted", np.random.default_rng(0)
    writer = CorpusWriter(root, ARKIT, "synthetic", "CC0")
    for actor in (1, 2, 3, 17, 18):
        for word in range(8):
            for level in (1, 2) if word else (1,):
                for take in (1, 2):
                    name = f"01-{word + 1:02d}-{level:02d}-01-{take:02d}-{actor:02d}"
                    labels = describe(f"01-{name}")
                    kept = {k: labels[k] for k in ("speaker", "emotion", "original_emotion", "level")}
                    writer.add(name, *acted(word, level, actor, rng), **kept)
    manifest = writer.close().manifest | {"validation_speakers": ["02"], "test_speakers": ["17", "18"]}
    (root / "corpus.json").write_text(json.dumps(manifest))
    return open_corpus(root)


def performances(corpus: Corpus, make) -> list[Performance]:
    references = neutral_references(corpus)
    return [Performance(c, references[c.speaker], c.motion, make(c)) for c in corpus.split("test")]


def test_clips_are_chosen_in_pairs(corpus):
    test_clips = corpus.split("test")
    chosen = choose_clips(test_clips, 30)
    assert 20 <= len(chosen) <= 30 and len({c.name for c in chosen}) == len(chosen)
    keys = [pair_key(c) for c in chosen if c.original_emotion not in emotion.RESTFUL]
    assert all(keys.count(key) == 2 for key in keys)
    assert choose_clips(test_clips, 1000) == test_clips
    assert [c.original_emotion for c in choose_clips(test_clips, 2)] == ["neutral", "neutral"]


def test_real_motion_scores_better_than_every_baseline(corpus, head):
    scores = lips.lip_scores(performances(corpus, lambda c: c.motion), corpus.split("train"), lips.MouthOpening(head))
    mean = {name: values.mean(0) for name, values in scores.items()}
    assert np.allclose(mean["generated"], [[1, 0], [1, 0]], atol=1e-6)
    assert not mean["mean face"][:, 0].any() and mean["mean face"][0, 1] > 0.1
    assert mean["energy scaled"][0, 0] > 0.9 and mean["energy scaled"][0, 1] < mean["mean face"][0, 1]
    assert abs(mean["another clip's motion"][0, 0]) < 0.4
    assert "100%" in lips.lip_table(scores)


def test_mouth_opening_increases_with_jaw_open(head):
    motion = np.zeros((3, ARKIT.dim), np.float32)
    motion[:, ARKIT.index("jawOpen")] = (0, 0.3, 0.6)
    opening = lips.MouthOpening(head)(motion)
    assert np.allclose(opening[:, 0], (0, 0.3, 0.6)) and (np.diff(opening[:, 1]) > 0.05).all()


def test_the_classifier_is_accurate_on_real_motion_and_at_chance_on_a_static_face(corpus):
    training, test_clips = corpus.split("train"), corpus.split("test")
    motions = [c.motion for c in test_clips]
    classifier = emotion.EmotionClassifier(training, [c.motion for c in training])
    neutral = emotion.neutral_means(test_clips, motions)
    real = classifier.read(test_clips, motions, neutral)
    assert min(real.accuracy()) > 0.9 and real.confusion().sum() == len(test_clips)
    assert real.confusion(merged=True).shape == (7, 7) and real.accuracy(merged=True)[0] >= real.accuracy()[0]
    weak, strong = emotion.paired_levels(test_clips, real.distance.numpy())
    assert len(weak) == 2 * 6 * 2 and (strong > weak).all()
    blank = classifier.read(test_clips, [neutral[c.speaker][None].repeat(FRAMES, 0) for c in test_clips], neutral)
    assert blank.accuracy()[1] == pytest.approx(1 / 8)
    weak, strong = emotion.paired_levels(test_clips, real.log_odds().numpy())
    assert (strong > weak).mean() > 0.9 and (weak > 0).mean() > 0.9
    assert emotion.confusion_table(real, blank).count("\n") == 9
    with pytest.raises(DataError, match="no neutral clip of speaker 17"):
        emotion.neutral_means(test_clips[8:12], motions[8:12])


def test_merging_calm_corrects_only_errors_on_calm(corpus):
    clips = [c for c in corpus.split("test") if c.original_emotion in ("calm", "sad")]
    scores = torch.full((len(clips), 8), 0.01)
    scores[:, RAVDESS_EMOTIONS.index("neutral")] = 0.93
    reading = emotion.Reading(clips, scores.log(), torch.zeros(len(clips)))
    assert reading.accuracy() == (0.0, 0.0) and reading.accuracy(merged=True)[1] == 0.5


def test_landmark_distances_of_known_shifts(head):
    points = np.random.default_rng(0).uniform(0, 256, (5, 68, 2))
    assert not landmarks.landmark_distances(points, points).any()
    shifted = landmarks.landmark_distances(points, points + [3.0, 1.0])
    assert np.allclose(shifted, [[2, 2], [0, 0]])
    mouth = points.copy()
    mouth[:, MOUTH, 0] += 4
    absolute, centred = landmarks.landmark_distances(points, mouth)
    assert np.allclose(absolute, [2 * 20 / 68, 2]) and centred[0] > 1 and centred[1] == pytest.approx(0)


def test_projection_fills_the_picture_and_includes_the_pose(head):
    projector = landmarks.LandmarkProjector(head)
    motion = np.zeros((2, ARKIT.dim), np.float32)
    motion[1, ARKIT.index("shiftX")] = 1
    points = projector(motion)
    assert points.shape == (2, 68, 2) and points.min() > 0 and points.max() < 256
    assert np.ptp(points[0, :, 0]) > 100 and points[0, 8, 1] > points[0, 27, 1]  # the chin lies below the nose's root
    assert np.allclose((points[1] - points[0])[:, 0].mean(), 10, atol=2)
    assert np.allclose(*projector(motion, still=True))


def test_real_motion_has_no_landmark_distance(corpus, head):
    made = performances(corpus, lambda c: c.motion)
    scores = landmarks.distance_scores(made, head)
    assert not scores["generated"].any() and not scores["generated, head still"][:, 1].any()
    elsewhere = performances(corpus, lambda c: c.motion + np.eye(ARKIT.dim, dtype=np.float32)[ARKIT.index("shiftX")])
    moved = landmarks.distance_scores(elsewhere, head)
    assert moved["generated"][:, 0, 0].min() > 1 and moved["generated, about the actor's mean"].max() < 1e-3
    assert scores["actor's mean"].mean() < scores["static face"].mean()
    tables = landmarks.level_tables(scores, [p.clip for p in made])
    assert (
        "M-LMD, absolute" in tables and "level 2, static face" in tables and "|       - |" in tables
    )  # neutral has one level


class Echo:
    """Replaces the generator: every motion is the constant reference."""

    def generate(self, samples, reference, seed, **options):
        from emotalker.coefficients import MotionTrack

        return MotionTrack(np.repeat(reference[None], -(-len(samples) // 640), 0), ARKIT)


class Loudness:
    """Replaces the encoder: the only feature is the root mean square of 20 ms."""

    def encode_long(self, wave):
        return wave.unfold(-1, 320, 320).square().mean(-1).sqrt()[..., None]


def test_the_whole_report(corpus, head):
    chosen = choose_clips(corpus.split("test"), 1000)
    made = perform(Echo(), corpus, chosen, "acted")
    assert all(not p.reference[ARKIT.pose].any() and p.generated.shape == p.real.shape for p in made)
    torch.manual_seed(0)
    meter = SyncMeter(SyncJudge(SyncJudgeConfig(audio_dim=1, hidden_dim=8, dim=8)).eval(), Loudness())
    text = report.write({"GRID": made[:3], "RAVDESS": made}, made, {"GRID": corpus, "RAVDESS": corpus}, meter, head)
    for word in ("lip gap r", "LSE-D", "blinks a minute", "unweighted (8)", "gen sur", "level 2 more", "M-LMD centred"):
        assert word in text
    rows = {
        line.split("|")[1].strip(): line.split("|")[3:] for line in text.splitlines() if line.startswith("| generated, with")
    }
    assert rows["generated, without mean-expression correction"] == rows["generated, with it"]  # the same motion was given
    assert "RAVDESS, test actors 17, 18" in text


def test_the_report_also_generates_uncorrected_motion(corpus, monkeypatch):
    calls = []
    monkeypatch.setattr(report, "write", lambda performances, uncorrected, *rest: (len(uncorrected), rest[-1]))

    class Recording(Echo):
        def generate(self, samples, reference, seed, **options):
            calls.append((seed, "performance" in options and options["performance"].disabled))
            return super().generate(samples, reference, seed)

    clips = {"GRID": corpus.split("test")[:2], "RAVDESS": corpus.split("test")[:3]}
    assert report.measure(Recording(), clips, {"GRID": corpus, "RAVDESS": corpus}, None, "val") == (3, "val")
    assert len(calls) == 2 + 3 + 3 and calls[-1] == (2, frozenset({"mean_correction"})) and calls[0] == (0, False)


def test_the_ablation_has_a_row_for_every_step_and_generates_a_clip_once_per_row(corpus):
    calls = []

    class Recording(Echo):
        def generate(self, samples, reference, seed, **options):
            calls.append(frozenset(options["performance"].disabled) if options else frozenset())
            return super().generate(samples, reference, seed)

    chosen = [c for c in corpus.split("test") if c.speaker == "17"][:6]
    meter = SyncMeter(SyncJudge(SyncJudgeConfig(audio_dim=1, hidden_dim=8, dim=8)).eval(), Loudness())
    text = ablation.report(Recording(), {"GRID": chosen[:2], "RAVDESS": chosen}, {"GRID": corpus, "RAVDESS": corpus}, meter)
    names = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")][2:]
    expected = ["every step", *(f"without {step}" for step in STEPS), ablation.ALL_OFF, ablation.PUBLISHED, "real motion"]
    assert names == expected
    assert len(calls) == (len(expected) - 1) * 8
    assert calls[0] == frozenset() and calls[8] == {STEPS[0]} and calls[-1] == set(STEPS)
    real = text.splitlines()[2 + len(expected) - 1].split("|")
    assert [cell.strip() for cell in real[2:6]] == ["1.000"] * 4


def test_blinks_are_counted_once_each():
    motion = np.zeros((1500, ARKIT.dim), np.float32)
    for start in (100, 400, 900):
        motion[start : start + 6, motion_statistics.BLINKS] = np.array([0.4, 0.9, 0.45, 0.8, 0.3, 0.1])[
            :, None
        ]  # jitter of the lids
    motion[:, ARKIT.index("yaw")] = np.radians(np.tile([0, 2], 750))
    assert motion_statistics.count_blinks(motion) == 3
    assert motion_statistics.head_deviation(motion) == pytest.approx(1 / np.sqrt(3), abs=1e-5)  # one of three angles, 0 or 2
    assert motion_statistics.head_speed(motion) == pytest.approx(50, abs=1e-3)
    assert motion_statistics.brow_deviation(motion) == motion_statistics.gaze_deviation(motion) == 0
    row = motion_statistics.motion_statistics_table({"one": [motion]}).splitlines()[-1].split("|")
    assert [cell.strip() for cell in row[2:5]] == ["3.0", "0.000", "0.000"] and float(row[6]) == pytest.approx(50)


def test_a_speaker_without_neutral_clips_raises_a_data_error(corpus):
    chosen = [c for c in corpus.split("test") if c.speaker == "17"]
    broken = Corpus(corpus.root)
    broken.clips = [c for c in broken.clips if c.original_emotion != "neutral"]
    with pytest.raises(DataError, match="no neutral clip of speaker 17"):
        perform(Echo(), broken, chosen, "acted")


def test_tables_are_aligned_markdown():
    text = markdown_table(["", "a"], [["first", 0.12345], ["second", float("nan")], ["third", "9"]])
    lines = text.splitlines()
    assert lines[1] == "| ------ | ----: |" and lines[2] == "| first  | 0.123 |" and lines[3] == "| second |     - |"
    assert len({len(line) for line in lines}) == 1
