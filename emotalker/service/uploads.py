"""Uploads: multipart forms that are written to disk while they arrive, within limits of size, time and number."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from emotalker.service.metrics import Metrics
from emotalker.service.settings import Settings

Options = TypeVar("Options", bound=BaseModel)
#: Bytes of a form besides its files, and of one field.
FORM_BYTES, FIELD_BYTES = 256_000, 64 * 1024
#: Fields of a form.
FIELDS = 40
#: Seconds that an upload waits for others, and that it may stand still.
WAIT_SECONDS, STILL_SECONDS = 20.0, 30.0
_BUSY = {"Retry-After": "5"}
_CLOSE = {"Connection": "close"}  # the rest of the body is not read


class Uploads:
    """Receives forms.

    Args:
        settings, metrics: of the service.
    """

    def __init__(self, settings: Settings, metrics: Metrics):
        self.settings, self.metrics = settings, metrics
        self._places = asyncio.Semaphore(settings.uploads)
        self._clients: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """A place among the uploads of now.

        Raises:
            HTTPException: 429 if the client has as many as allowed, 503 if no place becomes free.
        """
        if self._clients[client] >= self.settings.uploads_per_client:
            raise HTTPException(
                429, f"{self.settings.uploads_per_client} uploads of yours are under way; wait for one", _BUSY | _CLOSE
            )
        self._clients[client] += 1
        try:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._places.acquire()
            except TimeoutError as error:
                raise HTTPException(503, "too many uploads are under way; ask again", _BUSY | _CLOSE) from error
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    async def receive(self, request: Request, files: dict[str, int], folder: Path) -> dict[str, Any]:
        """Write the files of a form to ``folder`` and return its other fields.

        The files get the names of their fields: those that the client gave are not used.

        Args:
            request: its body is a multipart form.
            files: fields of files, all needed, and their largest sizes in bytes.
            folder: exists.

        Raises:
            HTTPException: 400, 408, 413, 415 or 422, with the reason.
        """
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise HTTPException(415, f"send a multipart form with {' and '.join(files)}", _CLOSE)
        limit = sum(files.values()) + FORM_BYTES
        form = await self._form(request, limit, len(files))
        try:
            return await self._store(form, files, folder)
        finally:
            await form.close()

    async def _form(self, request: Request, limit: int, files: int) -> FormData:
        too_large = HTTPException(413, f"the upload is larger than {limit // 1_000_000} MB; send less", _CLOSE)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise too_large
        received = 0

        async def counted() -> Message:
            nonlocal received
            async with asyncio.timeout(STILL_SECONDS):
                message = await request.receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise too_large
            return message

        try:
            async with asyncio.timeout(self.settings.upload_seconds):
                return await Request(request.scope, counted).form(
                    max_files=files, max_fields=FIELDS, max_part_size=FIELD_BYTES
                )
        except TimeoutError as error:
            raise HTTPException(408, "the upload took too long; send less, or ask again", _CLOSE) from error
        finally:
            self.metrics.count("upload_bytes", "forms", received)

    async def _store(self, form: FormData, files: dict[str, int], folder: Path) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in form.multi_items():
            if name in fields or (name in files and (folder / name).exists()):
                raise HTTPException(422, f"{name} is there twice; send it once")
            if not isinstance(value, UploadFile):
                fields[name] = value
            elif name not in files:
                raise HTTPException(422, f"there is no file {name[:100]!r} to send; send {' and '.join(files)}")
            elif not value.size:
                raise HTTPException(422, f"the {name} is empty; send a file")
            elif value.size > files[name]:
                raise HTTPException(413, f"the {name} is larger than {files[name] // 1_000_000} MB; send less")
            else:
                await asyncio.to_thread(_copy, value, folder / name)
        for name in files:
            if name in fields or not (folder / name).exists():
                raise HTTPException(422, f"the {name} is missing; send it as a file: -F {name}=@FILE")
        return fields


def _copy(upload: UploadFile, path: Path) -> None:
    with open(path, "wb") as file:
        shutil.copyfileobj(upload.file, file, 1 << 20)


def options_from(fields: dict[str, Any], model: type[Options]) -> Options:
    """Options from form fields, or from one field ``options`` with a JSON object, or both.

    Raises:
        HTTPException: 422 with one sentence that names the option.
    """
    values = dict(fields)
    if "options" in values:
        try:
            given = json.loads(values.pop("options"))
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, 'the field options is no JSON; write an object such as {"emotion": "happy"}') from error
        if not isinstance(given, dict):
            raise HTTPException(422, 'the field options is no JSON object; write one such as {"emotion": "happy"}')
        values = given | values
    return validated(values, model)


def validated(values: dict[str, Any], model: type[Options]) -> Options:
    """Options from a JSON object; HTTPException 422 with one sentence that names the option."""
    try:
        return model(**values)
    except (ValidationError, TypeError) as error:
        raise HTTPException(422, _sentence(error, model)) from error


def _sentence(error: ValidationError | TypeError, model: type[BaseModel]) -> str:
    if isinstance(error, TypeError):
        return "the options have names that are no names"
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part)[:100] for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no option {name}; known: {', '.join(sorted(model.model_fields))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}" if name else message
