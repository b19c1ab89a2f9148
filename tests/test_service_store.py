"""Stores of jobs: order, limits, and what is left after the process ended."""

import sqlite3
import threading

import pytest
from service_client import redis_server

from emotalker.service.jobs import Job, QueueFull, StoreError, new_id, served_before
from emotalker.service.redis_store import PREFIX, RedisStore
from emotalker.service.settings import MAX_ATTEMPTS
from emotalker.service.sqlite_store import SqliteStore


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["sqlite", "redis"])
def open_store(request, tmp_path):
    """Opens the store; an earlier one is left as a killed process leaves it."""
    stores, url = [], None
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")

    def opened():
        if stores:
            stores[-1].close()
        stores.append(RedisStore(url) if url else SqliteStore(tmp_path))
        if url and len(stores) == 1:
            stores[0]._redis.flushall()
        elif url:  # as if time had passed and the leases had ended
            stores[-1]._redis.zadd(f"{PREFIX}running", dict.fromkeys(stores[-1]._redis.zrange(f"{PREFIX}running", 0, -1), 0))
        return stores[-1]

    yield opened
    stores[-1].close()


def submit(store, client, **values) -> str:
    job = Job(new_id(), "video", client, **values)
    store.submit(job, 100, 100)
    return job.id


def claimed(store, number):
    return [store.claim().client for _ in range(number)]


def test_clients_take_turns_whoever_came_first(open_store):
    store = open_store()
    for client in "aaaabbc":
        submit(store, client)
    assert claimed(store, 4) == ["a", "b", "c", "a"]
    submit(store, "d")
    submit(store, "c")
    assert claimed(store, 5) == ["d", "b", "c", "a", "a"]
    assert store.claim() is None


def test_the_number_ahead_is_the_number_that_are_taken_before(open_store):
    store = open_store()
    jobs = [submit(store, client) for client in "abacabbbcada"]
    store.claim()
    ahead = {job: store.ahead(store.get(job)) for job in jobs if store.get(job).status == "queued"}
    order = [store.claim().id for _ in ahead]
    assert sorted(ahead, key=ahead.get) == order
    assert sorted(ahead.values()) == list(range(len(order)))
    assert served_before([], {}, "none") == 0


def test_a_job_keeps_what_it_was_given(open_store):
    store = open_store()
    job = submit(store, "ä b", options={"emotion": "happy", "size": None, "fps": 25}, audio_seconds=1.5)
    found = store.get(job)
    assert (found.client, found.options, found.audio_seconds) == (
        "ä b", {"emotion": "happy", "size": None, "fps": 25}, 1.5,
    )  # fmt: skip
    assert found.created > 1.7e9 and found.status == "queued" and not found.over
    assert store.get("another") is None


def test_full_queues_refuse(open_store):
    store = open_store()
    for client in "aab":
        store.submit(Job(new_id(), "video", client), 3, 2)
    with pytest.raises(QueueFull, match="3 jobs wait"):
        store.submit(Job(new_id(), "video", "c"), 3, 2)
    with pytest.raises(QueueFull, match="2 jobs of yours"):
        store.check_room("a", 10, 2)
    store.claim()
    store.submit(Job(new_id(), "video", "c"), 3, 2)
    assert store.counts() == {"queued": 3, "running": 1}


def test_progress_and_end(open_store):
    store = open_store()
    job = submit(store, "a")
    assert not store.progress(job, "rendering", 1, 2)  # it does not run
    assert store.claim().id == job and store.alive(job)
    assert store.progress(job, "rendering", 1, 2)
    assert (store.get(job).stage, store.get(job).done, store.get(job).total) == ("rendering", 1, 2)
    store.finish(job, "done", "2 frames", "result.mp4")
    found = store.get(job)
    assert found.over and (found.status, found.message, found.result) == ("done", "2 frames", "result.mp4")
    assert not store.alive(job) and store.finish(job, "failed", "late", "") is None
    assert store.get(job).status == "done"
    assert store.expired(found.finished - 1) == [] and store.expired(found.finished + 1) == [job]


def test_a_deleted_job_is_not_alive_and_stays_deleted(open_store):
    store = open_store()
    job, waiting = submit(store, "a"), submit(store, "a")
    store.claim()
    store.delete(job)
    store.delete(waiting)
    assert not store.progress(job, "rendering", 1, 2)
    store.finish(job, "done", "", "result.mp4")
    assert store.get(job) is None and store.claim() is None and store.counts() == {}


def test_after_the_process_ended_running_jobs_are_first_again(open_store):
    store = open_store()
    first, second = submit(store, "a"), submit(store, "b")
    assert store.claim().id == first
    assert store.recover() == 0  # it still runs
    store = open_store()
    assert store.recover() == 1 and store.get(first).status == "queued"
    claims = [store.claim(), store.claim()]
    assert [job.id for job in claims] == [first, second] and [job.attempts for job in claims] == [2, 1]


def test_a_job_that_ends_the_service_each_time_fails(open_store):
    store = open_store()
    job = submit(store, "a")
    for _ in range(MAX_ATTEMPTS):
        assert store.claim().id == job
        store = open_store()
        store.recover()
    assert store.get(job).status == "failed" and "ended 3 times" in store.get(job).message
    assert store.claim() is None


def test_no_job_is_taken_twice_by_threads(open_store):
    store = open_store()
    jobs = {submit(store, f"client {i % 7}") for i in range(60)}
    taken, threads = [], []

    def take():
        while (job := store.claim()) is not None:
            taken.append(job.id)

    for _ in range(6):
        threads.append(threading.Thread(target=take))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(jobs) and set(taken) == jobs


def test_a_folder_has_one_service(tmp_path):
    store = SqliteStore(tmp_path / "new")
    with pytest.raises(StoreError, match="another service uses"):
        SqliteStore(tmp_path / "new")
    store.close()
    SqliteStore(tmp_path / "new").close()


def test_a_damaged_store_is_named(tmp_path):
    (tmp_path / "jobs.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"jobs\.sqlite"):
        SqliteStore(tmp_path)
    assert sqlite3.sqlite_version  # the file was left as it is
    assert (tmp_path / "jobs.sqlite").read_bytes().startswith(b"not a database")


def test_a_redis_server_that_is_not_there_is_named_without_its_password():
    pytest.importorskip("redis", reason="the package redis is not installed (pip install 'emotalker[redis]')")
    with pytest.raises(StoreError, match=r"the Redis server 127\.0\.0\.1 cannot be used") as error:
        RedisStore("redis://:secret@127.0.0.1:1/0")
    assert "secret" not in str(error.value)


def test_ids_cannot_be_guessed():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000 and all(len(name) == 24 for name in ids)
