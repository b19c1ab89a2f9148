"""Motion as CSV and Live Link Face CSV."""

import csv

import numpy as np
import pytest

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.coefficients.live_link import COLUMNS, timecode, write_live_link
from emotalker.coefficients.space import BFM
from emotalker.core.errors import DataError, OutputError


def random_motion(frames=40, seed=0):
    rng = np.random.default_rng(seed)
    motion = rng.uniform(0, 1, (frames, ARKIT.dim)).astype(np.float32)
    motion[:, ARKIT.pose] = rng.normal(0, 0.1, (frames, 6))
    return motion


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_round_trip_is_exact(tmp_path, suffix):
    for space, motion in ((ARKIT, random_motion()), (BFM, np.random.default_rng(1).normal(size=(7, 70)).astype(np.float32))):
        path = MotionTrack(motion, space).save(tmp_path / f"{space.name}{suffix}")
        track = MotionTrack.load(path)
        assert track.space == space and np.array_equal(track.coefficients, motion)


def test_table_is_readable_and_editable(tmp_path):
    """Columns in another order, and only the interesting ones, at 50 frames/s."""
    path = tmp_path / "edited.csv"
    times = np.arange(51) / 50
    path.write_text("jawOpen,time\n" + "".join(f"{np.sin(t * np.pi):.4f},{t:.3f}\n" for t in times))
    track = MotionTrack.load(path)
    assert len(track.coefficients) == 26  # a frame at 1.0 s lasts until 1.02 s
    np.testing.assert_allclose(track.coefficients[:, ARKIT.index("jawOpen")], np.sin(np.arange(26) / 25 * np.pi), atol=2e-3)
    assert not track.coefficients[:, ARKIT.index("browInnerUp")].any()


def test_live_link_round_trip_keeps_all_but_shifts(tmp_path):
    motion = random_motion(60)
    track = MotionTrack.load(write_live_link(tmp_path / "take.csv", motion, fps=25))
    assert np.array_equal(track.coefficients[:, :55], motion[:, :55])
    assert not track.coefficients[:, 55:].any()


def test_live_link_at_60_frames_a_second(tmp_path):
    times = np.arange(50)[:, None] / 25
    motion = (0.5 + 0.4 * np.sin(2 * np.pi * times * np.linspace(0.2, 1, ARKIT.dim))).astype(np.float32)
    path = write_live_link(tmp_path / "take.csv", motion)
    rows = list(csv.reader(path.open()))
    assert len(rows) == 1 + 120 and len(rows[0]) == 2 + 61 and rows[61][0] == "00:00:01:00.000"
    read = MotionTrack.load(path).coefficients
    assert len(read) == 50 and np.abs(read - motion)[:, :55].max() < 0.03


def test_live_link_columns_and_signs(tmp_path):
    motion = np.zeros((30, ARKIT.dim), np.float32)
    motion[:, ARKIT.index("jawLeft")], motion[:, ARKIT.index("yaw")] = 0.3, 0.2
    motion[:, ARKIT.index("eyeLookInLeft")] = 0.5
    rows = list(csv.DictReader(write_live_link(tmp_path / "take.csv", motion, fps=30).open()))
    first = {name: float(value) for name, value in rows[0].items() if name != "Timecode"}
    assert first["BlendShapeCount"] == 61 and set(COLUMNS) < set(first)
    assert first["JawLeft"] == pytest.approx(0.3) and first["JawRight"] == 0
    assert first["HeadYaw"] == pytest.approx(-0.2) and first["LeftEyeYaw"] == pytest.approx(0.32)


def test_live_link_reader_takes_other_rates_orders_and_midnight(tmp_path):
    names = ["Timecode", "BlendshapeCount", *reversed(COLUMNS)]
    frames = [(23, 59, 59, f) for f in range(30)] + [(0, 0, 0, f) for f in range(30)]
    lines = [",".join(names)]
    for i, (h, m, s, f) in enumerate(frames):
        values = dict.fromkeys(COLUMNS, 0.0) | {"JawOpen": i / 100}
        lines.append(f"{h:02d}:{m:02d}:{s:02d}:{f:02d}.120,61," + ",".join(str(values[n]) for n in reversed(COLUMNS)))
    path = tmp_path / "midnight.csv"
    path.write_text("\n".join(lines))
    track = MotionTrack.load(path)
    assert len(track.coefficients) == 50
    np.testing.assert_allclose(track.coefficients[:48, ARKIT.index("jawOpen")], np.arange(48) / 25 * 0.3, atol=2e-3)


def test_timecode():
    assert timecode(0, 60) == "00:00:00:00.000" and timecode(3661 * 30 + 7, 30) == "01:01:01:07.000"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no rows"),
        ("time,jawOpen\n", "no rows"),
        ("time,jawOpen\n0,0.1,0.2\n", "3 values for 2 columns"),
        ("time,jawOpen\n0,loud\n", "'loud' is not a number"),
        ("time,jawOpen\n0,nan\n", "'nan' is not a number"),
        ("time,jawOpen\n0,0.1\n0,0.2\n", "row 3: the time does not increase"),
        ("time,jawopen\n0,0.1\n", "jawopen"),
        ("jawOpen\n0.1\n", "one column named time"),
        ("Timecode,JawOpen\n00:00:00:00,0\n", "lacks the Live Link column"),
        ("\x00\xff\n", "."),
    ],
)
def test_malformed_tables_are_refused_in_one_sentence(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message) as error:
        MotionTrack.load(path)
    assert "bad.csv" in str(error.value) and "\n" not in str(error.value)


def test_malformed_npz_and_other_suffixes_are_refused(tmp_path):
    motion = random_motion(4)
    np.savez(tmp_path / "names.npz", coefficients=motion, names=np.array(ARKIT.names[::-1]), fps=25, space="arkit")
    motion[1, 3] = np.nan
    MotionTrack(motion, ARKIT).save(tmp_path / "nan.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "nan.npz").read_bytes()[:200])
    for name in ("names.npz", "nan.npz", "cut.npz", "none.npz"):
        with pytest.raises(DataError, match=name):
            MotionTrack.load(tmp_path / name)
    with pytest.raises(OutputError, match=r"\.npz or \.csv"):
        MotionTrack(random_motion(2), ARKIT).save(tmp_path / "motion.mp4")
