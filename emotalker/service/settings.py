"""Settings of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Times that a job is started before it counts as one that ends the service.
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Settings:
    """Limits and places of a service. Times are in seconds.

    Attributes:
        folder: holds the jobs and their files; with Redis, all machines have it.
        redis: URL of a Redis server that holds the jobs; None for SQLite in ``folder``.
        workers: processes that make videos; 0 leaves the jobs to other machines.
        streams: conversations over WebSocket at a time; 0 refuses them.
        checkpoints, device: of the networks.
        tokens: SHA-256 of a token in hexadecimal, to the name of its client; empty: everyone may ask.
        origins: web pages of other hosts whose scripts may ask; ``*`` for all.
        behind_proxy: take a client's address from the last entry of ``X-Forwarded-For``.
        min_free_bytes: of the disk, below which nothing is accepted.
        max_audio_bytes, max_image_bytes: of an upload.
        max_seconds: of a recording.
        max_pixels: of a picture.
        max_size: longer side of a video, pixels.
        queue, queue_per_client: jobs that wait.
        rate: requests a client may make in a minute, after as many at once.
        uploads, uploads_per_client: at a time.
        upload_seconds: for one upload.
        job_seconds: for one job.
        keep_seconds: after which results and portraits are deleted.
        stream_seconds, idle_seconds: a conversation's length, and its longest silence.
        worker_command: starts a worker process; None for the one of :mod:`emotalker.service.worker`.
    """

    folder: Path
    redis: str | None = None
    workers: int = 1
    streams: int = 1
    checkpoints: str | None = None
    device: str = "cpu"
    tokens: Mapping[str, str] = field(default_factory=dict)
    origins: Sequence[str] = ()
    behind_proxy: bool = False
    min_free_bytes: int = 1_000_000_000
    max_audio_bytes: int = 100_000_000
    max_image_bytes: int = 32_000_000
    max_seconds: float = 300.0
    max_pixels: int = 40_000_000
    max_size: int = 1920
    queue: int = 100
    queue_per_client: int = 20
    rate: float = 60.0
    uploads: int = 16
    uploads_per_client: int = 8
    upload_seconds: float = 300.0
    job_seconds: float = 3600.0
    keep_seconds: float = 86400.0
    stream_seconds: float = 600.0
    idle_seconds: float = 30.0
    worker_command: Sequence[str] | None = None

    @property
    def jobs(self) -> Path:
        """Folder with one folder for each job."""
        return self.folder / "jobs"

    @property
    def portraits(self) -> Path:
        """Folder with the portraits of streams."""
        return self.folder / "portraits"
