"""Scoring folders of videos, and protocols on miniature layouts of their corpora."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import ConfigError, DataError, FaceNotFoundError
from emotalker.evaluation import evaluate, footage
from emotalker.evaluation.footage import read_footage, read_landmarks
from emotalker.evaluation.metrics.vertices import FaceVertices
from emotalker.evaluation.pairing import pair_videos
from emotalker.evaluation.protocol_run import run_protocol
from emotalker.evaluation.protocol_tables import level_table
from emotalker.evaluation.protocol_videos import driving_control
from emotalker.evaluation.protocols import list_clips, load_protocol, load_published, protocol_names
from emotalker.evaluation.scorer import ScoreOptions, Scorer
from emotalker.evaluation.scoring import ClipResult, score_pairs
from emotalker.evaluation.sheet import warnings
from emotalker.evaluation.tables import latex_table
from emotalker.evaluation.vertex_protocol import clip_rows, vertex_table
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.video.writer import VideoWriter

SIZE = 128
OPTIONS = ScoreOptions(groups=("image", "landmarks", "motion", "diversity"), size=SIZE)
RATE = 16000


def film(jaw):
    """Frames of the astronaut with an opening of the jaw in each."""
    motion = np.zeros((len(jaw), ARKIT.dim), np.float32)
    motion[:, ARKIT.index("jawOpen")] = jaw
    portrait = Portrait.from_image(data.astronaut(), FaceLandmarker(), FaceModel.load(), SIZE)
    return list(WarpRenderer(portrait, shading=0).render(motion))


def write(path, frames, seconds=None, fps=25):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    audio = None if seconds is None else (0.1 * rng.normal(0, 1, int(seconds * RATE))).astype(np.float32)
    with VideoWriter(path, frames[0].shape[1], frames[0].shape[0], fps, audio, RATE) as writer:
        for frame in frames:
            writer.write(frame)


@pytest.fixture(scope="module")
def frames():
    return film([0, 0.2, 0.4, 0.5, 0.4, 0.2])


@pytest.fixture(scope="module")
def folders(tmp_path_factory, frames):
    """Two real clips, two samples of the first, and a damaged file."""
    root = tmp_path_factory.mktemp("videos")
    write(root / "real/a/M003_happy_1.mp4", frames)
    write(root / "real/b.mp4", frames[::-1])
    write(root / "made/a/M003_happy_1__1.mp4", frames)
    write(root / "made/a/M003_happy_1__2.mp4", frames[:1] * 6)
    write(root / "made/b.mp4", frames[::-1])
    (root / "made/bad.mp4").write_bytes(b"not a video")
    return root


def test_videos_are_paired_by_id_name_or_pattern(folders, tmp_path):
    pairs = {pair.id: pair for pair in pair_videos(folders / "made", [folders / "real", folders / "real"])}
    assert set(pairs) == {"a/M003_happy_1__1", "a/M003_happy_1__2", "b", "bad"}
    first = pairs["a/M003_happy_1__1"]
    assert first.clip == "a/M003_happy_1" and first.emotion == "happy" and len(first.references) == 2
    assert pairs["bad"].references == ()
    for name in ("x_07_ours", "x_08_ours"):
        (tmp_path / "made").mkdir(exist_ok=True)
        (tmp_path / f"made/{name}.mp4").touch()
    (tmp_path / "real").mkdir()
    (tmp_path / "real/take-07.mp4").touch()
    found = pair_videos(tmp_path / "made", [tmp_path / "real"], r"(?:take-|x_)(\d+)")
    assert [len(pair.references) for pair in found] == [1, 0]
    with pytest.raises(DataError, match="give --id"):
        pair_videos(tmp_path / "made", [tmp_path / "real"])
    with pytest.raises(DataError, match="no folder"):
        pair_videos(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def scored(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("scores")
    text = evaluate.folders(folders / "made", [folders / "real"], None, OPTIONS, output)
    return output, text


def test_a_copy_scores_perfectly_and_a_still_picture_worse(scored):
    output, _ = scored
    with open(output / "clips.csv", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    copy, still = rows["a/M003_happy_1__1"], rows["a/M003_happy_1__2"]
    assert float(copy["ssim"]) > 0.999 and float(copy["m_lmd"]) < 0.05 and float(copy["f_lmd_centred"]) < 0.05
    assert float(still["ssim"]) < float(copy["ssim"]) and float(still["m_lmd_first"]) > 0.5
    assert float(copy["cpbd"]) == pytest.approx(float(copy["real_cpbd"]), abs=0.01)
    assert copy["emotion"] == "happy" and copy["clip"] == "a/M003_happy_1"


def test_a_bad_clip_is_reported_and_not_fatal(scored):
    output, text = scored
    assert "3 of 4 videos of 3 clips scored" in text and "- `bad`:" in text and "cannot be decoded" in text
    assert "| SSIM ↑" in text and "**SSIM.** Structural similarity" in text and "| diversity → real" in text
    assert r"\toprule" in (output / "sheet.tex").read_text()


def test_scoring_goes_on_where_it_was_interrupted(folders, scored, monkeypatch):
    output, _ = scored
    pairs = pair_videos(folders / "made", [folders / "real"])
    touched = []
    monkeypatch.setattr(Scorer, "__call__", lambda self, pair: touched.append(pair.id) or 1 / 0)
    with pytest.raises(ZeroDivisionError):  # only the clip that failed is tried again
        list(score_pairs(pairs, OPTIONS, output))
    assert touched == ["bad"]
    with pytest.raises(ZeroDivisionError):  # other options: everything again
        list(score_pairs(pairs, replace(OPTIONS, every=2), output))
    assert touched == ["bad", "a/M003_happy_1__1"]


def test_options_are_checked(tmp_path):
    with pytest.raises(ConfigError, match="no group beauty"):
        evaluate.score_options(["beauty"])
    with pytest.raises(ConfigError, match="syncnet needs its weights"):
        evaluate.score_options(["syncnet"])
    with pytest.raises(ConfigError, match="--alexnet and --lpips"):
        evaluate.score_options(alexnet="a.pth")
    assert "fid" in evaluate.score_options(inception="i.pth").groups


def test_footage_is_cropped_and_at_25_frames_a_second(tmp_path, frames):
    wide = [np.pad(frame, ((0, 0), (64, 64), (0, 0)), mode="edge") for frame in frames]
    write(tmp_path / "wide.mp4", wide * 2, fps=50)
    seen = read_footage(tmp_path / "wide.mp4", FaceLandmarker(), SIZE)
    assert len(seen) == 6 and seen.frames.shape == (6, SIZE, SIZE, 3) and seen.scores.shape == (6, 52)
    motion = seen.motion(FaceModel.load())
    assert np.abs(motion[:, ARKIT.pose][:, :3]).max() < 0.6 and (motion[:, ARKIT.pose][:, 3:] == 0).all()
    assert len(read_footage(tmp_path / "wide.mp4", FaceLandmarker(), SIZE, limit=2)) == 2
    write(tmp_path / "grey.mp4", [np.full((SIZE, SIZE, 3), 90, np.uint8)] * 3)
    with pytest.raises(FaceNotFoundError, match="leave this video out"):
        read_footage(tmp_path / "grey.mp4", FaceLandmarker(), SIZE)
    with pytest.raises(FaceNotFoundError):
        footage.first_square(tmp_path / "grey.mp4", FaceLandmarker(), SIZE)


def test_published_landmarks_are_read_at_25_frames_a_second(tmp_path):
    points = (np.arange(30)[:, None, None] * 10 + np.arange(136).reshape(68, 2)).astype(np.int16)
    np.savez(tmp_path / "Actor_17.npz", clip=points, other=points[:, :5])
    track = read_landmarks(tmp_path / "Actor_17.npz", "clip", 30)
    assert len(track) == 25 and track.frames is None and track.landmarks[10] == pytest.approx(points[12], abs=1)
    for key in ("missing", "other"):
        with pytest.raises(DataError):
            read_landmarks(tmp_path / "Actor_17.npz", key, 30)


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Empty files in the layout of every protocol's corpus."""
    root = tmp_path_factory.mktemp("corpora")
    for person in ("M003", "W009", "W021"):
        for emotion, level in (("angry", 1), ("contempt", 3), ("neutral", 1)):
            for take in ("001", "002"):
                touch(root / f"MEAD/{person}/video/front/{emotion}/level_{level}/{take}.mp4")
                touch(root / f"MEAD/{person}/audio/{emotion}/level_{level}/{take}.m4a")
    touch(*(root / f"HDTF/RD_Radio{n}_000.mp4" for n in range(3)))
    touch(*(root / f"RAVDESS/Actor_{a}/01-01-0{e}-01-01-01-{a}.mp4" for a in ("01", "17") for e in (1, 5)))
    touch(root / "CREMA/VideoFlash/1001_IEO_ANG_HI.flv", root / "CREMA/AudioWAV/1001_IEO_ANG_HI.wav")
    touch(root / "style/W009_front_sad_level3_001.mp4", root / "java/08-01-01_01.mp4", root / "java/08-01-06_01.mp4")
    touch(*(root / f"grid/video/bbaf{n}n.mp4" for n in range(60)))
    actor = {f"02-01-0{e}-01-01-01-17": np.zeros((30, 68, 2), np.int16) for e in (1, 3)}
    (root / "pack/ravdess_landmarks").mkdir(parents=True)
    np.savez(root / "pack/ravdess_landmarks/Actor_17.npz", **actor)
    touch(*(root / f"pack/ravdess/03-{name[3:]}.wav" for name in actor), root / "pack/ravdess_portraits/Actor_17.png")
    return root


