"""No command connects to anything when what it needs is on the machine."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import savemat
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.data import CorpusWriter
from emotalker.video import VideoWriter
from emotalker.video.image import save_image

ROOT = Path(__file__).parents[1]
#: Starts a script in a process in which every look-up of a name and every connection is written to a file and refused.
PROGRAM = """
import os, runpy, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        if event in ("socket.connect", "socket.sendto") and not isinstance(arguments[1], tuple):
            return  # a socket of this machine's file system
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(f"{event} {arguments!r}\\n")
        raise OSError("there is no network")

sys.addaudithook(watch)
sys.argv = sys.argv[1:]
if sys.argv[0] == "connect":
    import socket
    socket.create_connection(("localhost", 9))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A portrait, 0.4 s of a voice, a video of the portrait, a folder of coefficients and a prepared corpus."""
    folder = tmp_path_factory.mktemp("inputs")
    save_image(folder / "p.png", data.astronaut())
    sound = np.sin(np.arange(6400) * 0.1).astype(np.float32) * 0.3
    with av.open(str(folder / "v.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound[None] * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoWriter(folder / "v.mp4", 512, 512, 25, sound, 16000) as writer:
        for _ in range(3):
            writer.write(data.astronaut())
    (folder / "mats").mkdir()
    savemat(folder / "mats/M003_front_happy_level1_000.mat", {"coeff": np.random.default_rng(0).normal(0, 0.3, (30, 257))})
    writer = CorpusWriter(folder / "corpus", ARKIT, "synthetic", "CC0")
    for i in range(25):
        writer.add(f"clip{i}", 0.3 + 0.3 * np.sin(np.arange(40)[:, None] * 0.3 + np.arange(58) + i), np.zeros(40 * 640))
    writer.close()
    return folder


def start(folder, *arguments):
    environment = os.environ | {"CONNECTIONS": f"{folder}/connections", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_watch_sees_connections(tmp_path):
    assert start(tmp_path, "connect").returncode
    assert "getaddrinfo" in (tmp_path / "connections").read_text()


TRAINING = ["steps=1", "batch_size=2", "validate_every=1", "save_every=1", "cpu=true"]
TRAINING += ["model.width=16", "model.depth=2", "model.code_dim=8", "data.frames=32"]
COMMANDS = {
    "infer": lambda i, o: ["--audio", i / "v.wav", "--image", i / "p.png", "--output", o / "o.mp4", "--size", 64],
    "track": lambda i, o: ["--video", i / "v.mp4", "--output", o / "o.npz"],
    "prepare_data": lambda i, o: ["corpus=bfm_mat", f"root={i / 'mats'}", f"out={o / 'out'}", "workers=1"],
    "train_vqvae": lambda i, o: [*TRAINING, f"data.root={i / 'corpus'}", f"run={o / 'run'}"],
}


@pytest.mark.parametrize("script", COMMANDS)
def test_commands_connect_to_nothing(script, inputs, tmp_path):
    done = start(tmp_path, ROOT / "scripts" / f"{script}.py", *COMMANDS[script](inputs, tmp_path))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "connections").exists(), (tmp_path / "connections").read_text()
    assert list(tmp_path.rglob("*.*"))
