"""Messages between the service and its worker processes: a JSON object and bytes, each preceded by its length."""

from __future__ import annotations

import asyncio
import json
import os
import select
import struct
import sys
from typing import Any

Message = tuple[dict[str, Any], bytes]
_LENGTHS = struct.Struct("!II")


def pack(message: dict[str, Any], payload: bytes = b"") -> bytes:
    """The bytes of one message."""
    text = json.dumps(message).encode()
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


async def read_message(stream: asyncio.StreamReader) -> Message:
    """The next message of a stream; asyncio.IncompleteReadError at its end."""
    text, payload = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
    return json.loads(await stream.readexactly(text)), await stream.readexactly(payload)


class Pipe:
    """The worker's end: standard input and output of its process. What else is printed goes to standard error."""

    def __init__(self) -> None:
        self._input, self._output = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = sys.stderr

    def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        """Write a message; the process ends if the service is gone."""
        data = memoryview(pack(message, payload))
        try:
            while data:
                data = data[os.write(self._output, data) :]
        except BrokenPipeError:
            os._exit(1)  # without the service, there is nobody to report to

    def receive(self) -> Message | None:
        """The next message; None when the service is gone."""
        lengths = self._read(_LENGTHS.size)
        if lengths is None:
            return None
        text, payload = (self._read(length) for length in _LENGTHS.unpack(lengths))
        return None if text is None or payload is None else (json.loads(text), payload)

    def waiting(self) -> bool:
        """Whether a message, or the end, can be read without delay."""
        return bool(select.select([self._input], [], [], 0)[0])

    def _read(self, length: int) -> bytes | None:
        parts, missing = [], length
        while missing:
            part = os.read(self._input, min(missing, 1 << 20))
            if not part:
                return None
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
