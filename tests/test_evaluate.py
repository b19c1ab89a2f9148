"""Scoring folders of videos: pairing, cropping, resuming, reporting."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from films import film, write_film

from emotalker.coefficients import ARKIT
from emotalker.core.errors import ConfigError, DataError, FaceNotFoundError
from emotalker.evaluation import evaluate, footage
from emotalker.evaluation.footage import read_footage, read_landmarks
from emotalker.evaluation.pairing import pair_videos
from emotalker.evaluation.scorer import ScoreOptions, Scorer
from emotalker.evaluation.scoring import ClipResult, score_pairs
from emotalker.evaluation.sheet import warnings
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel

SIZE = 128
OPTIONS = ScoreOptions(groups=("image", "landmarks", "motion", "diversity"), size=SIZE)


@pytest.fixture(scope="module")
def frames():
    return film([0, 0.2, 0.4, 0.5, 0.4, 0.2], SIZE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, frames):
    """Two real clips, two samples of the first, and a damaged file."""
    root = tmp_path_factory.mktemp("videos")
    write_film(root / "real/a/M003_happy_1.mp4", frames)
    write_film(root / "real/b.mp4", frames[::-1])
    write_film(root / "made/a/M003_happy_1__1.mp4", frames)
    write_film(root / "made/a/M003_happy_1__2.mp4", frames[:1] * 6)
    write_film(root / "made/b.mp4", frames[::-1])
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
    write_film(tmp_path / "wide.mp4", wide * 2, fps=50)
    seen = read_footage(tmp_path / "wide.mp4", FaceLandmarker(), SIZE)
    assert len(seen) == 6 and seen.frames.shape == (6, SIZE, SIZE, 3) and seen.scores.shape == (6, 52)
    motion = seen.motion(FaceModel.load())
    assert np.abs(motion[:, ARKIT.pose][:, :3]).max() < 0.6 and (motion[:, ARKIT.pose][:, 3:] == 0).all()
    assert len(read_footage(tmp_path / "wide.mp4", FaceLandmarker(), SIZE, limit=2)) == 2
    write_film(tmp_path / "grey.mp4", [np.full((SIZE, SIZE, 3), 90, np.uint8)] * 3)
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


def result(pair, **values):
    return ClipResult(pair, values, Path("none"))


def test_the_sheet_suspects_lips_that_are_better_than_real(folders):
    pair = pair_videos(folders / "real")[0]
    values = {"sync_confidence": 0.6, "real_sync_confidence": 0.4, "lse_d": 9.0, "real_lse_d": 7.0}
    found = warnings(values, [result(pair, frames=50, real_frames=100)])
    assert len(found) == 2 and found[0].startswith("**Suspect:** sync confidence 0.600") and "Lengths differ" in found[1]


def test_the_command(folders, tmp_path):
    command = [sys.executable, "scripts/evaluate.py", "--generated", str(folders / "made/a"), "--measures", "motion"]
    done = subprocess.run([*command, "--output", str(tmp_path), "--size", "128"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 videos of 1 clips scored, each against 0 references." in done.stdout
    wrong = subprocess.run([*command[:2], "--protocol", "x"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "--root" in wrong.stderr
