"""The application: its parts, routes, and what happens when it starts and stops."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

import emotalker
from emotalker.core.errors import EmoTalkerError
from emotalker.service import conversation, routes
from emotalker.service.access import client_of
from emotalker.service.jobs import JobStore
from emotalker.service.metrics import Metrics
from emotalker.service.options import StreamOptions
from emotalker.service.page import PAGE, POLICY
from emotalker.service.runner import Runner
from emotalker.service.settings import Settings
from emotalker.service.state import Service

log = logging.getLogger(__name__)


def open_store(settings: Settings) -> JobStore:
    """The store of jobs; StoreError or MissingExtraError if it cannot be had."""
    if settings.redis is not None:
        from emotalker.service.redis_store import RedisStore

        settings.jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        return RedisStore(settings.redis)
    from emotalker.service.sqlite_store import SqliteStore

    return SqliteStore(settings.folder)


def make_application(settings: Settings, store: JobStore, on_unable: Callable[[str], None] = lambda reason: None) -> FastAPI:
    """The ASGI application. Its ``state.service`` exists while it runs.

    Args:
        settings: of the service.
        store: from :func:`open_store`; closed when the application stops.
        on_unable: called with the reason if the networks cannot be loaded.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        metrics = Metrics()
        service = Service(settings, store, Runner(store, settings, metrics, on_unable), metrics)
        app.state.service = service
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="EmoTalker",
        version=emotalker.__version__,
        description="A recording and a portrait in, a talking video out.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(routes.router)
    app.include_router(conversation.router)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Range", "Last-Event-ID"],
            expose_headers=["Retry-After", "Content-Range"],
        )
    _add_pages(app, settings)
    _add_refusals(app)
    return app


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        service: Service | None = getattr(app.state, "service", None)
        if service is not None:
            service.metrics.count("refused", str(error.status_code))
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)

    @app.exception_handler(EmoTalkerError)
    async def store_away(request: Request, error: EmoTalkerError) -> JSONResponse:
        log.error("%s", error)  # which may name places of the service
        return await refused(request, HTTPException(503, "the jobs cannot be reached; ask again soon", {"Retry-After": "10"}))


def _add_pages(app: FastAPI, settings: Settings) -> None:
    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    @app.get("/v1/health")
    async def health(request: Request) -> JSONResponse:
        """Whether the service takes jobs; 503 while it is being stopped. Needs no token."""
        stopping = request.app.state.service.runner.stopping
        return JSONResponse({"status": "stopping" if stopping else "ok"}, 503 if stopping else 200)

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics(request: Request) -> PlainTextResponse:
        """Counters in Prometheus' text format."""
        service: Service = request.app.state.service
        client_of(request, settings)
        text = service.metrics.text(service.store.counts(), len(service.streams) - len(service.free_streams))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    made = app.openapi

    def described() -> dict[str, Any]:
        schema = made()
        schema["info"]["x-stream"] = (conversation.__doc__ or "").strip()
        schema["info"]["x-stream-options"] = StreamOptions.model_json_schema()
        if settings.tokens:
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
        return schema

    app.openapi = described
