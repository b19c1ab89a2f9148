"""Jobs on a Redis server, for more than one machine.

A running job is leased: its process renews the lease while it works, and a job whose lease has ended waits again. Changes of
more than one key are Lua scripts, which Redis runs one at a time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any
from urllib.parse import urlsplit

from emotalker.core.errors import MissingExtraError
from emotalker.service.jobs import Job, QueueFull, Status, StoreError, served_before
from emotalker.service.settings import MAX_ATTEMPTS

#: Seconds after which a job is given to another process, if its own has said nothing.
LEASE_SECONDS = 30.0
#: Keys begin with this: ``job:ID`` is a hash, ``waiting:CLIENT`` a list, ``clients`` the clients with waiting jobs by when
#: they were served, ``served`` the same of all, ``queued`` a set, ``running``, ``done`` and ``failed`` jobs by time.
PREFIX = "emotalker:"
_COMMON = """
local p = ARGV[1]
local function wait(id, client, first)
  redis.call(first and 'LPUSH' or 'RPUSH', p .. 'waiting:' .. client, id)
  redis.call('SADD', p .. 'queued', id)
  local served = first and 0 or redis.call('HGET', p .. 'served', client)
  if first then redis.call('HSET', p .. 'served', client, 0) end
  if first or not redis.call('ZSCORE', p .. 'clients', client) then
    -- who was never served comes in the order of the first job
    redis.call('ZADD', p .. 'clients', served or redis.call('INCR', p .. 'arrived') * 1e-12, client)
  end
end
local function leave(id, client)
  redis.call('LREM', p .. 'waiting:' .. client, 1, id)
  redis.call('SREM', p .. 'queued', id)
  if redis.call('LLEN', p .. 'waiting:' .. client) == 0 then redis.call('ZREM', p .. 'clients', client) end
end
"""
_ROOM = """
if redis.call('LLEN', p .. 'waiting:' .. ARGV[2]) >= tonumber(ARGV[4]) then return 'client' end
if redis.call('SCARD', p .. 'queued') >= tonumber(ARGV[3]) then return 'all' end
"""
_SUBMIT = """
for name, value in pairs(cjson.decode(ARGV[6])) do redis.call('HSET', p .. 'job:' .. ARGV[5], name, value) end
wait(ARGV[5], ARGV[2], false)
return ''
"""
_CLAIM = """
local client = redis.call('ZRANGE', p .. 'clients', 0, 0)[1]
if not client then return false end
local id = redis.call('LINDEX', p .. 'waiting:' .. client, 0)
leave(id, client)
local turn = redis.call('INCR', p .. 'turn')
redis.call('HSET', p .. 'served', client, turn)
if redis.call('EXISTS', p .. 'waiting:' .. client) == 1 then redis.call('ZADD', p .. 'clients', turn, client) end
redis.call('HINCRBY', p .. 'job:' .. id, 'attempts', 1)
redis.call('HSET', p .. 'job:' .. id, 'status', 'running', 'started', ARGV[2], 'stage', '', 'done', 0)
redis.call('ZADD', p .. 'running', ARGV[3], id)
return redis.call('HGETALL', p .. 'job:' .. id)
"""
_PROGRESS = """
if not redis.call('ZSCORE', p .. 'running', ARGV[2]) then return 0 end
redis.call('ZADD', p .. 'running', ARGV[3], ARGV[2])
if ARGV[4] then redis.call('HSET', p .. 'job:' .. ARGV[2], 'stage', ARGV[4], 'done', ARGV[5], 'total', ARGV[6]) end
return 1
"""
_FINISH = """
if redis.call('ZREM', p .. 'running', ARGV[2]) == 0 then return 0 end
redis.call('HSET', p .. 'job:' .. ARGV[2], 'status', ARGV[3], 'message', ARGV[4], 'result', ARGV[5], 'finished', ARGV[6])
return redis.call('ZADD', p .. ARGV[3], ARGV[6], ARGV[2])
"""
_DELETE = """
local client = redis.call('HGET', p .. 'job:' .. ARGV[2], 'client')
if client then leave(ARGV[2], client) end
for _, name in ipairs({'running', 'done', 'failed'}) do redis.call('ZREM', p .. name, ARGV[2]) end
return redis.call('DEL', p .. 'job:' .. ARGV[2])
"""
_RECOVER = """
local lost = redis.call('ZRANGEBYSCORE', p .. 'running', '-inf', ARGV[2])
for _, id in ipairs(lost) do
  local job = p .. 'job:' .. id
  redis.call('ZREM', p .. 'running', id)
  if tonumber(redis.call('HGET', job, 'attempts')) >= tonumber(ARGV[3]) then
    redis.call('HSET', job, 'status', 'failed', 'message', ARGV[4], 'finished', ARGV[2])
    redis.call('ZADD', p .. 'failed', ARGV[2], id)
  else
    redis.call('HSET', job, 'status', 'queued', 'stage', '', 'done', 0)
    wait(id, redis.call('HGET', job, 'client'), true)
  end