@pytest.mark.parametrize(
    ("name", "folder", "count", "first"),
    [
        ("mead_eat", "MEAD", 12, "M003_front_angry_level1_001"),
        ("mead_table3", "MEAD", 8, "M003_front_angry_level1_001"),
        ("hdtf", "HDTF", 3, "RD_Radio0_000"),
        ("ravdess", "RAVDESS", 2, "01-01-01-01-01-17"),
        ("crema_d", "CREMA", 1, "1001_IEO_ANG_HI"),
        ("ravdess_landmarks", "pack", 2, "01-01-01-01-01-17"),
        ("mead_style", "style", 1, "W009_front_sad_level3_001"),
        ("javanese", "java", 2, "08-01-01_01"),
        ("grid", "grid/video", 2, "bbaf29n"),
    ],
)
def test_protocols_choose_clips_of_their_corpora(corpora, name, folder, count, first):
    protocol = load_protocol(name, corpora / folder)
    clips = list_clips(protocol)
    assert name in protocol_names() and protocol.differences
    assert len(clips) == count and clips[0].id == first
    load_published(protocol.published)
    if name.startswith("mead_") and folder == "MEAD":
        assert {clip.source.speaker for clip in clips} == {"M003", "W009"}
        assert clips[0].identity.parts[-3:] == ("neutral", "level_1", "001.mp4") and clips[0].source.audio
    if name == "ravdess_landmarks":
        assert clips[0].reference.key == "02-01-01-01-01-01-17" and clips[0].identity.name == "Actor_17.png"


