"""With everything cached, no command opens a connection."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import save_wav
from scipy.io import savemat
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.data import CorpusWriter
from emotalker.video import VideoWriter

#: Ends the process at the first attempt to connect or to look up a name, also in libraries; local sockets are allowed.
GUARD = """
import os, sys

def guard(event, arguments):
    connects = event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple)
    if connects or event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        sys.stderr.write(f"connection: {event} {arguments}\\n")
        sys.stderr.flush()
        os._exit(99)

sys.addaudithook(guard)
"""


def run(folder, *arguments):
    """The command in a process that may not connect, with a cache that the other tests have filled."""
    code = f"{GUARD}\nfrom emotalker.console.main import main\nmain({list(map(str, arguments))!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert "connection:" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    photo = cv2.resize(data.astronaut()[:256, 96:352], (128, 128), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "p.png"), data.astronaut()[..., ::-1])
    save_wav(folder / "a.wav", 0.1 * np.sin(np.arange(8000) * 0.3))
    with VideoWriter(folder / "v.mp4", 128, 128) as writer:
        for _ in range(8):
            writer.write(photo)
    savemat(folder / "M003_front_happy_level1_000.mat", {"coeff": np.zeros((30, 257))})
    writer = CorpusWriter(folder / "corpus", ARKIT, "synthetic", "CC0")
    for i in range(25):
        motion = 0.3 + 0.3 * np.sin(np.arange(40)[:, None] * 0.3 + np.arange(58) + i)
        writer.add(f"clip{i}", motion, np.zeros(40 * 640), emotion="happy")
    writer.close()
    return folder


def test_the_guard_sees_connections(tmp_path):
    code = f"{GUARD}\nimport socket\nsocket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 99 and "connection:" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("infer", "--audio", "a.wav", "--image", "p.png", "--output", "o.mp4", "--size", "64"),
        ("track", "--video", "v.mp4", "--output", "t.npz"),
        ("prepare", "corpus=bfm_mat", "root=.", "out=prepared", "workers=1"),
        ("train", "vqvae", "data.root=corpus", "run=run", "steps=2", "validate_every=2", "save_every=2", "batch_size=2")
        + ("cpu=true", "model.width=8", "model.depth=1", "data.frames=32"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_connection(inputs, arguments):
    run(inputs, *arguments)
