"""The GLB in other programs: the Khronos validator, and three.js in Chromium."""

import json
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.exchange.gltf import write_glb
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait

FOLDER = Path(__file__).parent / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    not (FOLDER / "node_modules" / "three").exists(),
    reason="the packages of tests/browser are not installed (make test does)",
)


@pytest.fixture(scope="module")
def motion():
    values = np.random.default_rng(0).uniform(0, 1, (50, ARKIT.dim)).astype(np.float32)
    values[:, ARKIT.pose] = 0.05
    return MotionTrack(values, ARKIT)


@pytest.fixture(scope="module")
def glb(motion, tmp_path_factory):
    portrait = Portrait.from_image(data.astronaut(), FaceLandmarker(), FaceModel.load(), 256)
    return write_glb(tmp_path_factory.mktemp("glb") / "head.glb", portrait, motion)


def test_khronos_validator_finds_nothing(glb):
    done = subprocess.run(["node", "validate.mjs", glb], cwd=FOLDER, capture_output=True, text=True, check=True, timeout=60)
    report = json.loads(done.stdout)
    issues = report["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues["messages"][:5]
    assert report["info"]["hasMorphTargets"] and report["info"]["animationCount"] == 1


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_three_js_plays_the_animation(glb, motion, tmp_path):
    from playwright.sync_api import sync_playwright

    for name in ("viewer.html", "node_modules"):
        (tmp_path / name).symlink_to(FOLDER / name)
    (tmp_path / "head.glb").symlink_to(glb)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            page = browser.new_page(viewport={"width": 400, "height": 400})
            page.goto(f"http://127.0.0.1:{server.server_port}/viewer.html")
            page.wait_for_function("window.ready", timeout=60_000)
            for frame in (0, 10, 37):
                weights = page.evaluate(f"window.weightsAt({frame / 25})")
                expected = motion.coefficients[frame, ARKIT.expression]
                np.testing.assert_allclose([weights[name] for name in ARKIT.expression_names], expected, atol=1e-4)
            picture = page.screenshot(path=str(tmp_path / "head.png"))
            browser.close()
        assert len(picture) > 10_000  # an empty page is much smaller
    finally:
        server.shutdown()