def test_clips_are_spread_or_taken_from_a_list(corpora, tmp_path):
    few = list_clips(load_protocol("mead_eat", corpora / "MEAD", clips=6))
    assert {(c.source.speaker, c.source.emotion) for c in few} == {
        (person, emotion) for person in ("M003", "W009") for emotion in ("angry", "contempt", "neutral")
    }
    (tmp_path / "list.txt").write_text("W021_front_angry_level1_002\n\nM003_front_neutral_level1_001\n")
    named = list_clips(load_protocol("mead_eat", corpora / "MEAD", tmp_path / "list.txt"))
    assert [clip.id for clip in named] == ["W021_front_angry_level1_002", "M003_front_neutral_level1_001"]
    (tmp_path / "list.txt").write_text("W099\n")
    with pytest.raises(DataError, match="has no clip W099"):
        list_clips(load_protocol("mead_eat", corpora / "MEAD", tmp_path / "list.txt"))
    with pytest.raises(ConfigError, match="known: crema_d"):
        load_protocol("mead", corpora / "MEAD")


def test_a_protocol_from_corpus_to_tables(tmp_path, frames):
    """A miniature MEAD: our videos, another system's, the still picture; Table 1 and 3 in Markdown and LaTeX."""
    for emotion, level in (("neutral", 1), ("happy", 3)):
        write(tmp_path / f"MEAD/M003/video/front/{emotion}/level_{level}/001.mp4", frames * 2, seconds=0.48)
    protocol = load_protocol("mead_eat", tmp_path / "MEAD")
    options = replace(OPTIONS, groups=("image", "landmarks"), every=3)
    text = run_protocol(protocol, [], options, tmp_path / "out", seed=1)
    assert (tmp_path / "out/emotalker/M003_front_happy_level3_001.mp4").is_file()
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert {"this project", "still picture", "real videos", "published: EmoTalker, sound only"} <= set(rows)
    assert {"level 3, this project", "level 3, published: EmoTalker"} <= set(rows)
    assert "**Not the publications' protocol.**" in text and "Table 3; MEAD" in text and "4.348" in text
    assert r"4.567" in (tmp_path / "out/table3.tex").read_text() and "toprule" in (tmp_path / "out/table1.tex").read_text()

    theirs = tmp_path / "theirs"
    write(theirs / "M003_front_happy_level3_001.mp4", frames * 2)
    text = run_protocol(protocol, [f"theirs={theirs}"], options, tmp_path / "out")
    row = next(line for line in text.splitlines() if line.startswith("| theirs"))
    assert float(row.split("|")[2]) > 0.99  # its video is the real one
    with pytest.raises(ConfigError, match="name them as --list-clips prints"):
        write(tmp_path / "others/x.mp4", frames[:2])
        run_protocol(protocol, [str(tmp_path / "others")], options, tmp_path / "out")


