"""The requests of the service, with a real server, real uploads, and a worker that answers at once."""

import re
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from service_client import ended, events, form, redis_server, running_service, wait_for, write_inputs
from service_worker import BUG, CRASH, ENDLESS, HEADER, MILLISECONDS, REFUSE

from emotalker.service.access import RateLimit, digest
from emotalker.service.jobs import StoreError
from emotalker.service.load_test import Connection, load, most_overtaken

MEGABYTE = b"\0" * (1 << 20)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with running_service(tmp_path_factory.mktemp("service"), max_audio_bytes=2_000_000, max_image_bytes=1_000_000) as client:
        yield client


def post(client, inputs, files=None, headers=None, **fields):
    return client.post("/v1/videos", files=files or form(inputs), data=fields, headers=headers)


def folders(client):
    return sorted(path.name for path in client.service.settings.jobs.glob("*"))


def test_a_video_is_made_and_answered_in_parts_and_deleted(client, inputs):
    answer = post(client, inputs, emotion="sad:0.6", size=256, blinks=20)
    assert answer.status_code == 202 and answer.json()["audio_seconds"] == pytest.approx(1)
    job = answer.json()["id"]
    assert ended(client, job)["status"] == "done"
    result = client.get(f"/v1/videos/{job}/result")
    expected = HEADER + (inputs / "voice.wav").read_bytes()[:1000]
    assert result.status_code == 200 and result.content == expected and result.headers["content-type"] == "video/mp4"
    part = client.get(f"/v1/videos/{job}/result", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, expected[10:20])
    assert part.headers["content-range"] == "bytes 10-19/1012"
    assert client.get(f"/v1/videos/{job}/result", headers={"Range": "bytes=5000-"}).status_code == 416
    assert job in folders(client)
    assert client.delete(f"/v1/videos/{job}").status_code == 204
    assert client.get(f"/v1/videos/{job}").status_code == 404 and job not in folders(client)


def test_options_may_be_json(client, inputs):
    answer = post(client, inputs, options='{"fps": 50, "background": "transparent"}', format="webm")
    job = client.service.store.get(answer.json()["id"])
    assert (job.options["fps"], job.options["format"]) == (50, "webm")


def test_events_tell_the_progress_to_the_end(client, inputs):
    job = post(client, inputs, seed=MILLISECONDS + 700).json()["id"]
    told = events(client, job)
    assert [name for name, _ in told[:-1]] == ["progress"] * (len(told) - 1) and told[-1][0] == "done"
    assert ("rendering", 0, 2) in [(data["stage"], data["done"], data["total"]) for _, data in told]
    assert told[-1][1]["result"] == f"/v1/videos/{job}/result"
    assert [name for name, _ in events(client, job)] == ["done"]
    wait_for(lambda: not client.service.listeners)


@pytest.mark.parametrize(
    ("seed", "reason"), [(CRASH, "SIGSEGV"), (REFUSE, "no face found"), (BUG, r"internal error \(ZeroDivisionError\)")]
)
def test_a_failing_job_says_why_and_the_next_one_works(client, inputs, seed, reason):
    job = post(client, inputs, seed=seed).json()["id"]
    told = events(client, job)
    assert told[-1][0] == "failed" and re.search(reason, told[-1][1]["message"])
    assert client.get(f"/v1/videos/{job}/result").status_code == 409
    assert ended(client, post(client, inputs).json()["id"])["status"] == "done"


def test_a_running_job_can_be_deleted(client, inputs):
    job, following = (post(client, inputs, seed=seed).json()["id"] for seed in (ENDLESS, 0))
    wait_for(lambda: client.get(f"/v1/videos/{job}").json()["status"] == "running")
    assert client.get(f"/v1/videos/{following}").json()["ahead"] == 0
    assert client.get(f"/v1/videos/{job}/result").headers["retry-after"] == "2"
    client.delete(f"/v1/videos/{job}")
    assert ended(client, following)["status"] == "done"
    assert job not in folders(client)


