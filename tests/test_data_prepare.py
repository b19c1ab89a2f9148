"""Preparation of corpora: shards, manifest, failures, interruption, several machines, report."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import save_wav
from scipy.io import savemat

from emotalker.coefficients import get_space
from emotalker.coefficients.track import MotionTrack
from emotalker.core.errors import DataError, MissingExtraError
from emotalker.core.launch import CONFIGS
from emotalker.data import prepare as preparation
from emotalker.data.prepare import Worker, parse_part, prepare, prepare_and_report
from emotalker.data.report import describe
from emotalker.data.shards import Corpus, decode_flac, encode_flac, load_clips, read_tar
from emotalker.settings.corpora import CorpusReport, Preparation

CLIPS, FRAMES = 10, 30


def write_mats(root: Path, clips: int = CLIPS, frames: int = FRAMES) -> Path:
    """A folder of 3DMM coefficients with MEAD names; every third clip has no audio."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    for i in range(clips):
        emotion = ("angry", "happy")[i % 2]
        name = f"M00{i % 3 + 1}_front_{emotion}_level{i % 3 + 1}_{i:03d}"
        savemat(root / f"{name}.mat", {"coeff": rng.normal(0, 0.3, (frames, 257))})
        if i % 3:
            save_wav(root / f"{name}.wav", rng.normal(0, 0.1, frames * 640))
    return root


def config(root: Path, out: Path, **changes) -> Preparation:
    corpus = {"reader": "bfm_mat", "source": "synthetic", "licence": "CC0"}
    values = {"corpus": corpus, "root": str(root), "out": str(out), "clips_per_shard": 4, "workers": 1}
    return Preparation(**values | changes)


def contents(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(out.iterdir()) if not p.name.startswith(".lock")}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    write_mats(root / "in")
    assert prepare(config(root / "in", root / "out")) == {"prepared": CLIPS, "failed": 0, "waiting": 0}
    return root


def test_corpus_returns_the_source_data(prepared):
    corpus = Corpus(prepared / "out")
    assert corpus.space.name == "bfm" and corpus.manifest["licence"] == "CC0" and len(corpus.clips) == CLIPS
    assert sorted(p.name for p in (prepared / "out").glob("*.tar")) == [f"shard-0000{i}.tar" for i in range(3)]
    assert [c.speaker for c in corpus.clips] == sorted(c.speaker for c in corpus.clips)
    clip = next(c for c in corpus.clips if c.name == "M002_front_happy_level2_001")
    assert (clip.frames, clip.emotion, clip.level, clip.label, clip.has_audio) == (FRAMES, "happy", 2, 4, True)
    from scipy.io import loadmat

    vectors = loadmat(prepared / "in" / f"{clip.name}.mat")["coeff"].astype(np.float32)
    np.testing.assert_array_equal(clip.motion, np.concatenate([vectors[:, 80:144], vectors[:, 224:227], vectors[:, 254:]], 1))
    import wave

    with wave.open(str(prepared / "in" / f"{clip.name}.wav")) as file:
        pcm = np.frombuffer(file.readframes(-1), np.int16)
    assert np.abs(clip.audio * 32768 - pcm).max() <= 1
    silent = next(c for c in corpus.clips if not c.has_audio)
    with pytest.raises(DataError, match=r"no \.flac"):
        _ = silent.audio


def test_motion_file_is_a_motion_track(prepared, tmp_path):
    clip = Corpus(prepared / "out").clips[0]
    (tmp_path / "a.npz").write_bytes(clip.corpus.read(clip, "npz"))
    track = MotionTrack.load(tmp_path / "a.npz")
    assert track.space.name == "bfm" and track.coefficients.shape == (FRAMES, 70)


def test_flac_is_lossless_and_deterministic():
    samples = (np.random.default_rng(0).integers(-32767, 32767, 20001) / 32767).astype(np.float32)
    data = encode_flac(samples)
    assert data == encode_flac(samples)
    np.testing.assert_array_equal(decode_flac(data), np.round(samples * 32767).astype(np.int16))


