"""The page in Chromium: upload, run, play, download, error, cancel; what visitors see of each other; phones."""

import argparse
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from skimage import data

from emotalker.app.command import add_arguments, start
from emotalker.audio.io import load_audio
from emotalker.coefficients import MotionTrack
from emotalker.core.emotions import EMOTIONS
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.video.image import save_image
from tests.helpers import save_wav

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROOT = Path(__file__).parent.parent
#: Generous, since machines that test are busy.
WAIT = 40_000


@pytest.fixture(scope="module")
def server():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with start(parser.parse_args(["--port", "0", "--max-upload-mb", "1", "--max-seconds", "7"])) as running:
        yield running
    assert not running.storage.root.exists()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A portrait, a picture without a face, a voice of one second, and one that is too long."""
    folder = tmp_path_factory.mktemp("inputs")
    voice = load_audio(ROOT / "emotalker" / "assets" / "demo.flac")
    return {
        "portrait": save_image(folder / "portrait.jpg", data.astronaut()),
        "wall": save_image(folder / "wall.png", np.full((256, 256, 3), 128, np.uint8)),
        "voice": save_wav(folder / "voice.wav", voice[16000:32000]),
        "long": save_wav(folder / "long.wav", np.tile(voice, 2)[: 8 * 16000]),
    }


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(server, browser):
    """The page of a new visitor; afterwards, that it asked no other address for anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    opened = context.new_page()
    opened.goto(server.url)
    opened.wait_for_selector("#make", timeout=WAIT)
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []


def give(page, inputs, portrait="portrait", voice="voice"):
    page.set_input_files("#portrait input[type=file]", inputs[portrait])
    page.wait_for_selector("#portrait img", timeout=WAIT)
    page.set_input_files("#voice input[type=file]", inputs[voice])


def choose(page, dropdown, value):
    page.click(f"{dropdown} input")
    page.click(f"[role=option]:text-is('{value}')")


def test_upload_run_play_download(page, server, inputs, browser):
    give(page, inputs)
    page.wait_for_selector("#plot svg polygon", timeout=WAIT)
    assert "heard in the voice" in page.inner_text("#plot")
    choose(page, "#emotion", "happy")
    choose(page, "#size", "256")
    page.click("#new-seed")
    page.wait_for_function("document.querySelector('#seed input').value !== '0'")
    seed = page.input_value("#seed input")
    page.click("#make")
    page.wait_for_selector("#files a", timeout=WAIT)
    assert f"256 x 256, seed {seed}" in page.inner_text("#status")
    page.evaluate("document.querySelector('#result video').muted = true; document.querySelector('#result video').play()")
    page.wait_for_function("document.querySelector('#result video').currentTime > 0.3", timeout=WAIT)
    assert page.evaluate("document.querySelector('#result video').videoWidth") == 256
    page.click("#add-head")
    page.wait_for_selector("#files a[download='head.glb']", timeout=WAIT)

    files = {}
    for name in ("talking.mp4", "motion.npz", "motion.csv", "emotion.csv", "head.glb"):
        with page.expect_download() as download:
            page.click(f"#files a[download='{name}']")
        files[name] = Path(download.value.path())
    assert len(files["talking.mp4"].read_bytes()) > 10_000 and files["head.glb"].read_bytes()[:4] == b"glTF"
    motion = MotionTrack.load(shutil.copy(files["motion.npz"], inputs["voice"].with_name("motion.npz")))
    assert motion.coefficients.shape == (25, 58)
    emotion = EmotionTrack.load(files["emotion.csv"])
    assert (emotion.weights.argmax(1) == EMOTIONS.index("happy")).all()

    address = page.get_attribute("#result video", "src")
    stranger = browser.new_context()
    assert page.request.get(address).status == 200
    stranger.request.get(server.url)  # has a cookie of its own now
    assert stranger.request.get(address).status == 403
    stranger.close()


def test_errors_are_messages(page, inputs):
    page.click("#make")
    page.wait_for_selector("text=give a portrait first", timeout=WAIT)
    give(page, inputs, portrait="wall", voice="long")
    page.wait_for_selector("text=long.wav is longer than 7 s", timeout=WAIT)
    page.click("#voice button[aria-label='Clear']")
    page.set_input_files("#voice input[type=file]", inputs["voice"])
    page.wait_for_selector("#plot svg polygon", timeout=WAIT)
    page.click("#make")
    message = page.wait_for_selector("text=no face", timeout=WAIT).inner_text()
    assert "wall.png" in message and "/" not in message
    page.wait_for_selector("#make:not([disabled])", timeout=WAIT)


