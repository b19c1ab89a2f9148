"""What stands before Gradio: only the paths that the page uses, bodies of limited size, and each visitor's own files alone.

Gradio serves any file of its folder to whoever has the address, downloads addresses that a client names in place of a
file, and has paths for other purposes (proxies, recordings, run histories). Here a visitor is told by a cookie, and what
belongs to another visitor, a file or a session of the queue, is refused.
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from emotalker.app.storage import Storage

COOKIE = "emotalker_visitor"
#: Sessions of the queue whose visitor is remembered.
MOST_SESSIONS = 10_000
#: Largest body of a request other than an upload, and what an upload's body has besides the file, bytes.
MAX_JSON_BYTES, MULTIPART_BYTES = 1_000_000, 65_536
_API = "/gradio_api"
_UPLOAD, _FILE, _JOIN, _DATA = f"{_API}/upload", f"{_API}/file=", f"{_API}/queue/join", f"{_API}/queue/data"
_BODIES = (_JOIN, f"{_API}/cancel", f"{_API}/reset")
_EXACT = {
    "/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", f"{_API}/startup-events",
    f"{_API}/theme.css", f"{_API}/info", f"{_API}/app_id", f"{_API}/upload_progress", _UPLOAD, _DATA, *_BODIES,
}  # fmt: skip
_PREFIXES = ("/assets/", "/static/", "/svelte/", _FILE, f"{_API}/heartbeat/")
_HEADERS = [
    # 'unsafe-inline' and 'unsafe-eval' are what Gradio's page is made of; no address but this server's is reached.
    (
        b"content-security-policy",
        b"default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        b"style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; object-src 'none'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Refused(Exception):
    """A request is answered with a status and a sentence."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class VisitorGuard:
    """ASGI middleware.

    Args:
        app: the application behind it.
        storage: of the files.
        upload_bytes: largest upload.
    """

    def __init__(self, app: Any, storage: Storage, upload_bytes: int):
        self.app, self.storage, self.upload_bytes = app, storage, upload_bytes
        self._sessions: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":  # start and stop of the server; the page uses no WebSocket
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        except Refused as refused:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *_HEADERS]
            await send({"type": "http.response.start", "status": refused.status, "headers": headers})
            await send({"type": "http.response.body", "body": refused.reason.encode()})

    async def _answer(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path, visitor = scope["path"], _visitor(scope)
        if len(path) > 1:
            path = path.rstrip("/")
        if path not in _EXACT and not path.startswith(_PREFIXES):
            raise Refused(404, "the page has no such address")
        headers = list(_HEADERS)
        if visitor is None:
            visitor = secrets.token_urlsafe(24)
            if path == "/":
                secure = "; Secure" if scope.get("scheme") == "https" else ""
                headers.append((b"set-cookie", f"{COOKIE}={visitor}; HttpOnly; SameSite=Lax; Path=/{secure}".encode()))
        if path.startswith(_FILE):
            if not self.storage.readable(path.removeprefix(_FILE), visitor):
                raise Refused(403, "this file is not yours, or was deleted after its time")
            headers.append((b"cache-control", b"private, no-store"))
        if path == _DATA:
            self._own_session(parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0], visitor)
        if path == _UPLOAD:
            if self.storage.full():
                raise Refused(507, "the page holds as many files as it may; come back in some minutes")
            receive = _limited(receive, scope, self.upload_bytes + MULTIPART_BYTES)
            send = self._recording_upload(send, visitor)
        elif path in _BODIES:
            receive = await self._checked(receive, scope, visitor)
        elif scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "this address is only read")

        async def with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in headers}
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names - {b"set-cookie"}]
                message = {**message, "headers": [*kept, *headers]}
            await send(message)

        await self.app(scope, receive, with_headers)

    def _own_session(self, session: str, visitor: str) -> None:
        """Refuse a session of the queue that another visitor began."""
        if self._sessions.setdefault(session, visitor) != visitor:
            raise Refused(403, "this session is another visitor's; load the page again")
        self._sessions.move_to_end(session)
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)

    async def _checked(self, receive: Any, scope: dict[str, Any], visitor: str) -> Any:
        """The body of a call, after its session and files were checked."""
        limited, content = _limited(receive, scope, MAX_JSON_BYTES), b""
        while True:
            message = await limited()
            if message["type"] != "http.request":
                raise Refused(400, "the request was not sent to its end")
            content += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            body = json.loads(content, parse_constant=_no_number)
            session = str(body["session_hash"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Refused(400, "the request is not one of the page's") from None
        self._own_session(session, visitor)
        self._check_files(body, visitor)
        # Written anew: what was checked is what Gradio reads, also where a name appeared twice.
        return _replayed(json.dumps(body).encode(), scope, receive)

    def _check_files(self, value: Any, visitor: str) -> None:
        """Refuse a file, anywhere in a call, that the visitor may not read: another's, the machine's, or an address."""
        if isinstance(value, dict):
            path = value.get("path")
            if path is not None and not (isinstance(path, str) and self.storage.readable(path, visitor)):
                raise Refused(403, "a file of this request is not yours, or was deleted after its time; upload it again")
            for part in value.values():
                self._check_files(part, visitor)
        elif isinstance(value, list):
            for part in value:
                self._check_files(part, visitor)

    def _recording_upload(self, send: Any, visitor: str) -> Any:
        """Passes an upload's answer on, and notes whose the files are that it lists."""
        content = bytearray()

        async def recording(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                content.extend(message.get("body", b""))
                if not message.get("more_body"):
                    for path in _listed(bytes(content)):
                        self.storage.share(path, visitor)
            await send(message)

        return recording


def _visitor(scope: dict[str, Any]) -> str | None:
    """The visitor of the request's cookie."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            morsel = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            if morsel is not None and len(morsel.value) >= 16:
                return morsel.value
    return None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _listed(content: bytes) -> list[str]:
    """Paths in the JSON list of an upload's answer; none in an error's."""
    try:
        paths = json.loads(content)
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _limited(receive: Any, scope: dict[str, Any], largest: int) -> Any:
    """Refuses a body above ``largest`` bytes: at once if its length is stated, otherwise when it gets there."""
    too_large = Refused(413, f"the upload is larger than {max(1, largest // 1024**2)} MB; give a smaller file")
    for name, value in scope["headers"]:
        if name == b"content-length" and not (value.isdigit() and int(value) <= largest):
            raise too_large
    received = 0

    async def limited() -> dict[str, Any]:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > largest:
            raise too_large
        return message

    return limited


def _replayed(content: bytes, scope: dict[str, Any], receive: Any) -> Any:
    """A ``receive`` that gives this body, then waits as the original does."""
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"transfer-encoding")]
    scope["headers"].append((b"content-length", str(len(content)).encode()))
    sent = False

    async def replay() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    return replay
