"""The routes of videos and motions."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from emotalker.inference.emotion_track import EmotionTrack, EmotionTrackError
from emotalker.service.access import client_of
from emotalker.service.engine import EMOTION_TRACK
from emotalker.service.jobs import Job, new_id
from emotalker.service.options import MotionOptions, VideoOptions
from emotalker.service.state import LISTENERS, Service
from emotalker.service.uploads import options_from

router = APIRouter(prefix="/v1")
Options = TypeVar("Options", bound=BaseModel)
#: Seconds between looks at a job whose progress is sent, and after which a connection without news gets a comment.
LOOK_SECONDS, COMMENT_SECONDS = 0.25, 15.0
_MEDIA = {
    ".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime",
    ".json": "application/json", ".csv": "text/csv", ".npz": "application/octet-stream",
}  # fmt: skip


class JobStatus(BaseModel):
    """The state of a job. Times are seconds since 1970; 0 if that has not happened.

    Attributes:
        ahead: jobs that are taken before it, while it waits.
        done, total: frames; total is 0 while it is unknown.
        message: why it failed, or a summary.
        audio_seconds: length of the recording.
        result: where the video is, when it is done.
    """

    id: str
    status: str
    stage: str
    done: int
    total: int
    message: str
    ahead: int
    audio_seconds: float
    created: float
    started: float
    finished: float
    result: str | None


def _form(model: type[BaseModel], *files: str) -> dict[str, Any]:
    """OpenAPI's description of a form with files and options."""
    schema = model.model_json_schema()
    properties = {name: {"type": "string", "format": "binary"} for name in files} | schema["properties"]
    properties["options"] = {"type": "string", "description": "the options as one JSON object, instead of fields"}
    form = {"type": "object", "required": list(files), "properties": properties, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}


_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "no known token"},
    413: {"description": "the upload is too large"},
    422: {"description": "a file or an option cannot be used; the answer says which"},
    429: {"description": "too many requests, or the queue is full; ask again after Retry-After seconds"},
    503: {"description": "the service is being stopped or overloaded"},
}


def _service(request: Request) -> Service:
    return request.app.state.service


async def _accept(request: Request, kind: str, model: type[Options], files: dict[str, int]) -> Job:
    """Receive a request for a job and let the job wait."""
    service = _service(request)
    client = service.admit(request)
    await service.check_room(client)
    job = Job(new_id(), kind, client)
    folder = service.settings.jobs / job.id
    async with service.uploads.place(client):
        folder.mkdir(parents=True, mode=0o700)
        try:
            options = options_from(await service.uploads.receive(request, files, folder), model)
            job.options = options.model_dump() | {"max_size": service.settings.max_size}
            size = job.options.get("size")
            if size is not None and size > service.settings.max_size:
                raise HTTPException(422, f"size: at most {service.settings.max_size} pixels are made here")
            _check_track(job.options, folder)
            job.audio_seconds = await service.inspect(folder, *files)
            await service.submit(job)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, True)
            raise
    return job


@router.post("/videos", status_code=202, responses=_REFUSALS, openapi_extra=_form(VideoOptions, "audio", "image"))
async def make_video(request: Request) -> JobStatus:
    """Let a portrait talk: send a recording and a picture; the answer has the id of the job."""
    limits = _service(request).settings
    files = {"audio": limits.max_audio_bytes, "image": limits.max_image_bytes}
    job = await _accept(request, "video", VideoOptions, files)
    return await _status(request, job)


@router.get("/videos/{job}", responses={404: {"description": "there is no such job"}})
async def video_status(request: Request, job: str) -> JobStatus:
    """The state of a job."""
    return await _status(request, await _owned(request, job))


