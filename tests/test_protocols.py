"""Protocols on miniature layouts of their corpora, their tables, and the 3-D protocol."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from films import film, write_film

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import ConfigError, DataError
from emotalker.evaluation.metrics.vertices import FaceVertices
from emotalker.evaluation.pairing import Pair
from emotalker.evaluation.protocol_run import run_protocol
from emotalker.evaluation.protocol_tables import level_table
from emotalker.evaluation.protocol_videos import driving_control
from emotalker.evaluation.protocols import list_clips, load_protocol, load_published, protocol_names
from emotalker.evaluation.scorer import ScoreOptions
from emotalker.evaluation.scoring import ClipResult
from emotalker.evaluation.tables import latex_table
from emotalker.evaluation.vertex_protocol import clip_rows, vertex_table
from emotalker.face.model import FaceModel

SIZE = 128
OPTIONS = ScoreOptions(groups=("image", "landmarks", "motion", "diversity"), size=SIZE)


@pytest.fixture(scope="module")
def frames():
    return film([0, 0.2, 0.4, 0.5, 0.4, 0.2], SIZE)


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
        write_film(tmp_path / f"MEAD/M003/video/front/{emotion}/level_{level}/001.mp4", frames * 2, seconds=0.48)
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
    write_film(theirs / "M003_front_happy_level3_001.mp4", frames * 2)
    text = run_protocol(protocol, [f"theirs={theirs}"], options, tmp_path / "out")
    row = next(line for line in text.splitlines() if line.startswith("| theirs"))
    assert float(row.split("|")[2]) > 0.99  # its video is the real one
    with pytest.raises(ConfigError, match="name them as --list-clips prints"):
        write_film(tmp_path / "others/x.mp4", frames[:2])
        run_protocol(protocol, [str(tmp_path / "others")], options, tmp_path / "out")


def test_tables_hold_published_rows_beside_ours():
    pair = Pair("a", "a", Path("a.mp4"), emotion="sad", level=3)
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