end
return #lost
"""


class RedisStore:
    """A :class:`~emotalker.service.jobs.JobStore` on a Redis server, which any number of processes share.

    Args:
        url: ``redis://[:password@]host[:port][/database]``.
        lease_seconds: see LEASE_SECONDS.

    Raises:
        MissingExtraError: the package redis is not installed.
        StoreError: the server does not answer.
    """

    def __init__(self, url: str, lease_seconds: float = LEASE_SECONDS):
        try:
            import redis
        except ImportError as error:
            raise MissingExtraError("jobs on Redis need its package; run: pip install 'emotalker[redis]'") from error
        self._error, self._lease, self._where = redis.RedisError, lease_seconds, urlsplit(url).hostname or "of this machine"
        try:
            self._redis = redis.Redis.from_url(url, decode_responses=True, socket_timeout=5, socket_connect_timeout=5)
        except ValueError as error:
            raise StoreError(f"cannot read the address of the Redis server ({error}); write redis://host:6379/0") from error
        self._scripts: dict[str, Any] = {
            name: self._redis.register_script(_COMMON + text)
            for name, text in {
                "room": _ROOM + "return ''", "submit": _ROOM + _SUBMIT, "claim": _CLAIM, "progress": _PROGRESS,
                "finish": _FINISH, "delete": _DELETE, "recover": _RECOVER,
            }.items()
        }  # fmt: skip
        self._ask(self._redis.ping)

    def submit(self, job: Job, queue: int, queue_per_client: int) -> None:
        job.created = job.created or time.time()
        values = {name: str(value) for name, value in asdict(job).items()} | {"options": json.dumps(job.options)}
        self._check(
            self._run("submit", job.client, queue, queue_per_client, job.id, json.dumps(values)), queue, queue_per_client
        )

    def check_room(self, client: str, queue: int, queue_per_client: int) -> None:
        self._check(self._run("room", client, queue, queue_per_client), queue, queue_per_client)

    @staticmethod
    def _check(full: str, queue: int, queue_per_client: int) -> None:
        if full == "client":
            raise QueueFull(f"{queue_per_client} jobs of yours wait already; ask again when one is done")
        if full == "all":
            raise QueueFull(f"{queue} jobs wait already; ask again later")

    def get(self, job: str) -> Job | None:
        return _job(self._ask(lambda: self._redis.hgetall(f"{PREFIX}job:{job}")))

    def claim(self) -> Job | None:
        now = time.time()
        found = self._run("claim", now, now + self._lease)
        return None if not found else _job(dict(zip(found[::2], found[1::2], strict=True)))

    def progress(self, job: str, stage: str, done: int, total: int) -> bool:
        return bool(self._run("progress", job, time.time() + self._lease, stage, done, total))

    def alive(self, job: str) -> bool:
        return bool(self._run("progress", job, time.time() + self._lease))

    def finish(self, job: str, status: Status, message: str, result: str) -> None:
        self._run("finish", job, status, message, result, time.time())

    def delete(self, job: str) -> None:
        self._run("delete", job)

    def expired(self, before: float) -> list[str]:
        names = (f"{PREFIX}done", f"{PREFIX}failed")
        return [job for name in names for job in self._ask(lambda n=name: self._redis.zrangebyscore(n, "-inf", f"({before}"))]

    def recover(self) -> int:
        message = f"the service ended {MAX_ATTEMPTS} times while this job ran; try other input"
        return int(self._run("recover", time.time(), MAX_ATTEMPTS, message))

    def counts(self) -> dict[str, int]:
        def counted() -> list[int]:
            with self._redis.pipeline() as pipe:
                pipe.scard(f"{PREFIX}queued")
                for name in ("running", "done", "failed"):
                    pipe.zcard(PREFIX + name)
                return pipe.execute()

        counts = zip(("queued", "running", "done", "failed"), self._ask(counted), strict=True)
        return {status: count for status, count in counts if count}

    def ahead(self, job: Job) -> int:
        served = dict(self._ask(lambda: self._redis.zrange(f"{PREFIX}clients", 0, -1, withscores=True)))

        def listed() -> list[list[str]]:
            with self._redis.pipeline() as pipe:
                for client in served:
                    pipe.lrange(f"{PREFIX}waiting:{client}", 0, -1)
                return pipe.execute()

        waiting = [(name, client) for client, names in zip(served, self._ask(listed), strict=True) for name in names]
        return served_before(waiting, served, job.id)

    def close(self) -> None:
        self._redis.close()

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._ask(lambda: self._scripts[script](args=[PREFIX, *arguments]))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._error as error:
            raise StoreError(f"the Redis server {self._where} cannot be used: {error}; look whether it runs") from error


def _job(values: dict[str, str]) -> Job | None:
    if not values:
        return None
    kinds = {field.name: type(getattr(_EXAMPLE, field.name)) for field in fields(Job)}
    given = {name: kinds[name](value) for name, value in values.items() if name != "options"}
    return Job(**given, options=json.loads(values["options"]))


_EXAMPLE = Job("", "", "")
