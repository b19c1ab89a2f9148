"""The running server of the page."""

from __future__ import annotations

import argparse
import os
import socket

import gradio as gr
from starlette.middleware import Middleware

from emotalker.app.command import PageError
from emotalker.app.guard import VisitorGuard
from emotalker.app.look import CSS, theme
from emotalker.app.page import Page
from emotalker.app.storage import Storage
from emotalker.app.studio import Studio
from emotalker.exchange.gltf import pygltflib

#: Sessions whose recording and last video are remembered; some megabytes each.
_SESSIONS = 100


class PageServer:
    """Loads the models, opens the page's address and answers in threads of its own.

    Args:
        args: of :func:`emotalker.app.command.add_arguments`.

    Attributes:
        url: where the page is.
        share_url: its public address; None without ``args.share``.
        storage: its files.

    Raises:
        PageError: the address cannot be had.
        CheckpointError: the models cannot be loaded.
        MissingExtraError: what the downloads or the examples need is not installed.
    """

    def __init__(self, args: argparse.Namespace):
        port = _free_port(args.host, args.port)  # before the models, which take seconds
        pygltflib()
        self.storage = Storage(60 * args.keep_minutes, round(args.max_storage_gb * 1024**3))
        try:
            os.environ["GRADIO_TEMP_DIR"] = str(self.storage.root)
            studio = Studio.load(args.max_seconds, args.checkpoints, args.device)
            self.page = Page(studio, self.storage, args.max_waiting, args.max_size)
            self.storage.publish()  # what Gradio has copied for the page itself
            upload_bytes = round(args.max_upload_mb * 1024**2)
            guard = Middleware(VisitorGuard, storage=self.storage, upload_bytes=upload_bytes)
            _, self.url, self.share_url = self.page.blocks.launch(
                server_name=args.host,
                server_port=port,
                share=args.share,
                max_file_size=upload_bytes,
                prevent_thread_lock=True,
                quiet=True,
                inbrowser=False,
                footer_links=[],
                run_history=False,
                enable_monitoring=False,
                mcp_server=False,
                ssr_mode=False,
                pwa=False,
                allowed_paths=[],
                state_session_capacity=_SESSIONS,
                app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None, "openapi_url": None},
                theme=theme(),
                css=CSS,
            )
        except OSError as error:
            self.storage.close()
            raise PageError(f"the page cannot be served at {args.host}:{port} ({error}); give another --port") from error
        except BaseException:
            self.storage.close()
            raise
        self.storage.start_sweeping()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and delete all files."""
        self.page.blocks.close(verbose=False)
        gr.close_all(verbose=False)
        self.storage.close()


def _free_port(host: str, port: int) -> int:
    """The port, or a free one for 0; PageError if it is taken."""
    try:
        with socket.create_server((host, port)) as probe:
            return probe.getsockname()[1]
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PageError(f"the page cannot be served at {host}:{port} ({reason}); give another --port or --host") from error