def result(pair, **values):
    return ClipResult(pair, values, Path("none"))


def test_the_sheet_suspects_lips_that_are_better_than_real(folders):
    pair = pair_videos(folders / "real")[0]
    values = {"sync_confidence": 0.6, "real_sync_confidence": 0.4, "lse_d": 9.0, "real_lse_d": 7.0}
    found = warnings(values, [result(pair, frames=50, real_frames=100)])
    assert len(found) == 2 and found[0].startswith("**Suspect:** sync confidence 0.600") and "Lengths differ" in found[1]


def test_tables_hold_published_rows_beside_ours(folders):
    pair = replace(pair_videos(folders / "real")[0], emotion="sad", level=3)
    results = {"ours": [ClipResult(pair, {"f_lmd": 5.0}, Path("none"))]}
    table = level_table(results, load_published(["supplement_table3"]))
    rows = {line.split("|")[1].strip(): line for line in table.splitlines()}
    assert "5.000" in rows["level 3, ours"] and "3.246" in rows["level 3, published: EmoTalker"]
    first = level_table(
        {"ours": [ClipResult(pair, {"f_lmd_first": 4.0}, Path("none"))]}, load_published(["supplement_table3"])
    )
    assert "F-LMD, first frame" in first and "published" not in first  # another convention is not compared
    assert r"\%" in latex_table(["", "a %"], [["x_1", 0.5]]) and r"x\_1" in latex_table(["", "a"], [["x_1", 0.5]])


def test_vertices_of_baselines():
    class Spoken:
        motion = np.zeros((6, ARKIT.dim), np.float32)

    Spoken.motion[:, ARKIT.index("jawOpen")] = np.linspace(0, 1, 6)
    vertices = FaceVertices(FaceModel.load())
    rows = clip_rows([Spoken.motion, Spoken.motion], Spoken, np.zeros(ARKIT.dim, np.float32), vertices)
    assert rows["generated"] == pytest.approx(0, abs=1e-5)
    assert rows["neutral face"][0] > rows["real mean face of the clip"][0] > 1
    table = vertex_table({name: [row] for name, row in rows.items()})
    assert "| generated" in table and table.splitlines()[3].rstrip().endswith("- |")


def test_driving_videos_replace_parts():
    motion = np.full((3, ARKIT.dim), 0.5, np.float32)
    zero, track = np.zeros((3, ARKIT.dim), np.float32), MotionTrack(motion, ARKIT)
    half, whole = (driving_control(track, drive).apply(zero, ARKIT) for drive in ("audio+video", "video"))
    assert (half[:, ARKIT.lip] == 0).all() and (whole[:, ARKIT.expression] == 0.5).all()
    assert np.abs(whole[:, ARKIT.pose]).max() < 1e-6  # relative to the first frame


def test_the_command(folders, tmp_path):
    command = [sys.executable, "scripts/evaluate.py", "--generated", str(folders / "made/a"), "--measures", "motion"]
    done = subprocess.run([*command, "--output", str(tmp_path), "--size", "128"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 videos of 1 clips scored, each against 0 references." in done.stdout
    wrong = subprocess.run([*command[:2], "--protocol", "x"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "--root" in wrong.stderr
