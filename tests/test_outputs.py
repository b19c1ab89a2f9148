"""Outputs never replace inputs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import OutputError
from emotalker.core.files import check_outputs, replace_on_success

ROOT = Path(__file__).parents[1]


def test_outputs_are_checked_against_inputs_and_each_other(tmp_path):
    voice = tmp_path / "voice.mp4"
    voice.write_bytes(b"voice")
    (tmp_path / "link.mp4").hardlink_to(voice)
    check_outputs([(tmp_path / "out.mp4", (".mp4",))], [voice, None])
    for name in ("voice.mp4", "link.mp4", "./voice.mp4"):
        with pytest.raises(OutputError, match="also read as"):
            check_outputs([(f"{tmp_path}/{name}", (".mp4",))], [voice])
    with pytest.raises(OutputError, match="also written as"):
        check_outputs([(tmp_path / "a.csv", ()), (tmp_path / "a.csv", ())])
    assert voice.read_bytes() == b"voice" and sorted(p.name for p in tmp_path.iterdir()) == ["link.mp4", "voice.mp4"]


def test_other_kinds_of_names_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"ending in \.npz or \.csv"):
        check_outputs([(tmp_path / "m.wav", (".npz", ".csv"))])
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(OutputError, match="pipe"):
        check_outputs([(tmp_path / "pipe.mp4", (".mp4",))])
    with pytest.raises(OutputError, match="pipe"), replace_on_success(tmp_path / "pipe.mp4"):
        pass


PROGRAM = """
import sys, time
from emotalker.core.cli import run
from emotalker.core.files import replace_on_success

def main():
    with replace_on_success(sys.argv[1]) as temporary:
        temporary.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_program_leaves_nothing(tmp_path, number):
    """A kill leaves a hidden file, which the next writer of the same file removes."""
    output = tmp_path / "o.mp4"
    output.write_text("old")
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(output)], stdout=subprocess.PIPE)
    assert program.stdout.readline() == b"writing\n"
    program.send_signal(number)
    expected = {signal.SIGINT: 130, signal.SIGKILL: -9}.get(number, 128 + number)
    assert program.wait(10) == expected
    program.stdout.close()
    if number == signal.SIGKILL:
        assert len(list(tmp_path.iterdir())) == 2
        with replace_on_success(output) as temporary:
            temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    assert output.read_text() == ("new" if number == signal.SIGKILL else "old")


def test_temporaries_of_running_programs_stay(tmp_path):
    with replace_on_success(tmp_path / "o.mp4") as first, replace_on_success(tmp_path / "o.mp4") as second:
        assert first.exists() and second.exists() and first != second
        first.write_text("1")
        second.write_text("2")


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.webm", "o.npz", "o.png", "o.pdf", "o.glb"])
def test_files_that_are_no_earlier_outputs_stay(tmp_path, name):
    path = tmp_path / name
    path.write_text("a letter of mine")
    with pytest.raises(OutputError, match="remove it or give another name"):
        check_outputs([(path, (path.suffix,))])
    assert path.read_text() == "a letter of mine"
    path.write_bytes(b"")
    check_outputs([(path, (path.suffix,))])


def test_earlier_outputs_are_replaced(tmp_path):
    (tmp_path / "o.mp4").write_bytes(b"\0\0\0 ftypisom")
    (tmp_path / "m.csv").write_text("frame,jawOpen\n")
    (tmp_path / "n.csv").write_bytes(b"PK\3\4\0\0")
    check_outputs([(tmp_path / "o.mp4", (".mp4",)), (tmp_path / "m.csv", (".csv",))])
    with pytest.raises(OutputError):
        check_outputs([(tmp_path / "n.csv", (".csv",))])


def run_script(name, *arguments):
    command = [sys.executable, ROOT / "scripts" / f"{name}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_track_and_export_keep_their_inputs(tmp_path):
    motion = tmp_path / "m.npz"
    MotionTrack(np.zeros((3, ARKIT.dim), np.float32), ARKIT).save(motion)
    before = motion.read_bytes()
    failed = run_script("track", "--video", motion, "--output", motion)
    assert failed.returncode == 1 and "also read as" in failed.stderr and failed.stderr.count("\n") == 1
    failed = run_script("track", "--video", motion, "--output", tmp_path / "c.txt")
    assert failed.returncode == 1 and "ending in .npz" in failed.stderr
    failed = run_script("export_motion", "--coefficients", motion, "--output", motion)
    assert failed.returncode == 1 and "also read as" in failed.stderr and failed.stderr.count("\n") == 1
    assert motion.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["m.npz"]
