"""User study on a real server: many raters at once and a killed process; a rater in a browser."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from study_helpers import SYSTEMS, answers_to, hidden, write_study, write_video

from emotalker.study.answers import read_database
from emotalker.study.database import Database
from emotalker.study.definition import CRITERIA
from emotalker.study.mturk import export
from emotalker.study.store import Store, Task

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


POSTGRES = next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)


@pytest.fixture
def postgres(tmp_path_factory):
    """URL of an empty PostgreSQL database; its server refuses root, which becomes the user that Debian's package makes."""
    folder, port = tmp_path_factory.mktemp("postgres"), free_port()
    prefix = []
    if os.getuid() == 0:
        folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # the test's own folder is closed to other users
        shutil.chown(folder, "postgres")
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    options = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([*prefix, POSTGRES / "initdb", "-D", folder / "d", "-U", "study", "-A", "trust", "-N"], **options)
    control = [*prefix, POSTGRES / "pg_ctl", "-D", folder / "d", "-w"]
    flags = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([*control, "-l", folder / "log", "-o", flags, "start"], **options)
    try:
        yield f"postgresql://study@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **options)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL's server is not installed (Debian: apt install postgresql)")
def test_twenty_raters_on_postgresql(tmp_path, postgres):
    study, _ = write_study(tmp_path, ITEMS, f"raters_per_item: {RATERS * EACH // ITEMS}\nitems_per_rater: {EACH}\n")
    with ThreadPoolExecutor(RATERS) as pool:
        stores = list(pool.map(lambda _: Store(study, Database(postgres)), range(3)))  # servers that start together
        assert len({store.secret for store in stores}) == 1

        def rate(number: int) -> list[int]:
            first, second, done = stores[number % 3], stores[(number + 1) % 3], []
            first.register(str(number))
            while isinstance(task := second.next(str(number)), Task):
                places = dict.fromkeys(CRITERIA, 0 if task.expected is None else task.expected)
                assert first.submit(str(number), task.id, places) and second.submit(str(number), task.id, places)
                done.append(task.id)
            return done

        acknowledged = [task for done in pool.map(rate, range(RATERS)) for task in done]
    answers = read_database(study, postgres).answers
    assert len(set(acknowledged)) == len(acknowledged)
    assert len(answers) == len({(a.rater, a.item, a.criterion) for a in answers}) == (len(acknowledged) - RATERS) * 5
    per_item = Counter(a.item for a in answers)
    assert max(per_item.values()) == 50 and sum(per_item.values()) >= 0.95 * ITEMS * 50
    for store in stores:
        store.database.engine.dispose()


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

        def watch(page) -> None:
            page.on("request", lambda request: None if "127.0.0.1" in request.url else outside.append(request.url))

        watch(page)
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
        assert page.locator("button[type=submit]").is_disabled()
        for number in range(2):
            page.get_by_role("button", name="Play all together").click()
            page.wait_for_selector("button[type=submit]:enabled", timeout=30_000)  # every video was watched
            if number == 0:  # the browser is closed on a page half answered, and opened again on a phone
                page.locator("input[name=q0]").last.check()
                kept = context.storage_state()
                context.close()
                context = browser.new_context(viewport={"width": 390, "height": 844}, storage_state=kept, has_touch=True)
                page = context.new_page()
                watch(page)
                page.goto(f"http://127.0.0.1:{port}/")
                assert page.locator("input[name=task]").get_attribute("value") == task
                assert page.locator("input[name=q0]").last.is_checked()
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


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (make test installs it on Debian)")
def test_the_page_for_mechanical_turk_fills_its_answers_in(tmp_path):
    """The layout as Mechanical Turk shows it: variables replaced by a row, in a frame with the assignment's id."""
    from playwright.sync_api import sync_playwright

    study, _ = write_study(tmp_path / "study", 3, systems=("one", "two", "three"))
    export(study, "https://videos.test", tmp_path / "out")
    layout = (tmp_path / "out" / "layout.html").read_text()
    with open(tmp_path / "out" / "items.csv", newline="") as file:
        rows = [row | {"item": str(number)} for number, row in enumerate(csv.DictReader(file))]  # a known order each time
    shown = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        content = ""
        page.route(
            "**/*", lambda r: r.fulfill(body=content, content_type="text/html") if "hit" in r.request.url else r.abort()
        )
        for assignment, row in enumerate(rows * 2):
            content = "<!DOCTYPE html>" + layout
            for name, value in row.items():
                content = content.replace("${" + name + "}", value)
            page.goto(f"https://turk.test/hit?assignmentId={assignment}", wait_until="domcontentloaded")
            for index in range(len(CRITERIA)):
                page.locator(f"input[name=choice{index}]").nth(index % 3).check()
            order = page.locator("#order").input_value()
            assert order in row["orders"].split(";")
            videos = page.evaluate("[...document.querySelectorAll('video')].map(video => video.src)")
            assert videos == [f"https://videos.test/{name}" for name in order.split()]
            chosen = [page.locator(f"#q{index}").input_value() for index in range(len(CRITERIA))]
            assert chosen == [order.split()[index % 3] for index in range(len(CRITERIA))]
            assert page.locator("#check").is_visible() == (row["instructed"] == "1")
            if row["instructed"] == "1":
                letter = "ABC"[order.split().index(row["expected"])]
                assert f"choose Video {letter} for" in page.locator("#check").inner_text()
            shown.append((row["item"], order))
        page.screenshot(path=str(tmp_path / "turk.png"), full_page=True)
        browser.close()
    assert len(set(shown)) > len(rows)  # workers see different orders of an item
