"""Chunks from pipes, frames to pipes, and scripts/live.py."""

import io
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import av
import numpy as np
import pytest
from skimage import data

from emotalker.audio.chunks import microphone, pcm_chunks
from emotalker.audio.io import load_audio
from emotalker.core.errors import EmoTalkerError, MissingExtraError, OutputError
from emotalker.video.image import save_image
from emotalker.video.live import mpegts, output, paced, raw_frames, virtual_camera, window

LIVE = Path(__file__).parent.parent / "scripts" / "live.py"


@pytest.fixture(scope="module")
def person(tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "person.png"
    save_image(path, data.astronaut())
    return path


def pcm(seconds: float) -> bytes:
    voice = load_audio(str(files("emotalker") / "assets" / "demo.flac"))[: round(seconds * 16000)]
    return (voice * 32767).astype("<i2").tobytes()


class Closed(io.RawIOBase):
    """A pipe whose reader is gone."""

    def write(self, data) -> int:
        raise BrokenPipeError


def test_raw_samples_are_read_in_chunks_and_half_a_sample_is_left_out():
    values = np.arange(-500, 500, dtype=np.int16)
    chunks = list(pcm_chunks(io.BytesIO(values.tobytes() + b"\x01"), 16000))
    assert len(chunks) == 4 and len(chunks[0]) == 320
    np.testing.assert_array_equal(np.concatenate(chunks), values)


def test_mpegts_has_the_frames_and_the_sound():
    file, tone = io.BytesIO(), np.sin(np.arange(640) / 5).astype(np.float32)
    with mpegts(file, 64, 25, 16000) as show:
        assert all(show(np.full((64, 64, 3), 10 * i, np.uint8), tone) for i in range(20))
    assert not file.closed
    file.seek(0)
    with av.open(file) as container:
        pictures = list(container.decode(video=0))
    assert len(pictures) == 20 and pictures[15].to_ndarray(format="rgb24").mean() == pytest.approx(150, abs=5)
    file.seek(0)
    with av.open(file) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(20 * 640, abs=2048)


def test_outputs_end_when_their_reader_is_gone():
    image, audio = np.zeros((64, 64, 3), np.uint8), np.zeros(640, np.float32)
    with raw_frames(Closed()) as show:
        assert not show(image, audio)
    with mpegts(Closed(), 64, 25, 16000) as show:
        assert not all(show(image, audio) for _ in range(60))


def test_raw_frames_are_rgb():
    file, image = io.BytesIO(), np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    with output("raw", file, 8, 25, 16000) as show:
        assert show(image, np.zeros(640, np.float32))
    assert file.getvalue() == image.tobytes()
    with pytest.raises(EmoTalkerError, match="known: window, mpegts, raw, camera"):
        output("film", file, 8, 25, 16000)


def test_missing_packages_and_displays_are_named(monkeypatch):
    for name in ("sounddevice", "pyvirtualcam"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emotalker\[live\]'"), microphone():
        pass
    with pytest.raises(MissingExtraError, match=r"pip install 'emotalker\[live\]'"), virtual_camera(64, 25):
        pass
    monkeypatch.delenv("DISPLAY", raising=False)
    if sys.platform == "linux":
        with pytest.raises(OutputError, match="cannot open a window"), window(64):
            pass


def test_frames_that_are_ready_together_are_shown_apart():
    clock, shown = [0.0], []

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def frames():
        for hop in range(3):
            clock[0] = max(clock[0], 0.16 * hop)
            yield from range(4)

    for _ in paced(frames(), 25, lambda: clock[0], sleep):
        shown.append(clock[0])
    np.testing.assert_allclose(np.diff(shown), 0.04, atol=0.0041)
    late = [clock.__setitem__(0, clock[0] + 0.5) for _ in paced(range(3), 25, lambda: clock[0], sleep)]
    assert len(late) == 3, "frames that are late are not waited for"


def test_live_writes_frames_of_a_pipe_and_stops_with_its_reader(person):
    command = [sys.executable, LIVE, "--image", person, "--from", "stdin", "--to", "raw", "--size", "64"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(pcm(2))
    frame = np.frombuffer(process.stdout.read(64 * 64 * 3), np.uint8)
    assert len(frame) == 64 * 64 * 3 and frame.std() > 20, "a picture"
    process.stdout.close()
    process.stdin.close()
    errors = process.stderr.read().decode()
    assert process.wait(120) == 0 and "Traceback" not in errors and "BrokenPipe" not in errors, errors


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_live_stops_with_control_c(person):
    command = [sys.executable, LIVE, "--image", person, "--from", "stdin", "--to", "raw", "--size", "64"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while b"ready" not in process.stderr.readline():
        pass
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    errors = process.stderr.read().decode()
    assert process.wait(60) == 0 and "stopped" in errors and "Traceback" not in errors, errors
    process.stdin.close()