@router.get("/videos/{job}/events", response_class=StreamingResponse)
async def video_events(request: Request, job: str) -> StreamingResponse:
    """The state of a job, as server-sent events, whenever it changes; the last event is ``done`` or ``failed``."""
    await _owned(request, job)
    service = _service(request)
    client = client_of(request, service.settings)
    if service.listeners[client] >= LISTENERS:
        raise HTTPException(429, f"{LISTENERS} connections of yours wait for events; close one", {"Retry-After": "5"})
    return StreamingResponse(
        _listened(service, client, _events(request, job)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/videos/{job}/result", response_class=FileResponse)
async def video_result(request: Request, job: str) -> FileResponse:
    """The video; parts of it are answered to a header ``Range``."""
    found = await _owned(request, job)
    if found.status == "failed":
        raise HTTPException(409, f"there is no video: {found.message}")
    if found.status != "done":
        raise HTTPException(409, f"the video is not ready: it is {found.status}; ask again", {"Retry-After": "2"})
    return _file(request, found, f"emotalker-{found.id[:8]}")


@router.delete("/videos/{job}", status_code=204)
async def delete_video(request: Request, job: str) -> Response:
    """Delete a job, its uploads and its result; a running one is ended."""
    found = await _owned(request, job)
    await _service(request).forget(found.id)
    return Response(status_code=204)


@router.post("/motion", responses=_REFUSALS, openapi_extra=_form(MotionOptions, "audio"), response_class=Response)
async def make_motion(request: Request) -> Response:
    """The motion of a recording, 25 frames a second, as JSON, CSV, NumPy's npz or Live Link Face CSV.

    The request waits like the jobs of videos, and is answered when the motion is there.
    """
    service = _service(request)
    job = await _accept(request, "motion", MotionOptions, {"audio": service.settings.max_audio_bytes})
    try:
        while not job.over:
            await asyncio.sleep(LOOK_SECONDS / 2)
            if await request.is_disconnected():
                raise HTTPException(499, "the client is gone")
            found = await asyncio.to_thread(service.store.get, job.id)
            if found is None:
                raise HTTPException(404, "the job was deleted")
            if service.runner.stopping and found.status == "queued":
                raise HTTPException(503, "the service is being stopped; ask again soon", {"Retry-After": "30"})
            job = found
        if job.status == "failed":
            raise HTTPException(422, job.message)
    except BaseException:
        await service.forget(job.id)
        raise
    answer = _file(request, job, "motion")
    answer.background = BackgroundTask(service.forget, job.id)
    return answer


def _check_track(options: dict[str, Any], folder: Path) -> None:
    """Put the emotion track into a file of the job's; HTTPException 422 with line and reason if it cannot be read."""
    text = options.pop("emotion_track")
    if not text:
        return
    path = folder / EMOTION_TRACK
    path.write_text(text, encoding="utf-8")
    try:
        EmotionTrack.load(path)
    except EmotionTrackError as error:
        raise HTTPException(422, str(error).replace(str(path), "emotion_track")) from error


async def _owned(request: Request, job: str) -> Job:
    service = _service(request)
    found = await service.owned(job, client_of(request, service.settings))
    if found.kind != "video":
        raise HTTPException(404, "there is no such job; it may have been deleted")
    return found


async def _status(request: Request, job: Job) -> JobStatus:
    values = {name: getattr(job, name) for name in JobStatus.model_fields if hasattr(job, name)}
    values["ahead"] = await asyncio.to_thread(_service(request).store.ahead, job) if job.status == "queued" else 0
    values["result"] = str(request.url_for("video_result", job=job.id).path) if job.status == "done" else None
    return JobStatus(**values)


async def _listened(service: Service, client: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
    with service.listening(client):
        async for event in events:
            yield event


async def _events(request: Request, job: str) -> AsyncIterator[str]:
    """Server-sent events (HTML standard, section 9.2)."""
    service, last, sent = _service(request), "", time.monotonic()
    while True:
        found = await asyncio.to_thread(service.store.get, job)
        if found is None:
            yield _event("deleted", {"id": job})
            return
        state = (await _status(request, found)).model_dump()
        text, now = json.dumps(state), time.monotonic()
        if text != last:
            yield _event(found.status if found.over else "progress", state)
            last, sent = text, now
        elif now - sent > COMMENT_SECONDS:
            yield ": still there\n\n"
            sent = now
        if found.over:
            return
        if service.runner.stopping and found.status == "queued":
            yield "retry: 30000\n\n"  # the job waits in the store; browsers ask again by themselves
            return
        await asyncio.sleep(LOOK_SECONDS)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _file(request: Request, job: Job, name: str) -> FileResponse:
    path = _service(request).settings.jobs / job.id / job.result
    if not path.is_file():
        raise HTTPException(410, "the result was deleted; make it again")
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type=_MEDIA[path.suffix], filename=f"{name}{path.suffix}", headers=headers)
