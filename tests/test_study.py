"""User study: balance of orders, assignment, pages, analysis, export. The rest is in test_study_server.py."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter

import numpy as np
import pytest
from fastapi.testclient import TestClient
from study_helpers import SYSTEMS, answers_to, hidden, write_study, write_video

from emotalker.core.errors import ConfigError, DataError, OutputError
from emotalker.study.analysis import ALL, agreement, holm, pairs, preferences, significance, wilson
from emotalker.study.answers import Answer, read_database, read_mturk
from emotalker.study.database import Database
from emotalker.study.definition import CRITERIA, load_study
from emotalker.study.mturk import export
from emotalker.study.orders import balanced_orders, latin_square
from emotalker.study.report import write_report
from emotalker.study.store import Finished, Store, Task
from emotalker.study.web import create_app

ALL_LEFT = dict.fromkeys(CRITERIA, 0)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def spread(counts: Counter, systems, n: int) -> int:
    values = [counts[system, place] for system in systems for place in range(n)]
    return max(values) - min(values)


def test_squares_balance_places_and_neighbours():
    for n in range(2, 9):
        squares = [latin_square(n)] if n % 2 == 0 else [latin_square(n), latin_square(n, mirrored=True)]
        for square in squares:
            assert all(sorted(line) == list(range(n)) for line in [*square, *zip(*square, strict=True)])
        neighbours = Counter((row[i], row[i + 1]) for square in squares for row in square for i in range(n - 1))
        assert set(neighbours.values()) == {len(squares)} and len(neighbours) == n * (n - 1)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_orders_are_balanced_in_items_and_over_them(n):
    systems = [f"s{i}" for i in range(n)]
    for raters in (1, 2, 3, 4, 7):
        for items in (1, 2, 5, 12):
            orders = balanced_orders(systems, [f"{i}.mp4" for i in range(items)], raters, seed=raters)
            total: Counter = Counter()
            for rows in orders.values():
                assert len(rows) == raters and all(sorted(row) == systems for row in rows)
                counts = Counter((system, place) for row in rows for place, system in enumerate(row))
                assert spread(counts, systems, n) <= 1
                total += counts
            assert spread(total, systems, n) <= 1


def test_orders_follow_the_seed():
    names = [f"{i}.mp4" for i in range(20)]
    assert balanced_orders("ab", names, 3, 1) == balanced_orders("ab", names, 3, 1) != balanced_orders("ab", names, 3, 2)


def complete(store: Store, token: str, choose=lambda task: 0) -> Finished:
    """Answer pages until the last; attention checks as asked."""
    store.register(token)
    while isinstance(task := store.next(token), Task):
        place = choose(task) if task.expected is None else task.expected
        assert store.submit(token, task.id, dict.fromkeys(store.study.criteria, place))
    return task


def test_every_item_gets_its_raters_in_balanced_orders(tmp_path):
    study, path = write_study(tmp_path, 8, "raters_per_item: 4\nitems_per_rater: 4\n")
    store = Store(study, Database(str(tmp_path / "a.db")))
    own: list[int] = []

    def left(task: Task) -> int:
        own.append(task.videos.index(SYSTEMS[0]))
        return 0

    for rater in range(8):
        own.clear()
        assert complete(store, f"rater {rater}", left).code
        assert len(own) == 4 and 1 <= sum(own) <= 3  # the rater has seen each system at both sides
    answers = read_database(study, str(tmp_path / "a.db"))
    raters = Counter((a.item, a.rater) for a in answers.answers if a.criterion == "video sharpness")
    assert set(raters.values()) == {1} and len(raters) == 32
    # Everybody chose left, so the answers show who was left: each system equally often, in each item as well.
    assert set(Counter((a.item, a.system) for a in answers.answers).values()) == {2 * 5}
    assert complete(store, "one too many").code is None
    with pytest.raises(ConfigError, match="other systems"):
        path.write_text(path.read_text().replace("raters_per_item: 4", "raters_per_item: 5"))
        Store(load_study(path), Database(str(tmp_path / "a.db")))


def test_expired_items_go_to_others_and_late_answers_are_refused(tmp_path):
    clock = Clock()
    study, _ = write_study(tmp_path, 1, "raters_per_item: 1\ninstructed_checks: 0\n")
    store = Store(study, Database(str(tmp_path / "a.db")), clock)
    for token in ("slow", "quick"):
        store.register(token)
    task = store.next("slow")
    assert store.next("slow") == task  # a reload shows the same page
    assert store.next("quick") == Finished(None)
    clock.now += 60 * study.minutes + 1
    taken = store.next("quick")
    assert taken.id == task.id and taken.videos == task.videos
    assert not store.submit("slow", task.id, ALL_LEFT)
    assert store.submit("quick", task.id, ALL_LEFT)
    assert store.submit("quick", task.id, dict.fromkeys(CRITERIA, 1))  # sent again: the first answer counts
    assert {a.place for a in read_database(study, str(tmp_path / "a.db")).answers} == {0}
    assert store.next("quick").code == store.next("quick").code


def test_late_answer_counts_while_nobody_else_has_the_item(tmp_path):
    clock = Clock()
    study, _ = write_study(tmp_path, 1, "raters_per_item: 1\n")
    store = Store(study, Database(str(tmp_path / "a.db")), clock)
    store.register("slow")
    task = store.next("slow")
    clock.now += 1e6
    assert store.submit("slow", task.id, ALL_LEFT)


def test_items_of_inattentive_raters_go_to_others(tmp_path):
    better, worse = write_video(tmp_path / "x.mp4", frames=2), write_video(tmp_path / "y.mp4", frames=2)
    text = f"raters_per_item: 1\ngold_checks: [{{better: {better}, worse: {worse}}}]\n"
    study, _ = write_study(tmp_path, 4, text)
    store = Store(study, Database(str(tmp_path / "a.db")))
    store.register("careless")
    kinds = []
    while isinstance(task := store.next("careless"), Task):
        kinds.append(task.kind)
        place = 0 if task.expected is None else 1 - task.expected
        store.submit("careless", task.id, dict.fromkeys(CRITERIA, place))
    assert task.code and kinds[-1] == "instructed" and kinds[0] == "item"
    wasted = kinds.count("item")
    assert complete(store, "careful").code
    answers = read_database(study, str(tmp_path / "a.db"))
    assert answers.excluded(study) == {"1"} and answers.raters["1"].failed == 1
    assert answers.raters["2"].checks == 2 and answers.raters["2"].failed == 0
    assert len(answers.valid(study)) == 4 * 5 and len(answers.answers) == (4 + wasted) * 5


@pytest.fixture
def site(tmp_path):
    study, _ = write_study(tmp_path, 2, "title: A <b> & c\n")
    store = Store(study, Database(str(tmp_path / "a.db")))
    app = create_app(study, store)
    with TestClient(app, base_url="http://study.test") as client:
        yield client, app, study, tmp_path


def begin(client: TestClient) -> str:
    response = client.post("/consent", data={"form": hidden(client.get("/").text, "form")})
    assert response.status_code == 200
    return response.text


def test_pages_never_name_systems_items_or_folders(site):
    client, _, _, folder = site
    seen = client.get("/").text
    html = begin(client)
    assert "A &lt;b&gt; &amp; c" in html and len(re.findall("<video", html)) == 2
    while 'id="answers"' in html:
        seen += html
        for name in re.findall(r"/video/(\w+)", html):
            response = client.get(f"/video/{name}", headers={"Range": "bytes=0-9"})
            assert response.status_code == 206 and len(response.content) == 10
            seen += str(response.headers)
        html = client.post("/answers", data=answers_to(html, 5)).text
    seen += html
    assert 'id="code"' in html and "expected" not in seen
    for word in (*SYSTEMS, "secret", "clip0", "clip1", str(folder), "http://", "https://", "//"):
        assert word not in seen.replace("<!DOCTYPE html>", "")


def test_only_videos_of_the_study_are_served(site):
    client = site[0]
    for path in ("../study.yaml", "..%2fa.db", "%2e%2e%2fa.db", "a.db", f"{SYSTEMS[0]}%2fclip0.mp4", "0" * 32, "%00"):
        assert client.get(f"/video/{path}").status_code == 404
    for path in ("/a.db", "/docs", "/openapi.json", "/study.css/../study.yaml"):
        assert client.get(path).status_code == 404


def test_forms_of_others_are_refused(site):
    client, app, study, folder = site
    html = begin(client)
    data = answers_to(html, 5)
    stranger = TestClient(app, base_url="http://study.test")
    assert stranger.post("/answers", data=data).status_code == 403  # no cookie
    begin(stranger)
    assert stranger.post("/answers", data=data).status_code == 403  # another rater's form
    assert client.post("/answers", data=data, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/answers", data=data | {"form": "0" * 32}).status_code == 403
    assert client.post("/answers", data=data | {"task": "99999"}).status_code == 403
    assert client.post("/answers", data=data | {"q0": "7"}).status_code == 422
    assert client.post("/answers", data=data | {"q0": ""}).status_code == 422
    assert client.post("/answers", data=data | {"q0": "1" * 20_000}).status_code == 413
    assert client.post("/answers", content=iter([b"a" * 9000, b"b" * 9000])).status_code == 413  # without a length
    assert not read_database(study, str(folder / "a.db")).answers
    assert client.post("/answers", data=data).status_code == 200
    assert len(read_database(study, str(folder / "a.db")).answers) == 5
    cookie = TestClient(app, base_url="http://study.test").get("/").headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie


def hand_made() -> list[Answer]:
    """Three raters, four items, one criterion: a a b b | a a b a | a - b a; the example is worked out by hand below."""
    choices = {"r1": "aabb", "r2": "aaba", "r3": "a-ba"}
    return [
        Answer(rater, str(item), "c", system, item % 2)
        for rater, row in choices.items()
        for item, system in enumerate(row)
        if system != "-"
    ]


def test_statistics_of_a_case_worked_out_by_hand():
    answers = hand_made()
    rate = {r.system: r for r in preferences(answers, ["a", "b"], ["c"]) if r.criterion == "c"}
    assert (rate["a"].chosen, rate["a"].answers) == (7, 11) and rate["a"].rate == pytest.approx(7 / 11)
    # Wilson: (7 + z^2 / 2 -+ z sqrt(7 * 4 / 11 + z^2 / 4)) / (11 + z^2), z = 1.96
    z = 1.959964
    half = z * math.sqrt(28 / 11 + z * z / 4)
    assert rate["a"].wilson == pytest.approx(((7 + z * z / 2 - half) / (11 + z * z), (7 + z * z / 2 + half) / (11 + z * z)))
    # Raters chose a in 2/4, 3/4, 2/3: a resampled rate lies between, and reaches both ends (each has chance 1/27 > 2.5%).
    assert rate["a"].bootstrap == pytest.approx((0.5, 0.75))
    # Nominal alpha: 1 - (n - 1) sum o_ck / sum n_c n_k. Pairs that disagree: item 3 has b a a -> 4 / (3 - 1) = 2; the others
    # agree. n = 11, n_a = 7, n_b = 4: expected 2 * 7 * 4 = 56.
    assert agreement(answers, ["a", "b"]) == pytest.approx(1 - 10 * 2 / 56)
    pair = pairs(answers, ["a", "b"], ["c"])[0]
    # P(X <= 4 or X >= 7), X binomial of 11: 2 (1 + 11 + 55 + 165 + 330) / 2048
    assert (pair.for_first, pair.for_second, pair.p) == (7, 4, pytest.approx(2 * 562 / 2048))
    test = significance(answers, ["a", "b"], ["c"])[0]
    assert test.p_raters == pytest.approx(2 * 0.5**2)  # r1 is tied; r2 and r3 prefer a: sign test 2 of 2
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1 and math.isnan(wilson(0, 0)[0])


def test_friedman_and_holm_of_cases_worked_out_by_hand():
    answers = [Answer(f"r{rater}", str(item), "c", system, 0) for rater in range(4) for item, system in enumerate("aaabbc")]
    # Ranks 3, 2, 1 in each of 4 blocks: 12 / (4 * 3 * 4) * (12^2 + 8^2 + 4^2) - 3 * 4 * 4 = 8; p = exp(-8 / 2), chi2 of 2.
    assert significance(answers, list("abc"), ["c"])[0].p_raters == pytest.approx(math.exp(-4))
    assert agreement(answers, list("abc")) == pytest.approx(1)
    assert agreement([a for a in answers if a.system == "a"], list("abc")) != agreement(answers, list("abc"))
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_report_counts_and_leaves_out_failed_raters(tmp_path):
    study, _ = write_study(tmp_path, 6)
    database = str(tmp_path / "a.db")
    store = Store(study, Database(database))
    with pytest.raises(DataError, match="no answers count"):
        write_report(study, read_database(study, database), tmp_path / "out")
    store.register("careless")
    while isinstance(task := store.next("careless"), Task):
        place = task.videos.index(SYSTEMS[1]) if task.expected is None else 1 - task.expected
        store.submit("careless", task.id, dict.fromkeys(CRITERIA, place))
    for rater in range(3):
        complete(store, f"rater {rater}", lambda task: task.videos.index(SYSTEMS[0]))
    written = write_report(study, read_database(study, database), tmp_path / "out")
    with open(tmp_path / "out" / "preferences.csv", newline="") as file:
        rows = {(row["criterion"], row["system"]): row for row in csv.DictReader(file)}
    assert rows["emotion alignment", SYSTEMS[0]]["rate"] == "1.0"  # the careless rater chose the other
    assert rows["emotion alignment", SYSTEMS[0]]["answers"] == "18" and rows[ALL, SYSTEMS[1]]["chosen"] == "0"
    assert "1 of 4 raters failed" in (tmp_path / "out" / "report.md").read_text()
    from emotalker.video.image import load_image

    assert np.ptp(load_image(written[-1])) > 200
    with pytest.raises(DataError, match=r"no answers of a study|does not exist"):
        read_database(study, str(tmp_path / "none.db"))


def test_export_hides_systems_and_results_are_read_back(tmp_path):
    study, _ = write_study(tmp_path / "in", 3, "title: Costs $5 ${orders}\n")
    out = tmp_path / "out"
    export(study, "https://example.org/v", out)
    layout, table = (out / "layout.html").read_text(), (out / "items.csv").read_text()
    assert "${orders}" in layout and "&#36;{orders}" in layout and layout.count("<fieldset>") == 5
    for word in (*SYSTEMS, "clip0"):
        assert word not in layout + table and not list((out / "videos").glob(f"*{word}*"))
    with open(out / "key.csv", newline="") as file:
        owners = {row["video"]: row for row in csv.DictReader(file)}
    for name, row in owners.items():
        assert (out / "videos" / name).read_bytes() == study.path(row["system"], row["item"]).read_bytes()
    results = []
    with open(out / "items.csv", newline="") as file:
        for row in csv.DictReader(file):
            orders = row["orders"].split(";")
            assert len(orders) == study.raters_per_item
            for worker, order in zip(("W1", "W2", "W3"), orders, strict=True):
                wanted = row["expected"] if worker != "W3" else next(v for v in order.split() if v != row["expected"])
                choice = wanted if row["expected"] else next(v for v in order.split() if owners[v]["system"] == SYSTEMS[1])
                line = {f"Input.{key}": value for key, value in row.items()} | {f"Answer.q{i}": choice for i in range(5)}
                results.append({"WorkerId": worker, "AssignmentStatus": "Approved", "Answer.order": order} | line)
    with open(tmp_path / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(results[0]))
        writer.writeheader()
        writer.writerows(results)
    answers = read_mturk(study, tmp_path / "results.csv", out / "key.csv")
    assert answers.excluded(study) == {"W3"} and len(answers.valid(study)) == 2 * 3 * 5
    assert {a.system for a in answers.answers} == {SYSTEMS[1]}
    with pytest.raises(OutputError, match="not an empty folder"):
        export(study, "https://example.org/v", out)
    with pytest.raises(ConfigError, match="https"):
        export(study, "http://example.org", tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sistems: {}", "unknown key sistems"),
        ("title: x", "systems is missing"),
        ("systems: {a: a}", "name 2 to 26"),
        ("systems: {a: a, b: b}\nraters_per_item: 0", "raters_per_item"),
        ("systems: {a: a, b: b}\nseed: no", "seed"),
        ("systems: {a: a, b: b}\ncriteria: [beauty]", "criteria needs"),
        ("systems: {a: [", "no YAML"),
        ("- 1", "no mapping"),
    ],
)
def test_wrong_study_files_are_explained(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_study(path)


def test_items_are_shared_names(tmp_path):
    study, _ = write_study(tmp_path, 2)
    (tmp_path / SYSTEMS[0] / "alone.mp4").write_bytes(b"x")
    assert study.items == ["clip0.mp4", "clip1.mp4"]
    (tmp_path / SYSTEMS[0] / "film.avi").write_bytes(b"x")
    with pytest.raises(DataError, match="browsers do not play"):
        _ = study.items
