"""The service as a process: signals, a sudden end, and a real video."""

import re
import signal
import subprocess
import sys
from argparse import ArgumentParser
from contextlib import contextmanager
from pathlib import Path

import av
import httpx
import pytest
from service_client import WORKER, ended, events, form, running_service, wait_for, write_inputs
from service_worker import MILLISECONDS

from emotalker.core.errors import ConfigError, EmoTalkerError, MissingExtraError
from emotalker.service.access import digest
from emotalker.service.command import add_arguments, main, serve, settings_from
from emotalker.service.settings import Settings

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@contextmanager
def process(*command):
    """A process of a service, and a client of it."""
    service = subprocess.Popen([sys.executable, *map(str, command)], stderr=subprocess.PIPE, text=True)
    try:
        address = next((line for line in service.stderr if "running on" in line), "")
        match = re.search(r"http://\S+", address)
        assert match, f"the service did not start: {service.poll()}"
        with httpx.Client(base_url=match.group(), timeout=60, trust_env=False) as client:
            yield service, client
    finally:
        service.kill()
        service.wait()
        service.stderr.close()


def quick(folder, **settings):
    return process(ROOT / "tests" / "service_server.py", folder, settings, 0)


def post(client, inputs, **fields):
    answer = client.post("/v1/videos", files=form(inputs), data=fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def is_running(client, job):
    return client.get(f"/v1/videos/{job}").json()["status"] == "running"


def children(process):
    """Processes that a process has started, where the system tells."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [child for path in lists for child in path.read_text().split()]


def lives(process):
    """Whether a process has not ended; one that nobody has waited for has no command line any more."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:
        return False


def test_jobs_outlive_a_kill_and_an_orderly_end(tmp_path, inputs):
    with quick(tmp_path) as (service, client):
        done = post(client, inputs)
        ended(client, done)
        running, waiting = post(client, inputs, seed=MILLISECONDS + 60_000), post(client, inputs, emotion="happy")
        wait_for(lambda: is_running(client, running))
        workers = children(service.pid)
        service.send_signal(signal.SIGKILL)
        service.wait()
    wait_for(lambda: not any(map(lives, workers)), 10)
    with quick(tmp_path, job_seconds=1.5) as (service, client):
        assert client.get(f"/v1/videos/{done}/result").status_code == 200
        assert ended(client, waiting)["status"] == "done"  # after the first, which is started again, and takes too long
        assert client.get(f"/v1/videos/{running}").json()["message"].startswith("it took longer than 1.5 s")

        running, waiting = post(client, inputs, seed=MILLISECONDS + 700), post(client, inputs)
        wait_for(lambda: is_running(client, running))
        service.terminate()
        wait_for(lambda: client.get("/v1/health").status_code == 503)
        refused = client.post("/v1/videos", files=form(inputs))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert events(client, running)[-1][0] == "done"
        assert service.wait(timeout=20) == 0
    with running_service(tmp_path) as client:
        assert client.get(f"/v1/videos/{running}").json()["status"] == "done"
        assert ended(client, waiting)["status"] == "done"


def test_a_port_in_use_is_one_sentence(tmp_path):
    with (
        running_service(tmp_path / "first") as client,
        pytest.raises(EmoTalkerError, match=r"cannot listen on 127\.0\.0\.1:\d+;"),
    ):
        serve(Settings(tmp_path / "second", worker_command=WORKER), "127.0.0.1", client.base_url.port)


def settings(tmp_path, *arguments):
    parser = ArgumentParser()
    add_arguments(parser)
    return settings_from(parser.parse_args(["--folder", str(tmp_path), *map(str, arguments)]))


def test_options_of_the_command(tmp_path, monkeypatch):
    assert settings(tmp_path) == Settings(tmp_path)
    (tmp_path / "tokens").write_text("# clients\nanna 0123456789abcdef\n\nbert fedcba9876543210 # new\n")
    monkeypatch.setenv("EMOTALKER_TOKEN", "of the environment")
    given = settings(tmp_path, "--tokens", tmp_path / "tokens", "--max-audio-mb", 2.5, "--keep-hours", 0.5, "--queue", 7)
    assert given.tokens == {
        digest("0123456789abcdef"): "anna", digest("fedcba9876543210"): "bert", digest("of the environment"): "client",
    }  # fmt: skip
    assert (given.max_audio_bytes, given.keep_seconds, given.queue) == (2_500_000, 1800.0, 7)
    for content, sentence in (("anna short", "line 1: the token is shorter"), ("anna", "line 1"), ("#", "has no token")):
        (tmp_path / "tokens").write_text(content)
        with pytest.raises(ConfigError, match=sentence):
            settings(tmp_path, "--tokens", tmp_path / "tokens")
    with pytest.raises(ConfigError, match="cannot read the tokens"):
        settings(tmp_path, "--tokens", tmp_path / "none")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    parser = ArgumentParser()
    add_arguments(parser)
    with pytest.raises(MissingExtraError, match=r"uvicorn; run: pip install 'emotalker\[serve\]'"):
        main(parser.parse_args([]))


def test_a_real_video_and_a_motion(tmp_path, inputs):
    with running_service(tmp_path, worker_command=None) as client:
        job = post(client, inputs, size=256, emotion_track="time,emotion,share\n0,happy,1")
        motion = client.post("/v1/motion", files={"audio": form(inputs)["audio"]}).json()
        told = events(client, job)
        assert told[-1][0] == "done", told[-1]
        (tmp_path / "video.mp4").write_bytes(client.get(told[-1][1]["result"]).content)
        without_face = client.post("/v1/videos", files=form(inputs) | {"image": grey_picture()})
        state = ended(client, without_face.json()["id"])
        assert state["status"] == "failed" and state["message"].startswith("no face found in the image")
    with av.open(str(tmp_path / "video.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, sum(1 for _ in video.decode(stream))) == (256, 256, 25)
    assert (len(motion["coefficients"]), len(motion["coefficients"][0]), motion["fps"]) == (25, 58, 25)
    assert len(motion["names"]) == 58 and max(map(max, motion["coefficients"])) > 0.02
    assert (tmp_path / "jobs" / job / "result.mp4").is_file()


def grey_picture():
    import cv2
    import numpy as np

    return cv2.imencode(".png", np.full((300, 300, 3), 128, np.uint8))[1].tobytes()
