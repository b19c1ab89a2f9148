"""The command that starts the service."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotalker.core.cli import device, positive
from emotalker.core.errors import EmoTalkerError, MissingExtraError
from emotalker.service.settings import Settings

if TYPE_CHECKING:
    import uvicorn

_DEFAULT = Settings(Path("outputs/service"))
#: Environment variable with one token, for a service with one client.
TOKEN_VARIABLE = "EMOTALKER_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--folder", default="outputs/service", help="where jobs and results are kept (default: %(default)s)")
    parser.add_argument("--workers", type=_number, default=_DEFAULT.workers, help="processes that make videos (default: 1)")
    parser.add_argument("--streams", type=_number, default=_DEFAULT.streams, help="live conversations at a time (default: 1)")
    parser.add_argument(
        "--redis", metavar="URL", help="keep the jobs on this Redis server, for many machines with one --folder"
    )
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--device", type=device, default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    group = parser.add_argument_group("who may ask")
    group.add_argument(
        "--tokens", metavar="FILE", help=f"a line 'client token' for each client; or one token in {TOKEN_VARIABLE}"
    )
    group.add_argument(
        "--origin", action="append", default=[], metavar="URL", help="web pages that may ask, * for all; repeatable"
    )
    group.add_argument("--behind-proxy", action="store_true", help="take clients' addresses from X-Forwarded-For")
    group = parser.add_argument_group("limits")
    for name, unit, text in _LIMITS:
        default = getattr(_DEFAULT, _FIELDS.get(name, name.replace("-", "_"))) / unit
        kind = _count if default == int(default) and unit == 1 and name in _WHOLE else positive
        group.add_argument(
            f"--{name}", type=kind, default=kind(f"{default:g}"), metavar="N", help=f"{text} (default: {default:g})"
        )


#: Option, its unit in the setting's, and help.
_LIMITS = (
    ("max-audio-mb", 1e6, "megabytes of a recording"),
    ("max-image-mb", 1e6, "megabytes of a picture"),
    ("max-seconds", 1, "seconds of a recording"),
    ("max-size", 1, "longer side of a video, pixels"),
    ("queue", 1, "jobs that wait"),
    ("queue-per-client", 1, "jobs of one client that wait"),
    ("rate", 1, "requests of one client a minute"),
    ("uploads", 1, "uploads at a time"),
    ("uploads-per-client", 1, "uploads of one client at a time"),
    ("job-seconds", 1, "seconds that a job may take"),
    ("keep-hours", 3600, "hours after which results are deleted"),
    ("stream-seconds", 1, "seconds of audio of a live conversation"),
)
_WHOLE = ("max-size", "queue", "queue-per-client", "uploads", "uploads-per-client")
#: Options that are named otherwise than their setting.
_FIELDS = {"max-audio-mb": "max_audio_bytes", "max-image-mb": "max_image_bytes", "keep-hours": "keep_seconds"}


def settings_from(args: argparse.Namespace) -> Settings:
    """The settings from :func:`add_arguments`; ConfigError if the tokens cannot be read."""
    from emotalker.service.access import digest, read_tokens

    tokens = read_tokens(args.tokens) if args.tokens else {}
    if token := os.environ.get(TOKEN_VARIABLE):
        tokens[digest(token)] = "client"
    values: dict[str, Any] = {}
    for name, unit, _ in _LIMITS:
        setting = _FIELDS.get(name, name.replace("-", "_"))
        values[setting] = type(getattr(_DEFAULT, setting))(getattr(args, name.replace("-", "_")) * unit)
    same = {name: getattr(args, name) for name in ("redis", "workers", "streams", "checkpoints", "device", "behind_proxy")}
    return Settings(Path(args.folder), tokens=tokens, origins=tuple(args.origin), **same, **values)


def main(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C; running jobs are finished then, and a second signal ends them.

    Raises:
        MissingExtraError: FastAPI, Uvicorn or their companions are not installed.
        EmoTalkerError: the folder or the port cannot be used, or the networks cannot be loaded.
    """
    try:
        import fastapi  # noqa: F401 - whether they are there
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"the service needs {error.name}; run: pip install 'emotalker[serve]'") from error
    serve(settings_from(args), args.host, args.port)


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until a signal; see :func:`main`."""
    import logging

    from emotalker.service.application import make_application, open_store

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if host not in ("127.0.0.1", "localhost", "::1") and not settings.tokens:
        print(f"warning: everyone who reaches {host}:{port} may use the service; give --tokens", file=sys.stderr)
    reasons: list[str] = []

    def unable(reason: str) -> None:
        reasons.append(reason)
        server.should_exit = True

    application = make_application(settings, open_store(settings), unable)
    server = _server(server_config(application, settings, host, port), application)
    try:
        asyncio.run(server.serve())
    except SystemExit as error:
        if error.code:
            raise EmoTalkerError(f"cannot listen on {host}:{port}; give another --port or --host") from error
    if reasons:
        raise EmoTalkerError(reasons[0])


def server_config(application: Any, settings: Settings, host: str, port: int) -> uvicorn.Config:
    """How Uvicorn serves the application."""
    import uvicorn

    return uvicorn.Config(
        application,
        host=host,
        port=port,
        ws_max_size=settings.max_image_bytes + 1024,
        ws_max_queue=4,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=10,
        limit_concurrency=1000,
        server_header=False,
        log_config=None,
        access_log=False,
    )


def _server(config: uvicorn.Config, application: Any) -> uvicorn.Server:
    """A server that answers until running jobs are finished after a first signal, and ends at a second one."""
    import uvicorn

    class Server(uvicorn.Server):
        stopping: asyncio.Task[None] | None = None

        def handle_exit(self, sig: int, frame: object) -> None:
            asyncio.get_event_loop().call_soon_threadsafe(self._stop)

        def _stop(self) -> None:
            if self.stopping is not None:
                print("ended; jobs that ran will run again", file=sys.stderr)
                os._exit(1)
            self.stopping = asyncio.create_task(self._finish())

        async def _finish(self) -> None:
            print("finishing the running jobs; once more to end now", file=sys.stderr)
            service = getattr(application.state, "service", None)  # None while it starts
            if service is not None:
                await service.runner.stop()
            await asyncio.sleep(0.6)  # so that who listens hears of the end
            self.should_exit = True

    return Server(config)


def _number(text: str) -> int:
    """Argument type: a whole number from 0 upwards."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def _count(text: str) -> int:
    """Argument type: a whole number from 1 upwards."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value
