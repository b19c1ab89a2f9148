"""Conversations over WebSocket, and the arithmetic of the load test."""

import json

import pytest
from service_client import running_service, wait_for, write_inputs
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from emotalker.service.access import digest
from emotalker.service.load_test import Waited, most_overtaken, report

LAST = '{"type": "end"}'


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return (write_inputs(tmp_path_factory.mktemp("inputs")) / "person.png").read_bytes()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with running_service(tmp_path_factory.mktemp("service"), stream_seconds=2.0, idle_seconds=0.7) as client:
        yield client


def opened(client, **options):
    socket = connect(f"ws://{client.base_url.netloc.decode()}/v1/stream", proxy=None)
    if options:
        socket.send(json.dumps({"type": "start", **options}))
    return socket


def refusal(socket):
    """The sentence and code with which the service closes, after what it had answered before."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            answer = socket.recv(timeout=10)
    message = json.loads(answer)
    assert message["type"] == "error"
    return message["message"], closed.value.rcvd.code


def free(client):
    return len(client.service.free_streams) == 1


def test_audio_is_answered_with_frames_and_the_portrait_is_kept(client, image):
    with opened(client, size=128) as socket:
        socket.send(image)
        ready = json.loads(socket.recv())
        assert (ready["type"], ready["fps"]) == ("ready", 25)
        for chunk in (b"abc", b"de", b"", b"f"):  # samples of two bytes that are cut in the middle
            socket.send(chunk)
        socket.send(LAST)
        answers = [socket.recv() for _ in range(5)]
        assert answers[:4] == [b"ab", b"cd", b"", b"ef"]
        assert json.loads(answers[4]) == {"type": "done", "frames": 4}
    wait_for(lambda: free(client))
    with opened(client, portrait=ready["portrait"]) as socket:
        assert json.loads(socket.recv())["portrait"] == ready["portrait"]


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        ("hello", "a JSON object"),
        ("[1]", "a JSON object"),
        (b"\0\0", "a JSON object"),
        ('{"size": 3000}', "size: input should be less than or equal to 1024"),
        ('{"output": "h264"}', "output"),
        ('{"portrait": "../../etc/passwd-passwd-passwd"}', "no such portrait"),
        ('{"portrait": "aaaaaaaaaaaaaaaaaaaaaaaa"}', "no such portrait"),
        (None, "none came"),
    ],
)
def test_what_does_not_begin_a_conversation_is_said(client, first, sentence):
    with opened(client) as socket:
        if first is not None:
            socket.send(first)
        message, code = refusal(socket)
        assert sentence in message and code == 1008


def test_limits_of_a_conversation(client, image):
    for messages, sentence in (
        ([b"not a picture"], "the image cannot be read"),
        ([image, b"\0" * 64001], "at most 2 s of audio"),
        ([image, b"\0" * (1 << 20), b"\0" * 2], "at most 2 s of audio"),
        ([image, '{"type": "stop"}'], "audio is binary"),
        ([image], "no audio came for 0.7 s"),
        ([image, b"\xff\x7f"], "ended unexpectedly (signal SIGSEGV)"),
    ):
        wait_for(lambda: free(client))
        with opened(client, size=128) as socket:
            for message in messages:
                socket.send(message)
            assert sentence in refusal(socket)[0]
    wait_for(lambda: free(client))


def test_the_second_conversation_is_told_to_wait_and_gets_the_place_of_one_that_left(client, image):
    first = opened(client, size=128)
    first.send(image)
    first.recv()
    with opened(client, size=128) as socket:
        message, code = refusal(socket)
        assert "1 conversations" in message and code == 1013
    first.send(b"ab" * 1000)
    first.socket.close()  # without a farewell
    wait_for(lambda: free(client))
    with opened(client, size=128) as socket:
        socket.send(image)
        assert json.loads(socket.recv())["type"] == "ready"
        socket.send(b"cd")
        assert socket.recv() == b"cd"


def test_a_portrait_is_its_clients(tmp_path, image):
    tokens = {name: f"a-token-of-client-{name}" for name in "ab"}
    with running_service(tmp_path, tokens={digest(token): name for name, token in tokens.items()}) as client:
        with opened(client, size=128) as socket:
            assert "give a token" in refusal(socket)[0]
        with opened(client, size=128, token=tokens["a"]) as socket:
            socket.send(image)
            portrait = json.loads(socket.recv())["portrait"]
        wait_for(lambda: free(client))
        with opened(client, portrait=portrait, token=tokens["b"]) as socket:
            assert "no such portrait" in refusal(socket)[0]
        with opened(client, portrait=portrait, token=tokens["a"]) as socket:
            assert json.loads(socket.recv())["type"] == "ready"
        text = client.get("/metrics", headers={"Authorization": f"Bearer {tokens['a']}"}).text
        assert 'emotalker_streams_total{end="refused"} 2' in text


def test_the_load_test_sees_who_is_overtaken():
    turns = [Waited(client, 0, i, i + 1) for i, client in enumerate("abcabca", start=1)]
    assert most_overtaken(turns) == 1
    assert most_overtaken([Waited(client, 0, i, i + 1) for i, client in enumerate("aaab", start=1)]) == 3
    assert most_overtaken([Waited("b", 3.5, 4, 5), *(Waited("a", 0, i, i + 1) for i in (1, 2, 3))]) == 0
    text = report([*turns, Waited("d", 0, 0, 0, 2, "500")], 8.0)
    assert "8 jobs of 4 clients in 8.0 s: 1 errors, 2 answers" in text and "error: 500" in text
    assert "waited: median 4.0 s" in text and "at most 1 times" in text
