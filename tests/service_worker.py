"""A worker process of the service for tests of its queue: answers at once, or does what the job's seed says."""

import os
import signal
import sys
import time
from pathlib import Path

from emotalker.core.errors import EmoTalkerError
from emotalker.service.intake import Inspector
from emotalker.service.worker import work

#: Seeds of jobs that fail by a signal, by an error of the input, by a bug, or last until they are cancelled.
CRASH, REFUSE, BUG, ENDLESS = 11, 12, 13, 14
#: Seeds from here on are milliseconds that the job takes.
MILLISECONDS = 1000
#: What the result begins with: MP4's file type.
HEADER = b"\0\0\0\x0cftypisom"


class Quick:
    def load(self):
        pass

    def run(self, job, report):
        seed = job["options"]["seed"]
        report("rendering", 0, 2)
        if seed == CRASH:
            os.kill(os.getpid(), signal.SIGSEGV)
        if seed == REFUSE:
            raise EmoTalkerError("no face found")
        if seed == BUG:
            raise ZeroDivisionError
        while seed == ENDLESS:
            time.sleep(0.15)
            report("rendering", 1, 2)
        time.sleep(max(0, seed - MILLISECONDS) / 1000)
        result = Path(job["folder"]) / f"result.{job['options']['format']}"
        result.write_bytes(HEADER + (Path(job["folder"]) / "audio").read_bytes()[:1000])
        report("rendering", 2, 2)
        return {"result": result.name, "message": "2 frames"}

    def stream(self, start, pipe):
        pipe.send({"type": "started", "fps": 25})
        while True:
            message, payload = pipe.receive()
            if message["type"] == "audio":
                if payload[:2] == b"\xff\x7f":
                    os.kill(os.getpid(), signal.SIGSEGV)
                pipe.send({"type": "frame"}, payload)
            else:
                return "stopped" if message["type"] == "stop" else "over"


if __name__ == "__main__":
    work(Inspector() if sys.argv[1] == "inspect" else Quick())
