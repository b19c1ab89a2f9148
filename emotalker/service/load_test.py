"""Many clients at once against a service: errors, latencies, and whether they wait fairly."""

from __future__ import annotations

import http.client
import json
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emotalker.core.errors import EmoTalkerError

#: Seconds between two looks at a job, for a connection, for the service to start, and until a job counts as lost.
LOOK_SECONDS, CONNECT_SECONDS, START_SECONDS, LOST_SECONDS = 0.5, 60.0, 60.0, 1800.0


class LoadTestError(EmoTalkerError):
    """The service cannot be reached, or did not start."""


@dataclass(frozen=True)
class Waited:
    """One job: times on the service's clock, seconds since 1970; ``error`` is empty if it is done."""

    client: str
    created: float
    started: float
    finished: float
    refusals: int = 0
    error: str = ""


@dataclass(frozen=True)
class Connection:
    """Requests of one client, with the standard library alone.

    Attributes:
        url: of the service.
        token: of the client, if the service has tokens.
    """

    url: str
    token: str | None = None

    def ask(self, method: str, path: str, body: bytes = b"", content: str | None = None) -> tuple[int, Any, bytes]:
        """Status, headers and body of an answer; LoadTestError if there is none."""
        address = urlsplit(self.url)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        headers = {"Content-Type": content} if content else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = kind(address.netloc, timeout=CONNECT_SECONDS)
        try:
            connection.request(method, address.path.rstrip("/") + path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise LoadTestError(f"{self.url} does not answer ({error}); start it with scripts/serve.py") from error
        finally:
            connection.close()

    def job(self, audio: bytes, image: bytes, options: dict[str, Any], client: str) -> Waited:
        """Send a job, wait for its end, fetch the video and delete it. A full queue is asked again after Retry-After."""
        boundary = secrets.token_hex(16)
        body = multipart({"options": json.dumps(options).encode()}, {"audio": audio, "image": image}, boundary)
        refusals = 0
        while True:
            status, headers, answer = self.ask("POST", "/v1/videos", body, f"multipart/form-data; boundary={boundary}")
            if status not in (429, 503):
                break
            refusals += 1
            time.sleep(float(headers.get("Retry-After", 1)))
        if status != 202:
            return Waited(client, 0, 0, 0, refusals, f"{status} {answer[:200]!r}")
        job = json.loads(answer)["id"]
        end = time.monotonic() + LOST_SECONDS
        while (state := json.loads(self.ask("GET", f"/v1/videos/{job}")[2]))["status"] not in ("done", "failed"):
            if time.monotonic() > end:
                return Waited(client, 0, 0, 0, refusals, f"not done after {LOST_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)
        error = ""
        if state["status"] == "failed":
            error = state["message"]
        else:
            status, _, video = self.ask("GET", f"/v1/videos/{job}/result")
            if status != 200 or b"ftyp" not in video[:64]:
                error = f"the result is no video: {status}, {len(video)} bytes"
        self.ask("DELETE", f"/v1/videos/{job}")
        return Waited(client, state["created"], state["started"], state["finished"], refusals, error)


def multipart(fields: dict[str, bytes], files: dict[str, bytes], boundary: str) -> bytes:
    """A form as RFC 7578 describes it."""
    parts = [f'form-data; name="{name}"'.encode() + b"\r\n\r\n" + content for name, content in fields.items()]
    parts += [f'form-data; name="{n}"; filename="{n}"'.encode() + b"\r\n\r\n" + content for n, content in files.items()]
    start = f"--{boundary}\r\nContent-Disposition: ".encode()
    return b"".join(start + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def load(
    connections: dict[str, Connection], audio: bytes, image: bytes, options: dict[str, Any], jobs: dict[str, int]
) -> list[Waited]:
    """Let all clients send their jobs at once.

    Args:
        connections: by the name of the client.
        audio, image: contents of the files.
        options: of the videos.
        jobs: number of jobs of each client, sent side by side.
    """
    with ThreadPoolExecutor(sum(jobs.values())) as pool:
        futures = [
            pool.submit(connections[client].job, audio, image, options, client)
            for client, number in jobs.items()
            for _ in range(number)
        ]
        return [future.result() for future in futures]


def most_overtaken(jobs: Sequence[Waited]) -> int:
    """How often one client was served while the next job of another waited, at most; 1 where they take turns.

    A job is next from when the one before it of the same client was taken. The times are the service's.
    """
    most, before = 0, dict[str, float]()
    ordered = sorted(jobs, key=lambda job: job.started)
    for job in ordered:
        since = max(job.created, before.get(job.client, 0.0))
        before[job.client] = job.started
        served = Counter(o.client for o in ordered if o.client != job.client and since < o.started < job.started)
        most = max(most, *served.values(), 0)
    return most


def report(jobs: Sequence[Waited], seconds: float) -> str:
    """What happened, in a few lines."""
    good = [job for job in jobs if not job.error]
    lines = [
        f"{len(jobs)} jobs of {len({job.client for job in jobs})} clients in {seconds:.1f} s: "
        f"{len(jobs) - len(good)} errors, {sum(job.refusals for job in jobs)} answers 'ask again later'"
    ]
    lines += sorted({f"error: {job.error}" for job in jobs if job.error})
    if len(good) > 1:
        for name, values in (
            ("waited", [job.started - job.created for job in good]),
            ("made in", [job.finished - job.started for job in good]),
            ("in all", [job.finished - job.created for job in good]),
        ):
            cuts = statistics.quantiles(values, n=20, method="inclusive")
            lines.append(f"{name}: median {cuts[9]:.1f} s, 95 % {cuts[18]:.1f} s, most {max(values):.1f} s")
        lines.append(f"while the next job of a client waited, another client was served at most {most_overtaken(good)} times")
    return "\n".join(lines)


@contextmanager
def own_service(clients: Sequence[str], workers: int = 1) -> Iterator[dict[str, Connection]]:
    """A service in a process of its own, in a temporary folder, with a token for each client.

    Raises:
        LoadTestError: it did not start.
    """
    from emotalker.service.access import digest
    from emotalker.service.settings import Settings

    tokens = {client: secrets.token_urlsafe(24) for client in clients}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            Path(folder), workers=workers, tokens={digest(token): client for client, token in tokens.items()}, rate=1000.0
        )
        port = _free_port()
        process = get_context("spawn").Process(target=_serve, args=(settings, port))
        process.start()
        connections = {client: Connection(f"http://127.0.0.1:{port}", token) for client, token in tokens.items()}
        try:
            _wait_until_ready(next(iter(connections.values())), process)
            yield connections
        finally:
            process.terminate()
            process.join()


def _serve(settings: Any, port: int) -> None:
    from emotalker.service.command import serve

    serve(settings, "127.0.0.1", port)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(connection: Connection, process: Any) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            if connection.ask("GET", "/v1/health")[0] == 200:
                return
        except LoadTestError as error:
            if not process.is_alive() or time.monotonic() > end:
                raise LoadTestError("the service did not start; see what it printed above") from error
        time.sleep(0.2)