def test_webdataset_package_reads_the_shards(prepared):
    webdataset = pytest.importorskip("webdataset")
    shards = [str(p) for p in sorted((prepared / "out").glob("*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert [s["__key__"] for s in samples] == [c.name for c in Corpus(prepared / "out").clips]
    for sample in samples:
        assert sample["npz"]["coefficients"].shape == (FRAMES, 70) and sample["json"]["frames"] == FRAMES
        if sample["json"]["has_audio"]:
            assert len(decode_flac(sample["flac"])) == FRAMES * 640


def test_interrupted_run_prepares_every_clip_once(prepared, tmp_path, monkeypatch):
    done: list[str] = []
    members = Worker.members

    def counted(self, clip):
        if len(done) == 6 and "stop" not in done:
            done.append("stop")
            raise KeyboardInterrupt
        done.append(clip.id)
        return members(self, clip)

    monkeypatch.setattr(Worker, "members", counted)
    with pytest.raises(KeyboardInterrupt):
        prepare(config(prepared / "in", tmp_path / "out"))
    prepare(config(prepared / "in", tmp_path / "out"))
    done.remove("stop")
    assert len(done) == CLIPS == len(set(done))
    assert contents(tmp_path / "out") == contents(prepared / "out")


def test_killed_script_resumes(tmp_path):
    write_mats(tmp_path / "in", clips=120)
    script = Path(CONFIGS).parent / "scripts/prepare_data.py"
    options = ["corpus=bfm_mat", f"root={tmp_path / 'in'}", "clips_per_shard=25"]

    def start(out: str, *more: str) -> subprocess.Popen:
        command = [sys.executable, script, *options, f"out={tmp_path / out}", *more]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    process = start("cut", "workers=1")
    while process.poll() is None and not list((tmp_path / "cut/work").glob("*.tar")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut/manifest.jsonl").exists()
    assert start("cut", "workers=2").wait() == 0
    prepare(config(tmp_path / "in", tmp_path / "whole", clips_per_shard=25, corpus={"reader": "bfm_mat"}))
    cut, whole = contents(tmp_path / "cut"), contents(tmp_path / "whole")
    for name in whole.keys() - {"corpus.json"}:
        assert cut[name] == whole[name], name


def test_several_machines_share_the_work(prepared, tmp_path):
    out = tmp_path / "out"
    assert prepare(config(prepared / "in", out, shard="2/3")) == {"prepared": 4, "failed": 0, "waiting": 6}
    assert prepare(config(prepared / "in", out, shard="3/3"))["waiting"] == 4
    assert prepare(config(prepared / "in", out, shard="1/3"))["waiting"] == 0
    assert contents(out) == contents(prepared / "out")
    assert parse_part("3/16") == (2, 16)
    for wrong in ("0/3", "4/3", "3", "a/b"):
        with pytest.raises(DataError, match="3/16"):
            parse_part(wrong)


def test_failed_clip_is_logged_skipped_and_retried_on_request(tmp_path, capsys):
    root, out = write_mats(tmp_path / "in"), tmp_path / "out"
    good = (root / "M001_front_happy_level1_003.mat").read_bytes()
    (root / "M001_front_happy_level1_003.mat").write_bytes(b"not a MATLAB file")
    savemat(root / "M002_front_angry_level2_004.mat", {"coeff": np.full((FRAMES, 257), np.nan)})
    prepare_and_report(config(root, out))
    assert "2 clips could not be used" in capsys.readouterr().out
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert {f["id"][-3:]: f["reason"] for f in failures}.keys() == {"003", "004"}
    assert "no 3DMM coefficients" in failures[0]["reason"] and "0 of 30 frames" in failures[1]["reason"]
    assert len(Corpus(out).clips) == CLIPS - 2

    (root / "M001_front_happy_level1_003.mat").write_bytes(good)
    assert prepare(config(root, out))["failed"] == 2, "failed clips are prepared again without retry"
    assert prepare(config(root, out, retry=True)) == {"prepared": CLIPS - 1, "failed": 1, "waiting": 0}
    assert next(n for n, _ in read_tar(out / "shard-00000.tar")).startswith("M001_front_angry")


def test_errors_for_other_settings_and_wrong_configurations(prepared, tmp_path):
    prepare(config(prepared / "in", tmp_path / "out"))
    with pytest.raises(DataError, match="other settings"):
        prepare(config(prepared / "in", tmp_path / "out", clips_per_shard=5))
    with pytest.raises(DataError, match="no folder"):
        prepare(config(tmp_path / "nothing", tmp_path / "new"))
    with pytest.raises(DataError, match="no clip laid out"):
        prepare(config(tmp_path, tmp_path / "new2", corpus={"reader": "hdtf"}))
    with pytest.raises(DataError, match="no reader 'other'"):
        prepare(config(tmp_path, tmp_path / "new3", corpus={"reader": "other"}))
    with pytest.raises(DataError, match="unexpected keyword"):
        prepare(config(tmp_path, tmp_path / "new3", corpus={"reader": "bfm_mat", "speed": 1}))


def test_missing_ray_is_reported(prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"emotalker\[ray\]"):
        prepare(config(prepared / "in", tmp_path / "out", backend="ray"))


def test_splits_by_name_and_by_speaker(prepared, tmp_path, monkeypatch):
    corpus = Corpus(prepared / "out")
    corpus.manifest |= {"validation_speakers": ["M003"], "test_speakers": ["M002"]}
    speakers = {split: {clip.speaker for clip in corpus.split(split)} for split in ("train", "val", "test")}
    assert speakers == {"train": {"M001"}, "val": {"M003"}, "test": {"M002"}}
    with pytest.raises(DataError, match=r"'bfm'.*space=bfm"):
        load_clips(prepared / "out", "train", space="arkit")
    assert all(c.has_audio for c in load_clips(prepared / "out", "train", space="bfm"))
    assert len(load_clips(prepared / "out", "train", audio=False)) > len(load_clips(prepared / "out", "train"))


def test_damaged_corpus_is_a_data_error(prepared, tmp_path):
    with pytest.raises(DataError, match="no prepared corpus"):
        Corpus(tmp_path)
    for path in (prepared / "out").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:2000] if path.suffix == ".tar" else path.read_bytes())
    with pytest.raises(DataError, match="truncated"):
        _ = Corpus(tmp_path).clips[-1].motion
    (tmp_path / "manifest.jsonl").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        Corpus(tmp_path)


def test_the_report_is_one_page(prepared, tmp_path, capsys):
    path = describe(CorpusReport(data=str(prepared / "out"), out=str(tmp_path / "report.html"), worst=5))
    html = path.read_text()
    assert "10 clips" in capsys.readouterr().out
    for part in ("Head pitch by emotion", "level 3", "angry", "expression63", "Worst-tracked", "CC0", "<svg"):
        assert part in html
    assert "http" not in html, "the page refers to external files"


def test_clips_can_be_pickled(prepared):
    import pickle

    clip = pickle.loads(pickle.dumps(Corpus(prepared / "out").clips[0]))
    assert clip.motion.shape == (FRAMES, get_space("bfm").dim)
    assert preparation.result_of(prepared, type("C", (), {"id": "none"})) is None
