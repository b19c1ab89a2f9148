"""Motion as CSV and Live Link Face CSV."""

import csv

import numpy as np
import pytest

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.coefficients.live_link import COLUMNS, timecode, write_live_link
from emotalker.coefficients.space import BFM
from emotalker.console.main import find
from emotalker.core import arrays
from emotalker.core.errors import DataError, EmoTalkerError, OutputError
from emotalker.exchange.export import load_motion
from emotalker.inference.commands import render


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


def malformed(folder):
    """Motion files that cannot be used, by name."""
    motion, good = random_motion(4), folder / "good.npz"
    MotionTrack(motion, ARKIT).save(good)
    names = np.array(ARKIT.names)
    np.savez(folder / "rate.npz", coefficients=motion, names=names, fps=30, space="arkit")
    np.savez(folder / "shape.npz", coefficients=motion[0], names=names, fps=25, space="arkit")
    np.savez(folder / "words.npz", coefficients=motion.astype(str), names=names, fps=25, space="mars")
    np.savez(folder / "objects.npz", coefficients=np.array([{}], object), names=names, fps=25, space="arkit")
    np.savez(folder / "faceless.npz", coefficients=motion * np.nan, names=names, fps=25, space="arkit")
    np.save(folder / "array.npy", motion)
    (folder / "array.npy").rename(folder / "array.npz")
    (folder / "cut.npz").write_bytes(good.read_bytes()[:-40])
    (folder / "empty.npz").touch()
    (folder / "long.csv").write_text("time,jawOpen\n0,0\n1e9,1\n")
    (folder / "infinite.csv").write_text("time,jawOpen\n0,0\ninf,1\n")
    (folder / "quotes.csv").write_text('time,jawOpen\n0,"0\n1,1\n')
    (folder / "text.csv").write_text("Dear all,\nhere is the motion.\n")
    (folder / "code.csv").write_text("Timecode," + ",".join(COLUMNS) + "\n25 o'clock" + ",0" * 61 + "\n")
    (folder / "text.glb").write_text("not a GLB file, but of some length")
    return sorted(p for p in folder.iterdir() if p != good)


def test_malformed_files_are_refused_before_anything_is_written(tmp_path):
    files = malformed(tmp_path)
    output = tmp_path / "out" / "o.mp4"
    output.parent.mkdir()
    earlier = b"\0\0\0\x18ftypmp42 kept"
    output.write_bytes(earlier)
    assert len(files) == 14
    for path in files:
        with pytest.raises(EmoTalkerError) as error:
            options = ["--coefficients", str(path), "--image", str(tmp_path / "none.png"), "--output", str(output)]
            render(find(["render"]).parser().parse_args(options))
        assert path.name in str(error.value) and "\n" not in str(error.value), path
    assert output.read_bytes() == earlier and list(output.parent.iterdir()) == [output]


def test_archives_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    path = MotionTrack(random_motion(9), ARKIT).save(tmp_path / "bomb.npz")
    monkeypatch.setattr(arrays, "MAX_ARRAY_BYTES", 1000)
    with pytest.raises(DataError, match=r"bomb\.npz.*unpacks"):
        MotionTrack.load(path)


def test_frames_without_a_face_take_the_nearest(tmp_path):
    motion = random_motion(8)
    motion[[0, 4, 5, 7]] = np.nan
    path = MotionTrack(motion, ARKIT).save(tmp_path / "m.npz")
    assert np.array_equal(load_motion(path).coefficients, motion[[1, 1, 2, 3, 3, 6, 6, 6]])


def test_sparse_tables_have_no_gaps(tmp_path):
    (tmp_path / "sparse.csv").write_text("time,jawOpen\n0,0\n3,0.5\n6,0.1\n")
    values = MotionTrack.load(tmp_path / "sparse.csv").coefficients[:, ARKIT.index("jawOpen")]
    assert np.isfinite(values).all() and values[75] == 0.5 and values[-1] == np.float32(0.1) and 151 <= len(values) <= 157
