"""Who asks, and how often they may."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from emotalker.core.errors import ConfigError
from emotalker.service.settings import Settings

#: Clients whose rate is remembered; those who asked longest ago are forgotten beyond.
_REMEMBERED = 10_000
_LOCAL = ("localhost", "127.0.0.1", "::1")


def read_tokens(path: str | os.PathLike) -> dict[str, str]:
    """Tokens of a file with a line ``client token`` for each, as SHA-256 to client; ``#`` begins a comment.

    Raises:
        ConfigError: the file cannot be read, a line is of another form, or a token is shorter than 16 characters.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the tokens of {path}: {error}") from error
    tokens: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        parts = line.partition("#")[0].split()
        if not parts:
            continue
        if len(parts) != 2:
            raise ConfigError(f"{path}, line {number}: write the client's name and its token, with a space between")
        if len(parts[1]) < 16:
            raise ConfigError(
                f"{path}, line {number}: the token is shorter than 16 characters; make one with: openssl rand -hex 24"
            )
        tokens[digest(parts[1])] = parts[0]
    if not tokens:
        raise ConfigError(f"{path} has no token; write a line with a client's name and its token")
    return tokens


def digest(token: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def client_of(connection: HTTPConnection, settings: Settings, token: str | None = None) -> str:
    """The name of who asks: the token's client, or the address where there are no tokens.

    Args:
        connection: a request or a WebSocket.
        settings: of the service.
        token: where it is not in the header ``Authorization``.

    Raises:
        HTTPException: 401 without a known token, 403 for scripts of a page of another host.
    """
    check_origin(connection, settings)
    if settings.tokens:
        kind, _, given = connection.headers.get("authorization", "").partition(" ")
        name = _owner(given.strip() if kind.lower() == "bearer" else token or "", settings.tokens)
        if name is None:
            raise HTTPException(401, "give a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        return name
    address = connection.client.host if connection.client else "local"
    if settings.behind_proxy:
        address = connection.headers.get("x-forwarded-for", address).rpartition(",")[2].strip()
    return _network(address)


def _owner(token: str, tokens: Mapping[str, str]) -> str | None:
    """The client of a token. All are compared, each in constant time, so that the time tells nothing."""
    given, found = digest(token), None
    for known, name in tokens.items():
        if hmac.compare_digest(given, known):
            found = name
    return found


def _network(address: str) -> str:
    """The address; of IPv6 the /64 network, because one host has as many addresses as it likes."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def check_origin(connection: HTTPConnection, settings: Settings) -> None:
    """HTTPException 403 if a script of a web page asks that is neither of this host nor among ``settings.origins``.

    Browsers send forms and open WebSockets across hosts without asking; without tokens, any page could use a service that
    listens on its visitor's machine.
    """
    origin, host = connection.headers.get("origin"), connection.headers.get("host", "")
    if origin is None or "*" in settings.origins or origin in settings.origins:
        return
    if urlsplit(origin).netloc != host or (not settings.tokens and _renamed(connection, host)):
        raise HTTPException(403, f"pages of {origin[:200]} may not ask; start the service with --origin {origin[:200]}")


def _renamed(connection: HTTPConnection, host: str) -> bool:
    """Whether this machine is asked from itself by a name that is not its own, as by DNS rebinding."""
    address = connection.client.host if connection.client else ""
    return address in _LOCAL and urlsplit(f"//{host}").hostname not in _LOCAL


class RateLimit:
    """A token bucket for each client: ``rate`` requests a minute, and as many at once."""

    def __init__(self, rate: float):
        self.rate = rate
        self._buckets: dict[str, tuple[float, float]] = {}  # requests left, at a time

    def take(self, client: str, now: float | None = None) -> float:
        """Use one request; returns 0, or the seconds to wait if none is left."""
        now = time.monotonic() if now is None else now
        left, at = self._buckets.pop(client, (self.rate, now))
        left = min(self.rate, left + (now - at) * self.rate / 60)
        wait = 0.0 if left >= 1 else (1 - left) * 60 / self.rate
        self._buckets[client] = (left if wait else left - 1, now)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.pop(next(iter(self._buckets)))
        return wait
