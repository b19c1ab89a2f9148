"""The page without a browser: the emotion table, the plot, files and who may read them, jobs, the command's options."""

import argparse
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from emotalker.app.command import PageError, add_arguments, main
from emotalker.app.emotion_plot import emotion_plot
from emotalker.app.emotion_table import rows_of, track_of
from emotalker.app.jobs import Jobs
from emotalker.app.storage import Storage
from emotalker.app.studio import sentence
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import AudioError
from emotalker.inference.emotion_track import EmotionTrack, EmotionTrackError


@pytest.fixture
def heard():
    """Three seconds: sad with something else, then happy."""
    weights = np.zeros((2, len(EMOTIONS)), np.float32)
    weights[0, EMOTIONS.index("sad")], weights[0, EMOTIONS.index("fear")] = 0.7, 0.3
    weights[1, EMOTIONS.index("happy")] = 1
    return EmotionTrack(np.array([0.0, 3.0]), weights, np.array([0.5, 1.1]))


def test_table_shows_the_largest_share_of_each_second(heard):
    assert rows_of(heard, 3.2) == [[0, "sad", 0.5], [1, "sad", 0.7], [2, "happy", 0.9], [3, "happy", 1.1]]
    assert len(rows_of(heard, 600)) == 60


def test_unedited_rows_keep_the_shares_of_the_voice(heard):
    rows = rows_of(heard, 3.2)
    rows[1][1], rows[3][2] = "anger", "2"
    track = track_of([*rows, [None, "", float("nan")]], heard)
    np.testing.assert_allclose(track.weights[[0, 2, 3]], heard.at(np.array([0, 2, 3])))
    assert track.weights[1, EMOTIONS.index("angry")] == 1
    np.testing.assert_allclose(track.strength, [0.5, 0.7, 0.9, 2])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[0, "happy", 1], [1, "merry", 1]], "row 2.*unknown emotion 'merry'"),
        ([["x", "happy", 1]], "row 1.*second is 'x'"),
        ([[0, "happy", 4]], "row 1.*strength is '4'; write a number from 0 to 3"),
        ([[0, "happy", 1], [0.0, "sad", 1]], "row 2.*second 0 appears twice"),
        ([["", None, ""]], "table is empty"),
    ],
)
def test_errors_name_the_row(rows, words):
    with pytest.raises(EmotionTrackError, match=words):
        track_of(rows)


def test_plot_draws_the_emotions_that_are_there(heard):
    samples = np.random.default_rng(0).uniform(-1, 1, 48000).astype(np.float32)
    drawn = emotion_plot(samples, heard, "Emotion")
    assert set(re.findall(r"</i>(\w+)</span>", drawn)) == {"sad", "happy", "fear"}
    assert drawn.count("<polyline") == 4 and "3.0 s" in drawn  # and the strength


def test_files_are_read_by_their_visitor_and_deleted_by_age():
    storage = Storage(keep_seconds=0.2, max_bytes=1_000_000)
    try:
        (storage.examples / "voice.flac").touch()
        storage.publish()
        mine = storage.new_folder("me") / "talking.mp4"
        mine.touch()
        assert storage.readable(mine, "me") and not storage.readable(mine, "you") and not storage.readable(mine, None)
        assert storage.readable(storage.examples / "voice.flac", "you")
        for outside in (storage.root, storage.root / ".." / "x", "/etc/passwd", "", f"{mine.parent}/../../x", "a\0b"):
            assert not storage.readable(outside, "me")
        (mine.parent / "link").symlink_to("/etc/passwd")
        assert not storage.readable(mine.parent / "link", "me")
        storage.sweep()
        assert mine.exists() and not storage.full()
        mine.write_bytes(bytes(1_000_000))
        assert storage.full()
        time.sleep(0.25)
        storage.sweep()
        assert not mine.parent.exists() and not storage.readable(mine, "me")
        assert (storage.examples / "voice.flac").exists()
        assert storage.root.stat().st_mode & 0o077 == 0
    finally:
        storage.close()
    assert not storage.root.exists()


def test_folders_of_killed_servers_are_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale, running = tmp_path / f"emotalker-page-{ended.pid}-x", tmp_path / f"emotalker-page-{os.getpid()}-x"
    stale.mkdir(), running.mkdir()
    storage = Storage(keep_seconds=1, max_bytes=1, parent=str(tmp_path))
    assert {*tmp_path.iterdir()} == {running, storage.root}


def test_jobs_are_bounded_and_cancelled_before_and_while_they_run():
    jobs = Jobs(most=2)
    assert jobs.begin("a") and jobs.begin("b") and not jobs.begin("c") and jobs.begin("a")
    jobs.cancel("b")
    with jobs.running("b") as cancelled:
        assert cancelled()
    with jobs.running("a") as cancelled:
        assert not cancelled()
        jobs.cancel("a")
        assert jobs.begin("a") and cancelled()
    with jobs.running("a") as cancelled:  # the second video of the session
        assert not cancelled()
    assert jobs.begin("c") and jobs.begin("d") and not jobs.begin("e")


def test_sentences_name_files_without_their_folder(tmp_path):
    assert sentence(AudioError(f"{tmp_path}/v.wav is too short"), tmp_path / "v.wav") == "v.wav is too short"


def test_port_that_is_taken_and_extra_that_is_missing(monkeypatch):
    import socket

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PageError, match="give another --port"):
        main(parser.parse_args(["--port", str(taken.getsockname()[1])]))
    code = "import sys; sys.modules['gradio'] = None; import argparse; from emotalker.app import command as c; "
    code += "p = argparse.ArgumentParser(); c.add_arguments(p); c.main(p.parse_args([]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), timeout=60)
    assert "MissingExtraError" in done.stderr and "pip install 'emotalker[app]'" in done.stderr
