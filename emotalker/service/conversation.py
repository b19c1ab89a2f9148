"""The WebSocket ``/v1/stream``: a portrait and audio in, pictures or coefficients out, while the voice speaks.

1. The client sends a JSON object with options; ``{}`` is enough.
2. Unless it names a portrait or wants coefficients, it sends the portrait's file as one binary message.
3. The service answers ``{"type": "ready", "portrait": id, "fps": 25, ...}``.
4. The client sends audio: binary messages of 16-bit mono samples, little-endian, of any length up to 1 MB. The service
   answers with a binary message, a JPEG, for every frame of 40 ms, or with
   ``{"type": "coefficients", "frame": n, "values": [...]}``.
5. The client sends ``{"type": "end"}``; the last frames follow, then ``{"type": "done", "frames": n}``.

Errors are ``{"type": "error", "message": sentence}`` before the connection is closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from emotalker.core.errors import EmoTalkerError
from emotalker.service.access import client_of
from emotalker.service.jobs import new_id
from emotalker.service.options import StreamOptions
from emotalker.service.processes import Worker, WorkerDied
from emotalker.service.state import Service
from emotalker.service.uploads import validated

router = APIRouter(prefix="/v1")
log = logging.getLogger(__name__)
#: Bytes of one message of audio.
CHUNK_BYTES = 1 << 20
#: Codes of RFC 6455, section 7.4.1: policy violation, too big, error, try again later.
POLICY, TOO_BIG, ERROR, LATER = 1008, 1009, 1011, 1013
#: Seconds that a client has to take a frame, and the worker to end a conversation.
SEND_SECONDS, END_SECONDS = 30.0, 10.0


class Refused(Exception):
    """The conversation is over; the message is for the client."""

    def __init__(self, message: str, code: int = POLICY):
        super().__init__(message)
        self.code = code


@router.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    """One conversation."""
    service: Service = socket.app.state.service
    await socket.accept()
    end = "done"
    try:
        await _Conversation(socket, service).hold()
        await socket.close()
    except WebSocketDisconnect:
        end = "client left"
    except Refused as error:
        end = "refused"
        with suppress(Exception):
            await socket.send_json({"type": "error", "message": str(error)})
            await socket.close(error.code)
    except Exception:
        end = "error"
        log.exception("a conversation ended with an error")
        with suppress(Exception):
            await socket.close(ERROR)
    service.metrics.count("streams", end)


class _Conversation:
    def __init__(self, socket: WebSocket, service: Service):
        self.socket, self.service, self.settings = socket, service, service.settings

    async def hold(self) -> None:
        options, client = await self._start()
        known = None if options.portrait is None else self._known_portrait(options.portrait, client)
        if not self.service.free_streams:
            raise Refused(f"{len(self.service.streams)} conversations are going on, as many as allowed; try later", LATER)
        worker = self.service.free_streams.pop()
        clean = False
        try:
            if options.output == "jpeg" and known is None:
                known = await self._new_portrait(client)
            await self._prepare(worker, options, known)
            await self._talk(worker, options)
            clean = True
        except WorkerDied as error:
            self.service.metrics.count("worker_deaths", "stream")
            raise Refused(f"the process that answers ended unexpectedly ({error})", ERROR) from error
        finally:
            if not clean:
                await _end(worker)
            self.service.free_streams.append(worker)

    async def _start(self) -> tuple[StreamOptions, str]:
        """Options and the client."""
        try:
            async with asyncio.timeout(self.settings.idle_seconds):
                values = await self._json()
            options = validated(values, StreamOptions)
            client = client_of(self.socket, self.settings, options.token)
        except TimeoutError as error:
            raise Refused("the first message is a JSON object with the options; none came") from error
        except HTTPException as error:
            raise Refused(error.detail) from error
        if self.service.runner.stopping:
            raise Refused("the service is being stopped; try soon", LATER)
        if self.service.disk_full:
            raise Refused("the service's disk is nearly full; try later", LATER)
        if self.service.rate.take(client):
            raise Refused(f"more than {self.settings.rate:g} requests in a minute; wait", LATER)
        return options, client

    async def _json(self) -> dict[str, Any]:
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        with suppress(ValueError, RecursionError):
            values = json.loads(message.get("text") or "")
            if isinstance(values, dict):
                return values
        raise Refused('the first message is a JSON object with the options, such as {"type": "start"}')

    def _known_portrait(self, name: str, client: str) -> Path:
        """The file of the portrait of an earlier conversation."""
        folder = self.settings.portraits / name
        known = re.fullmatch(r"[\w-]{20,40}", name) and (folder / "image").is_file()
        if not known or (self.settings.tokens and (folder / "client").read_text() != client):
            raise Refused("there is no such portrait; send its file")
        return folder / "image"

    async def _new_portrait(self, client: str) -> Path:
        """The file of the portrait that is sent, which is kept for later conversations of the client."""
        try:
            async with asyncio.timeout(self.settings.idle_seconds):
                content = await self.socket.receive_bytes()
        except (TimeoutError, KeyError) as error:
            raise Refused("the second message is the portrait's file, binary; none came") from error
        if len(content) > self.settings.max_image_bytes:
            raise Refused(f"the portrait is larger than {self.settings.max_image_bytes // 1_000_000} MB", TOO_BIG)
        folder = self.settings.portraits / new_id()
        folder.mkdir(parents=True, mode=0o700)
        try:
            (folder / "image").write_bytes(content)
            (folder / "client").write_text(client)
            await self.service.inspect(folder, "image")
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, HTTPException):
                raise Refused(error.detail) from error
            raise
        return folder / "image"

    async def _prepare(self, worker: Worker, options: StreamOptions, portrait: Path | None) -> None:
        try:
            await worker.start()
        except EmoTalkerError as error:
            raise Refused(str(error), ERROR) from error
        image = None if portrait is None else str(portrait.absolute())
        await worker.send({"type": "stream", "options": options.model_dump(exclude={"token"}), "image": image})
        answer, _ = await worker.receive()
        if answer["type"] != "started":
            raise Refused(answer["message"].replace(str(image), "the portrait"))
        answer.pop("type")
        await self.socket.send_json({"type": "ready", "portrait": portrait and portrait.parent.name, **answer})

    async def _talk(self, worker: Worker, options: StreamOptions) -> None:
        """Audio to the worker and its answers to the client, side by side.

        Nothing is stored in between: a worker that is behind makes the audio wait at the client.
        """
        listening = asyncio.create_task(self._listen(worker, options))
        answering = asyncio.create_task(self._reply(worker))
        try:
            done, _ = await asyncio.wait({listening, answering}, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in (listening, answering):
                task.cancel()
            await asyncio.gather(listening, answering, return_exceptions=True)

    async def _listen(self, worker: Worker, options: StreamOptions) -> None:
        received, rest = 0, b""
        longest = self.settings.stream_seconds * options.sample_rate * 2
        while True:
            try:
                async with asyncio.timeout(self.settings.idle_seconds):
                    message = await self.socket.receive()
            except TimeoutError as error:
                raise Refused(f"no audio came for {self.settings.idle_seconds:g} s") from error
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            audio = message.get("bytes")
            if audio is None:
                if (message.get("text") or "").replace(" ", "") != '{"type":"end"}':
                    raise Refused('audio is binary; the only text after the start is {"type": "end"}')
                await worker.send({"type": "end"})
                return
            received += len(audio)
            if len(audio) > CHUNK_BYTES:
                raise Refused(f"a message of audio has at most {CHUNK_BYTES} bytes", TOO_BIG)
            if received > longest:
                raise Refused(f"a conversation has at most {self.settings.stream_seconds:g} s of audio; begin another one")
            audio = rest + audio
            audio, rest = audio[: len(audio) // 2 * 2], audio[len(audio) // 2 * 2 :]
            await worker.send({"type": "audio"}, audio)

    async def _reply(self, worker: Worker) -> None:
        frames = 0
        while True:
            answer, payload = await worker.receive()
            if answer["type"] == "over":
                await self.socket.send_json({"type": "done", "frames": frames})
                return
            if answer["type"] == "failed":
                raise Refused(answer["message"], ERROR)
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    if answer["type"] == "frame":
                        await self.socket.send_bytes(payload)
                    else:
                        await self.socket.send_json({**answer, "frame": frames})
            except TimeoutError as error:
                raise Refused("the client does not read its frames") from error
            frames += 1


async def _end(worker: Worker) -> None:
    """Bring a worker back to where it waits for requests, or end its process."""
    if not worker.running:
        return
    try:
        async with asyncio.timeout(END_SECONDS):
            await worker.send({"type": "stop"})
            while (await worker.receive())[0]["type"] != "stopped":
                pass
    except (TimeoutError, WorkerDied, asyncio.CancelledError):
        await worker.kill()
