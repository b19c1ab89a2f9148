"""The study as a web application: pages, forms and videos."""

from __future__ import annotations

import hmac
import re
import secrets
from pathlib import Path

import emotalker
from emotalker.core.errors import MissingExtraError
from emotalker.study import pages
from emotalker.study.definition import MEDIA_TYPES, Study
from emotalker.study.store import Finished, Store, Task

try:
    import uvicorn
    from fastapi import FastAPI, Form, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
except ImportError as error:
    raise MissingExtraError("a user study needs FastAPI and uvicorn: pip install 'emotalker[study]'") from error

COOKIE = "rater"
#: Bytes of a form; a page's is below 1 kB.
MAX_BODY = 16_384
ASSETS = Path(emotalker.__file__).parent / "assets"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; media-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class LimitBody:
    """ASGI middleware that answers 413 to requests with more than ``MAX_BODY`` bytes, before they are kept in memory."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = b""
        more = scope["method"] not in ("GET", "HEAD")
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY:
                return await PlainTextResponse("the request is too large", 413)(scope, receive, send)
        sent = False

        async def replay():
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        return await self.app(scope, replay, send)


def create_app(study: Study, store: Store, secure: bool = False) -> FastAPI:
    """The application of one study.

    Args:
        study: what is asked.
        store: assignments and answers.
        secure: whether browsers send the cookie over HTTPS only.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(LimitBody)
    files = {store.sign("video", system, item): study.path(system, item) for system in study.systems for item in store.items}
    for i, check in enumerate(study.gold_checks):
        for name in ("better", "worse"):
            files[store.sign("video", name, f"gold-{i}")] = getattr(check, name)

    def html(text: str, status: int = 200) -> HTMLResponse:
        return HTMLResponse(text, status, {**HEADERS, "Cache-Control": "no-store"})

    def trusted(request: Request, form: str, *parts: str) -> bool:
        """Whether a form was made by this server for the rater who sends it, and sent by one of its own pages."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        token = request.cookies.get(COOKIE, "")
        expected = store.sign("form", token, *parts)
        return bool(token) and site in ("same-origin", "none") and hmac.compare_digest(form.encode(), expected.encode())

    @app.get("/")
    def current(request: Request) -> Response:
        token = request.cookies.get(COOKIE, "")
        state = store.next(token) if token else None
        if isinstance(state, Task):
            videos = [store.sign("video", video, state.shown) for video in state.videos]
            return html(pages.task_page(study, state, videos, store.sign("form", token, "answers", str(state.id))))
        if isinstance(state, Finished):
            return html(pages.finish_page(study, state.code))
        # A cookie that the server did not make is replaced: nobody else can know the new one.
        token = secrets.token_urlsafe(32)
        response = html(pages.consent_page(study, store.sign("form", token, "consent")))
        response.set_cookie(COOKIE, token, max_age=90 * 86400, httponly=True, samesite="lax", secure=secure)
        return response

    @app.post("/consent")
    def consent(request: Request, form: str = Form("", max_length=64)) -> Response:
        if not trusted(request, form, "consent"):
            return html(pages.message_page(study, "This form has expired, or your browser refuses cookies."), 403)
        store.register(request.cookies[COOKIE])
        return RedirectResponse("/", 303, HEADERS)

    @app.post("/answers")
    async def answers(request: Request) -> Response:
        content = await request.form(max_files=0, max_fields=100)
        values = {key: value for key, value in content.items() if isinstance(value, str)}
        task = values.get("task", "")
        if not re.fullmatch("[0-9]{1,12}", task) or not trusted(request, values.get("form", ""), "answers", task):
            return html(pages.message_page(study, "This form has expired, or your browser refuses cookies."), 403)
        chosen = {name: values.get(f"q{i}", "") for i, name in enumerate(study.criteria)}
        if not all(re.fullmatch("[0-9]{1,2}", value) for value in chosen.values()):
            return html(pages.message_page(study, "Please answer every question."), 422)
        places = {name: int(value) for name, value in chosen.items()}
        try:
            stored = await run_in_threadpool(store.submit, request.cookies[COOKIE], int(task), places)
        except ValueError:
            return html(pages.message_page(study, "Please answer every question."), 422)
        if not stored:
            text = "This page was open for so long that its videos were given to somebody else. There is a new page for you."
            return html(pages.message_page(study, text), 409)
        return RedirectResponse("/", 303, HEADERS)

    @app.get("/video/{name}")
    def video(name: str) -> Response:
        path = files.get(name)
        if path is None:
            return PlainTextResponse("no such video", 404, HEADERS)
        headers = {**HEADERS, "Cache-Control": "private, max-age=86400"}
        response = FileResponse(path, media_type=MEDIA_TYPES[path.suffix.lower()], headers=headers)
        response.headers["last-modified"] = "Thu, 01 Jan 1970 00:00:00 GMT"  # files of one system have similar times
        return response

    @app.get("/study.css")
    def style() -> Response:
        return FileResponse(ASSETS / "study.css", media_type="text/css", headers=HEADERS)

    @app.get("/study.js")
    def script() -> Response:
        return FileResponse(ASSETS / "study.js", media_type="text/javascript", headers=HEADERS)

    return app


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until the process is stopped; one process, whose threads answer requests."""
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False, timeout_keep_alive=30)
