"""User study on a real server: many raters at once and a killed process; a rater in a browser."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from study_helpers import SYSTEMS, answers_to, hidden, write_study, write_video

from emotalker.study.answers import read_database
from emotalker.study.definition import CRITERIA

SCRIPT = Path(__file__).parent.parent / "scripts" / "study.py"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RATERS, ITEMS, EACH = 20, 10, 5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(study: Path, answers: Path, port: int):
    """The command, until the block ends; waits for its first page."""
    command = [sys.executable, SCRIPT, "serve", "--study", study, "--answers", str(answers), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                    break
                assert process.poll() is None and time.monotonic() < deadline, "the server does not start"
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


class Rater(threading.Thread):
    """Answers every page; sends each answer again until the server has acknowledged it, and once more after that."""

    def __init__(self, url: str, number: int, acknowledged: list):
        super().__init__()
        self.url, self.number, self.acknowledged, self.code = url, number, acknowledged, None

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=20) as client:
            page = self.ask(client.get, "/")
            page = self.ask(client.post, "/consent", data={"form": hidden(page.text, "form")})
            while 'name="task"' in page.text:
                form = answers_to(page.text, len(CRITERIA), self.number % 2)
                page = self.ask(client.post, "/answers", data=form)
                self.acknowledged.append((self.number, form["task"]))
                page = self.ask(client.post, "/answers", data=form)
            self.code = page.text

    def ask(self, method, path: str, **options) -> httpx.Response:
        """Repeat until there is an answer; the server is killed and started again meanwhile."""
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                response = method(path, follow_redirects=True, **options)
                if response.status_code < 500:
                    return response
            time.sleep(0.05)
        raise AssertionError(f"no answer to {path}")


def test_twenty_raters_and_a_killed_server_lose_and_double_nothing(tmp_path):
    text = f"raters_per_item: {RATERS * EACH // ITEMS}\nitems_per_rater: {EACH}\ninstructed_checks: 1\nminutes: 30\n"
    study, file = write_study(tmp_path / "study", ITEMS, text)
    port, acknowledged = free_port(), []
    raters = [Rater(f"http://127.0.0.1:{port}", number, acknowledged) for number in range(RATERS)]
    with server(file, tmp_path / "answers.db", port) as process:
        for rater in raters:
            rater.start()
        while len(acknowledged) < RATERS * EACH // 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = len(acknowledged)
    assert before < RATERS * (EACH + 1)  # it was killed in the middle
    with server(file, tmp_path / "answers.db", port):
        for rater in raters:
            rater.join(60)
    assert all(rater.code and "code" in rater.code.lower() for rater in raters)
    answers = read_database(study, str(tmp_path / "answers.db")).answers
    # One answer for every criterion of every page that the server has acknowledged, but the check that each rater meets.
    assert len(answers) == (len(set(acknowledged)) - RATERS) * len(CRITERIA)
    assert len({(a.rater, a.item, a.criterion) for a in answers}) == len(answers)
    # No item has more raters than asked for; the last raters may find no item left that is new to them.
    per_item = Counter(a.item for a in answers)
    most = RATERS * EACH // ITEMS * len(CRITERIA)
    assert max(per_item.values()) == most and sum(per_item.values()) >= 0.95 * ITEMS * most


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (make test installs it on Debian)")
def test_a_rater_in_a_browser(tmp_path):
    """Consent, a page without its answers, an answer, reload, a phone's width, the end."""
    from playwright.sync_api import sync_playwright

    video = write_video(tmp_path / "v.mp4")
    study, file = write_study(tmp_path / "study", 2, "instructed_checks: 0\ntitle: Which face?\n", video=video)
    port = free_port()
    with server(file, tmp_path / "answers.db", port), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1100, "height": 900})
        page = context.new_page()
        outside = []
        page.on("request", lambda request: None if "127.0.0.1" in request.url else outside.append(request.url))
        page.goto(f"http://127.0.0.1:{port}/")
        assert "Which face?" in page.content()
        page.screenshot(path=str(tmp_path / "consent.png"), full_page=True)
        page.get_by_role("button").click()
        page.wait_for_selector("video")
        assert page.locator("video").count() == len(SYSTEMS)
        assert not any(system in page.content() for system in SYSTEMS)
        page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
        task = page.locator("input[name=task]").get_attribute("value")
        page.reload()
        assert page.locator("input[name=task]").get_attribute("value") == task
        for width in (1100, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=str(tmp_path / "phone.png"), full_page=True)
        for _ in range(2):
            page.get_by_role("button", name="Play all together").click()
            page.wait_for_selector("button[type=submit]:enabled", timeout=30_000)  # every video was watched
            for index in range(len(CRITERIA)):
                page.locator(f"input[name=q{index}]").first.check()
            task = page.locator("input[name=task]").get_attribute("value")
            page.get_by_role("button", name="Next").click()
            page.wait_for_function("old => document.querySelector('input[name=task]')?.value !== old", arg=task)
        assert "code" in page.content().lower()
        page.screenshot(path=str(tmp_path / "end.png"), full_page=True)
        browser.close()
    assert not outside
    answers = read_database(study, str(tmp_path / "answers.db")).answers
    assert len(answers) == 2 * len(CRITERIA) and {a.item for a in answers} == set(study.items)