def test_cancel_of_an_example(page, server):
    def unfinished():
        return list(server.storage.root.rglob(".talking-*.mp4"))

    before = set(server.storage.root.rglob("*.mp4"))
    page.click("#example-3")
    page.wait_for_selector("#plot svg polygon", timeout=WAIT)
    assert "surprised" in page.inner_text("#plot")
    choose(page, "#size", "256")
    page.click("#make")
    page.wait_for_selector("text=/frame [0-9]+ of/", timeout=WAIT)
    assert unfinished()
    page.click("#cancel")
    page.wait_for_selector("#status:has-text('Cancelled')", timeout=WAIT)
    page.wait_for_selector("#make:not([disabled])", timeout=WAIT)
    for _ in range(100):
        if not unfinished():
            break
        time.sleep(0.1)
    assert not unfinished() and set(server.storage.root.rglob("*.mp4")) == before  # the work has ended, without a video
    assert page.query_selector("#result video") is None


def test_edited_table_is_the_emotion(page):
    page.click("#example-1")
    page.wait_for_selector("#plot svg polygon", timeout=WAIT)
    page.click("#by-second button")
    page.dblclick("#table [data-testid=cell-0-1]")
    page.keyboard.press("Control+A")
    page.keyboard.type("disgusted")
    page.keyboard.press("Enter")
    page.wait_for_selector("#plot:has-text('disgusted')", timeout=WAIT)
    assert page.input_value("#emotion input") == "of the table"


def test_phone(browser, server):
    phone = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True).new_page()
    phone.goto(server.url)
    phone.click("#example-2", timeout=WAIT)
    phone.wait_for_selector("#plot svg polygon", timeout=WAIT)
    phone.click("#by-second button")
    phone.wait_for_selector("#table [data-testid=cell-0-1]", timeout=WAIT)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.context.close()


def test_other_visitors_files_sessions_and_uploads(server, inputs):
    call = {"data": [None], "fn_index": 0, "session_hash": "first"}
    with httpx.Client(base_url=server.url) as first, httpx.Client(base_url=server.url) as second:
        first.get("/"), second.get("/")
        picture = {"files": ("../../portrait.jpg", inputs["portrait"].read_bytes())}
        path = Path(first.post("/gradio_api/upload", files=picture).json()[0])
        assert path.parent.parent == server.storage.root and path.name == "portrait.jpg"
        assert first.get(f"/gradio_api/file={path}").status_code == 200
        assert second.get(f"/gradio_api/file={path}").status_code == 403
        for other in (
            "/etc/passwd",
            f"{path}/../../../../etc/passwd",
            str(ROOT / "pyproject.toml"),
            str(server.storage.root),
        ):
            assert first.get(f"/gradio_api/file={other}").status_code == 403
        for stolen in (str(path), "/etc/passwd", "http://localhost:1/picture.png"):
            file = {"path": stolen, "meta": {"_type": "gradio.FileData"}}
            answer = second.post("/gradio_api/queue/join", json={**call, "data": [file], "session_hash": "second"})
            assert answer.status_code == 403
        assert first.post("/gradio_api/queue/join", json=call).status_code != 403
        assert second.get("/gradio_api/queue/data", params={"session_hash": "first"}).status_code == 403
        for address in (
            "/gradio_api/proxy=http://localhost:1/",
            "/monitoring",
            "/gradio_api/runs",
            "/gradio_api/run/predict",
        ):
            assert first.get(address).status_code == 404

        with socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), timeout=10) as connection:
            connection.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000000\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 413")

        def without_length():
            yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
            yield from [bytes(100_000)] * 30

        kind = {"content-type": "multipart/form-data; boundary=x"}
        assert first.post("/gradio_api/upload", headers=kind, content=without_length()).status_code == 413

    def ask(number):
        answer = first.post("/gradio_api/queue/join", json={**call, "session_hash": f"{number}"})
        return answer.status_code

    with httpx.Client(base_url=server.url, timeout=30) as first, ThreadPoolExecutor(20) as threads:
        first.get("/")
        assert set(threads.map(ask, range(100))) <= {200, 503}
        assert first.get("/").status_code == 200
