"""Worker processes as the service sees them: started, asked, and replaced when they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from emotalker.core.errors import EmoTalkerError
from emotalker.service import worker
from emotalker.service.settings import Settings
from emotalker.service.wire import Message, pack, read_message

#: Seconds that a process has to end by itself.
END_SECONDS = 5.0
#: Longest answer of a process that is kept in memory before it is read, bytes.
_BUFFER = 1 << 20


class WorkerDied(Exception):
    """The process ended; the message says how."""


class Worker:
    """One worker process, started when it is first needed.

    Args:
        command: starts it.
    """

    def __init__(self, command: Sequence[str]):
        self.command = list(command)
        self._process: asyncio.subprocess.Process | None = None
        self.starting = False

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process unless it runs, and wait until it is ready.

        Raises:
            EmoTalkerError: it cannot work; the message says what is missing.
            WorkerDied: it ended.
        """
        if self.running:
            return
        self.starting = True
        try:
            await self._start()
        finally:
            self.starting = False

    async def _start(self) -> None:
        # In a session of its own, so that Ctrl-C in a terminal leaves it to the service to end it.
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_BUFFER,
            start_new_session=os.name == "posix",
        )
        answer, _ = await self.receive()
        if answer["type"] == "unable":
            await self.stop()
            raise EmoTalkerError(answer["message"])

    async def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        """Write a message; waits while the process has not read the one before. WorkerDied if it has ended."""
        _, stdin, _ = self._started()
        try:
            stdin.write(pack(message, payload))
            await stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerDied(await self._reason()) from error

    async def receive(self) -> Message:
        """The next answer; WorkerDied if the process has ended."""
        _, _, stdout = self._started()
        try:
            return await read_message(stdout)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise WorkerDied(await self._reason()) from error

    async def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            EmoTalkerError: the process cannot work.
            WorkerDied: it ended, or had no answer after so many seconds and was ended.
        """
        await self.start()
        try:
            async with asyncio.timeout(seconds):
                await self.send(message)
                return (await self.receive())[0]
        except TimeoutError as error:
            await self.kill()
            raise WorkerDied(f"there was no answer in {seconds:g} s") from error
        except asyncio.CancelledError:
            await self.kill()  # the answer would be taken for that of the next request
            raise

    async def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """Let the process end; killed if it does not."""
        if self._process is None or self._process.returncode is not None:
            return
        process, stdin, _ = self._started()
        stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            await self.kill()

    def _started(self) -> tuple[asyncio.subprocess.Process, asyncio.StreamWriter, asyncio.StreamReader]:
        """The process, its standard input and its standard output."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("start the process first")
        return process, process.stdin, process.stdout

    async def _reason(self) -> str:
        """How the process ended; it is ended if its output ended before."""
        process, _, stdout = self._started()
        if stdout.at_eof():
            await self.stop()
        else:
            await self.kill()
        code = process.returncode
        return f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit status {code}"


def worker_command(settings: Settings, role: str) -> list[str]:
    """The command line of a worker process: ``render`` computes, ``inspect`` looks at uploads."""
    if settings.worker_command is not None:
        return [*settings.worker_command, role]
    command = [sys.executable, "-m", worker.__name__, role]
    if role == "render":
        command += ["--device", settings.device]
        if settings.checkpoints is not None:
            command += ["--checkpoints", settings.checkpoints]
    return command
