"""A service of the tests: the real application and server in a thread, with the worker of service_worker.py."""

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from helpers import save_wav
from skimage import data

from emotalker.service.application import make_application, open_store
from emotalker.service.command import server_config
from emotalker.service.settings import Settings
from emotalker.video.image import save_image

WORKER = [sys.executable, str(Path(__file__).with_name("service_worker.py"))]


@contextmanager
def running_service(folder, **settings):
    """A client of a service."""
    settings = Settings(folder, **{"worker_command": WORKER, "rate": 1000.0, **settings})
    application = make_application(settings, open_store(settings))
    server = uvicorn.Server(server_config(application, settings, "127.0.0.1", 0))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            client.service = application.state.service
            yield client
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def redis_server(folder):
    """A Redis server of the tests; the address of its socket. Skips where there is none."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server (Debian: apt install redis-server)")
    pytest.importorskip("redis", reason="the package redis is not installed (pip install 'emotalker[redis]')")
    command = [server, "--port", "0", "--unixsocket", folder / "socket", "--save", "", "--dir", folder]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: (folder / "socket").exists() or process.poll() is not None)
        yield f"unix://{folder / 'socket'}"
    finally:
        process.terminate()
        process.wait()


def wait_for(condition, seconds=60.0):
    """Wait until a condition is true; returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return value


def write_inputs(folder):
    """``voice.wav`` of 1 s and ``person.png``."""
    t = np.arange(16000) / 16000
    save_wav(folder / "voice.wav", (0.3 * np.sin(2 * np.pi * 150 * t) * np.sin(2 * np.pi * 3 * t)).astype(np.float32))
    save_image(folder / "person.png", data.astronaut())
    return folder


def form(inputs, audio="voice.wav", image="person.png"):
    """The files of a request."""
    return {"audio": (inputs / audio).read_bytes(), "image": (inputs / image).read_bytes()}


def events(client, job, **options):
    """Names and data of a job's server-sent events, to the end of the connection."""
    with client.stream("GET", f"/v1/videos/{job}/events", **options) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = answer.read().decode()
    parts = [part.splitlines() for part in text.split("\n\n") if part.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(value.removeprefix("data: "))) for name, value in parts]


def ended(client, job, **options):
    """The status of a job after its end."""
    return wait_for(
        lambda: (state := client.get(f"/v1/videos/{job}", **options).json())["status"] in ("done", "failed") and state
    )