def test_a_motion_is_answered_and_forgotten(client, inputs):
    before = folders(client)
    audio = {"audio": (inputs / "voice.wav").read_bytes()}
    answer = client.post("/v1/motion", files=audio, data={"format": "csv"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/csv")
    refused = client.post("/v1/motion", files=audio, data={"seed": REFUSE})
    assert (refused.status_code, refused.json()["detail"]) == (422, "no face found")
    wait_for(lambda: folders(client) == before)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"emotion": "joyous"}, "unknown emotion 'joyous'"),
        ({"size": "255"}, "size: input should be a multiple of 2"),
        ({"intensity": "nan"}, "intensity"),
        ({"fps": "24"}, "fps"),
        ({"colour": "red"}, "there is no option colour; known: background"),
        ({"background": "/etc/passwd"}, "background: write #rrggbb"),
        ({"background": "transparent"}, "webm and mov are for the background transparent"),
        ({"emotion_track": "time,emotion,share\n0,joyous,1"}, "emotion_track, line 2: unknown emotion 'joyous'"),
        ({"emotion_track": "time,emotion,share\n0,happy,1", "emotion": "sad"}, "not both"),
        ({"options": "{"}, "is no JSON"),
        ({"options": "[" * 50_000}, "is no JSON"),
        ({"options": '["size"]'}, "is no JSON object"),
        ({"emotion": "x" * 70_000}, "64KB"),
        ({f"a{i}": "" for i in range(50)}, "Too many fields"),
    ],
)
def test_options_that_cannot_be_are_named(client, inputs, fields, sentence):
    before = folders(client)
    answer = post(client, inputs, **fields)
    assert answer.status_code in (400, 422) and sentence in answer.json()["detail"]
    assert folders(client) == before


