"""The command ``emotalker app``: its options, and the server of the page. Heavy imports are inside functions."""

from __future__ import annotations

import argparse
import os
import threading
from typing import TYPE_CHECKING

from emotalker.core.cli import device, picture_size, positive
from emotalker.core.errors import EmoTalkerError, MissingExtraError

if TYPE_CHECKING:
    from emotalker.app.server import PageServer

DESCRIPTION = "Serve a page on which a portrait, a voice and settings become a talking video."


class PageError(EmoTalkerError):
    """The page cannot be served; the message says why, and how to mend it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the page."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="0 for a free one (default: %(default)s)")
    parser.add_argument("--share", action="store_true", help="also open a public address through gradio.live (default: off)")
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--device", type=device, default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    group = parser.add_argument_group("limits")
    group.add_argument("--max-upload-mb", type=positive, default=50, metavar="MB", help="largest file (default: %(default)s)")
    group.add_argument("--max-seconds", type=positive, default=60, metavar="S", help="longest voice (default: %(default)s)")
    group.add_argument(
        "--max-size", type=picture_size, default=1024, metavar="PX", help="largest video (default: %(default)s)"
    )
    group.add_argument("--max-waiting", type=int, default=10, metavar="N", help="videos in the queue (default: %(default)s)")
    group.add_argument("--max-storage-gb", type=positive, default=5, metavar="GB", help="all files (default: %(default)s)")
    group.add_argument(
        "--keep-minutes", type=positive, default=60, metavar="M", help="files are deleted after this (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> None:
    """Serve the page until interrupted.

    Raises:
        MissingExtraError: Gradio is not installed.
        PageError: the port is taken.
        CheckpointError: the models cannot be loaded.
    """
    with start(args) as server:
        print(f"the page is at {server.url}; Ctrl+C ends it", flush=True)
        if server.share_url:
            print(f"public for a week: {server.share_url}", flush=True)
        threading.Event().wait()


def start(args: argparse.Namespace) -> PageServer:
    """Load the models and start the server; as a context manager it is stopped and its files are deleted at the end."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        from emotalker.app.server import PageServer
    except ImportError as error:
        if (error.name or "").split(".")[0] != "gradio":
            raise
        raise MissingExtraError("the page needs Gradio; install it with: pip install 'emotalker[app]'") from error
    return PageServer(args)