def picture(width, height):
    """A PNG whose header states a size, with the data of a few rows."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 10 * (width + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_files_that_cannot_be_used_are_refused_and_leave_nothing(client, inputs, tmp_path):
    before, good = folders(client), form(inputs)
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10**8, np.uint8))
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{inputs / 'voice.wav'}\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile {inputs / 'voice.wav'}\n")
    long = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 2**31, b"WAVEfmt ", 16, 1, 1, 4000, 4000, 1, 8, b"data", 2**31)
    for files, sentence in (
        ({"image": picture(50_000, 50_000)}, "more than 40 megapixels"),
        ({"image": (tmp_path / "bomb.npz").read_bytes()}, "the image cannot be read"),
        ({"image": b"text"}, "the image cannot be read"),
        ({"image": b""}, "the image is empty"),
        ({"audio": (tmp_path / "bomb.npz").read_bytes()}, "the audio cannot be decoded"),
        ({"audio": (tmp_path / "list.m3u8").read_bytes()}, "the audio cannot be decoded"),
        ({"audio": (tmp_path / "list.ffconcat").read_bytes()}, "the audio cannot be decoded"),
        ({"audio": good["image"]}, "the audio c"),
        ({"audio": long + b"\x80" * 1_900_000}, "longer than 300 s"),
    ):
        answer = post(client, inputs, good | files)
        assert answer.status_code == 422 and sentence in answer.json()["detail"], (sentence, answer.text)
    answer = client.post("/v1/videos", files={"audio": good["audio"]})
    assert (answer.status_code, answer.json()["detail"][:20]) == (422, "the image is missing")
    assert client.post("/v1/videos", json={}).status_code == 415
    assert folders(client) == before


def test_the_name_of_a_file_is_not_used(client, inputs, tmp_path):
    files = {
        "audio": (f"../../../..{tmp_path}/evil.wav", form(inputs)["audio"]),
        "image": ("/etc/\0passwd\r\n", form(inputs)["image"]),
    }
    job = post(client, inputs, files).json()["id"]
    ended(client, job)
    assert not (tmp_path / "evil.wav").exists()
    folder = client.service.settings.jobs / job
    wait_for(lambda: [path.name for path in folder.iterdir()] == ["result.mp4"])  # what was sent is deleted


@pytest.mark.parametrize("stated", [True, False])
def test_two_gigabytes_are_refused_at_the_limit(client, inputs, stated):
    before, sent = folders(client), 0

    def body():
        nonlocal sent
        yield b'--X\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'
        for _ in range(2048):
            sent += 1
            yield MEGABYTE

    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    if stated:
        headers["Content-Length"] = str(2 << 30)
    answer = client.post("/v1/videos", content=body(), headers=headers)
    assert answer.status_code == 413 and "larger than 3 MB" in answer.json()["detail"]
    assert sent < 50
    one_too_large = form(inputs) | {"image": MEGABYTE}
    assert "the image is larger than 1 MB" in post(client, inputs, one_too_large).json()["detail"]
    assert folders(client) == before and post(client, inputs).status_code == 202


def test_headers_of_a_part_are_limited(client):
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    for start, more in ((b'--X\r\nContent-Disposition: form-data; name="', b"a"), (b"--X\r\n", b"A: b\r\n")):
        answer = client.post("/v1/videos", content=start + more * 400_000, headers=headers)
        assert answer.status_code == 400 and answer.json()["detail"].startswith("Invalid multipart data")


def test_an_upload_that_ends_early_leaves_nothing(client):
    before = folders(client)
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(
            b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=X\r\n"
            b"Content-Length: 100000\r\n\r\n--X\r\nContent-Disposition: form-data; name=audio"
        )
        wait_for(lambda: folders(client) != before)
    wait_for(lambda: folders(client) == before)


def test_a_hundred_requests_at_once_are_answered_or_refused_and_the_service_lives(tmp_path, inputs):
    with running_service(tmp_path, queue=30, queue_per_client=5, uploads=4, uploads_per_client=4) as client:
        slow = post(client, inputs, seed=ENDLESS).json()["id"]
        wait_for(lambda: client.get(f"/v1/videos/{slow}").json()["status"] == "running")
        with ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(lambda _: post(client, inputs, seed=MILLISECONDS), range(100)))
        accepted = [answer.json()["id"] for answer in answers if answer.status_code == 202]
        refused = [answer for answer in answers if answer.status_code != 202]
        assert 1 <= len(accepted) <= 5 and {answer.status_code for answer in refused} == {429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert client.get("/v1/health").json() == {"status": "ok"}
        client.delete(f"/v1/videos/{slow}")
        assert all(ended(client, job)["status"] == "done" for job in accepted)
        text = client.get("/metrics").text
        assert f'emotalker_refused_total{{reason="429"}} {len(refused)}' in text
        assert (
            f'emotalker_jobs_total{{status="done"}} {len(accepted)}' in text
            and 'emotalker_jobs_now{status="queued"} 0' in text
        )


def test_clients_with_tokens_take_turns_and_do_not_see_each_other(tmp_path, inputs):
    names = {name: f"a-token-of-client-{name}" for name in "abc"}
    tokens = {digest(token): name for name, token in names.items()}
    header = {name: {"Authorization": f"Bearer {token}"} for name, token in names.items()}
    with running_service(tmp_path, tokens=tokens) as client:
        for headers in (None, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {names['a']}"}):
            answer = post(client, inputs, headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401 and client.get("/v1/health").status_code == 200
        slow = post(client, inputs, headers=header["a"], seed=ENDLESS).json()["id"]
        wait_for(lambda: client.get(f"/v1/videos/{slow}", headers=header["a"]).json()["status"] == "running")
        jobs = [(name, post(client, inputs, headers=header[name]).json()["id"]) for name in "aaabbc"]
        for path in (f"/v1/videos/{slow}", f"/v1/videos/{slow}/events", f"/v1/videos/{slow}/result"):
            assert client.get(path, headers=header["b"]).status_code == 404
            assert client.get(path).status_code == 401
        assert client.delete(f"/v1/videos/{slow}", headers=header["b"]).status_code == 404
        client.delete(f"/v1/videos/{slow}", headers=header["a"])
        started = [(ended(client, job, headers=header[name])["started"], name) for name, job in jobs]
        assert [name for _, name in sorted(started)] == ["b", "c", "a", "b", "a", "a"]


def test_two_machines_share_the_jobs_of_a_redis_server(tmp_path, inputs):
    (tmp_path / "redis").mkdir()
    with (
        redis_server(tmp_path / "redis") as url,
        running_service(tmp_path / "jobs", redis=url, workers=0) as asked,
        running_service(tmp_path / "jobs", redis=url) as working,
    ):
        jobs = [post(asked, inputs, seed=seed).json()["id"] for seed in (ENDLESS, 0)]
        wait_for(lambda: asked.get(f"/v1/videos/{jobs[0]}").json()["status"] == "running")
        assert working.get(f"/v1/videos/{jobs[1]}").json()["ahead"] == 0
        assert asked.delete(f"/v1/videos/{jobs[0]}").status_code == 204
        assert events(asked, jobs[1])[-1][0] == "done"
        assert asked.get(f"/v1/videos/{jobs[1]}/result").content == working.get(f"/v1/videos/{jobs[1]}/result").content
        assert working.delete(f"/v1/videos/{jobs[1]}").status_code == 204
        assert asked.get(f"/v1/videos/{jobs[1]}").status_code == 404 and not folders(asked)


def test_twenty_clients_at_once_make_no_error_and_wait_fairly(tmp_path, inputs):
    names = {f"client {i}": f"a-token-of-client-{i}" for i in range(20)}
    files = form(inputs)
    with running_service(tmp_path, tokens={digest(token): name for name, token in names.items()}) as client:
        connections = {name: Connection(str(client.base_url), token) for name, token in names.items()}
        jobs = load(
            connections,
            files["audio"],
            files["image"],
            {"seed": MILLISECONDS + 20},
            dict.fromkeys(names, 1) | {"client 0": 6},
        )
    assert len(jobs) == 25 and not [job.error for job in jobs if job.error]
    assert most_overtaken(jobs) <= 2


def test_results_are_deleted_after_a_time(tmp_path, inputs):
    with running_service(tmp_path, keep_seconds=0.3) as client:
        job = post(client, inputs).json()["id"]
        wait_for(lambda: client.get(f"/v1/videos/{job}").status_code == 404, 10)
        wait_for(lambda: not folders(client))


def test_a_job_that_takes_too_long_is_ended(tmp_path, inputs):
    with running_service(tmp_path, job_seconds=0.5) as client:
        assert "longer than 0.5 s" in ended(client, post(client, inputs, seed=ENDLESS).json()["id"])["message"]
        assert ended(client, post(client, inputs).json()["id"])["status"] == "done"


def test_pages_of_other_hosts_may_not_ask(tmp_path, client, inputs):
    assert post(client, inputs, headers={"Origin": "https://evil.example"}).status_code == 403
    own = f"http://{client.base_url.netloc.decode()}"
    assert post(client, inputs, headers={"Origin": own}).status_code == 202
    renamed = {"Origin": "http://evil.example:80", "Host": "evil.example:80"}
    assert post(client, inputs, headers=renamed).status_code == 403
    with running_service(tmp_path, origins=["https://good.example"], rate=2) as other:
        answer = post(other, inputs, headers={"Origin": "https://good.example"})
        assert answer.status_code == 202 and answer.headers["access-control-allow-origin"] == "https://good.example"
        assert post(other, inputs).status_code == 202
        beyond = post(other, inputs)
        assert beyond.status_code == 429 and "more than 2 requests in a minute" in beyond.json()["detail"]
        assert 20 <= int(beyond.headers["retry-after"]) <= 30


def test_rates_recover_with_time():
    limit = RateLimit(60)
    assert [limit.take("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert limit.take("a", 0.0) == 1.0 and limit.take("b", 0.0) == 0.0
    assert limit.take("a", 1.0) == 0.0 and limit.take("a", 1.5) == 0.5


def test_a_store_that_is_away_is_said_without_its_place(client, inputs, monkeypatch):
    def away(*arguments):
        raise StoreError("the Redis server 10.0.0.1 cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(client.service.store, "get", away)
        patch.setattr(client.service.store, "check_room", away)
        for answer in (client.get("/v1/videos/a"), post(client, inputs)):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10") and "10.0" not in answer.text
    assert ended(client, post(client, inputs).json()["id"])["status"] == "done"


def test_a_full_disk_is_said(tmp_path, inputs):
    with running_service(tmp_path, min_free_bytes=1 << 60) as client:
        answer = post(client, inputs)
        assert answer.status_code == 503 and "disk is nearly full" in answer.json()["detail"]


def test_the_interface_is_described_without_other_hosts(client):
    page = client.get("/docs")
    assert page.status_code == 200 and not re.search(r"""(src|href)=["']?(https?:)?//""", page.text)
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    api = client.get("/openapi.json").json()
    described = api["paths"]["/v1/videos"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert described["required"] == ["audio", "image"] and described["properties"]["intensity"]["maximum"] == 3
    assert set(api["paths"]) == {
        "/v1/videos", "/v1/videos/{job}", "/v1/videos/{job}/events", "/v1/videos/{job}/result", "/v1/motion", "/v1/health",
        "/metrics",
    }  # fmt: skip
    assert '{"type": "end"}' in api["info"]["x-stream"]
