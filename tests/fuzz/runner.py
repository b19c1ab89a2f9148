"""Runs targets on damaged files in child processes, and watches them."""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from emotalker.core.errors import EmoTalkerError
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, Target, write_seeds

SECONDS, BYTES = 10, 2 << 30
#: Inputs after which a worker is replaced, so that what one input leaves in memory does not count for the next ones.
LIFE = 2000
#: State of a worker: number of the input, its start, inputs done, and of those accepted.
_STATE = struct.Struct("qdqq")


@dataclass
class Report:
    """What a run found.

    Attributes:
        inputs: read, by target.
        accepted: of those, inputs without an error.
        findings: target, number and what happened.
        seconds: of the run.
    """

    inputs: Counter = field(default_factory=Counter)
    accepted: int = 0
    findings: list[tuple[str, int, str]] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        total = sum(self.inputs.values())
        lines = [f"{total} inputs in {self.seconds:.0f} s, {self.accepted} of them accepted, {len(self.findings)} findings"]
        lines += [f"  {name}: {count}" for name, count in sorted(self.inputs.items())]
        known: Counter = Counter()
        for name, number, what in self.findings:
            known[what] += 1
            if known[what] <= 2:
                lines.append(f"{name} {number}: {what}")
        return "\n".join(lines)


class Fuzzer:
    """Random inputs of all targets.

    Args:
        folder: empty, for the valid files and the damaged ones.
        seed: of the sequence.
        only: names of targets; None for all.
    """

    def __init__(self, folder: Path, seed: int, only: list[str] | None = None):
        self.folder, self.seed = folder, seed
        names = only or list(TARGETS)
        self.names = [name for name in names for _ in range(TARGETS[name].weight)]
        self.seeds = write_seeds(folder / "valid")
        self.contents = {path: path.read_bytes() for paths in self.seeds.values() for path in paths}

    def make(self, number: int, name: str | None, place: Path) -> tuple[str, Path]:
        """Write one input below ``place``; returns its target and its path."""
        rng = random.Random(f"{self.seed} {number}")
        chosen = rng.choice(self.names)
        name = name or chosen
        source = rng.choice(self.seeds[name])
        other = self.contents[rng.choice(list(self.contents))]
        path = place / f"input{source.suffix}"
        path.write_bytes(mutate(self.contents[source], source.suffix, rng, other))
        return name, path

    def replay(self, name: str, number: int) -> None:
        """Read one input in this process; exceptions come out."""
        place = self.folder / "replay"
        (place / "out").mkdir(parents=True)
        _, path = self.make(number, name, place)
        print(f"{name} {number}: {path.stat().st_size} bytes")
        TARGETS[name].run(path, place / "out")

    def run(self, seconds: float, inputs: int | None, workers: int, keep: Path | None) -> Report:
        """Read inputs until the time is over."""
        report, started = Report(), time.monotonic()
        boxes = [_Box(self, index, workers) for index in range(workers)]
        for box in boxes:
            box.start(box.first)
        try:
            while time.monotonic() - started < seconds:
                time.sleep(0.02)
                for box in boxes:
                    box.watch(report)
                if inputs is not None and sum(box.done for box in boxes) >= inputs:
                    break
        finally:
            for box in boxes:
                box.stop(report)
        report.seconds = time.monotonic() - started
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            for name, number, _ in report.findings:
                _, path = self.make(number, None, self.folder)
                shutil.copyfile(path, keep / f"{name.replace(' ', '-')}-{self.seed}-{number}{path.suffix}")
        return report


class _Box:
    """One worker after the other in a folder of its own."""

    def __init__(self, fuzzer: Fuzzer, index: int, workers: int):
        self.fuzzer, self.first, self.step = fuzzer, index, workers
        self.place = fuzzer.folder / f"worker{index}"
        self.place.mkdir()
        self.memory = mmap.mmap(-1, _STATE.size)
        self.log = fuzzer.folder / f"log{index}"
        self.done = self.accepted = 0
        self.counts: Counter = Counter()

    def start(self, number: int) -> None:
        self._set(number, time.monotonic(), 0, 0)
        self.log.write_text("")
        sys.stdout.flush()
        self.process = os.fork()
        if self.process == 0:
            code = 1
            try:
                _work(self, number)
                code = 0
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(code)

    def watch(self, report: Report) -> None:
        """Judge the worker's state, and replace it where it ended or has to end."""
        number, started, _, _ = self._state()
        finding = None
        ended, status = os.waitpid(self.process, os.WNOHANG)
        if ended:
            if os.WIFSIGNALED(status):
                finding = f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        elif time.monotonic() - started > SECONDS:
            finding = f"took more than {SECONDS} s"
        elif _resident(self.process) > BYTES:
            finding = f"took more than {BYTES >> 30} GB"
        if finding and not ended:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        if finding:
            report.findings.append((self._name(number), number, finding))
        if ended or finding:
            self._collect(report)
            self.start(number + self.step)

    def stop(self, report: Report) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        self._collect(report)

    def _collect(self, report: Report) -> None:
        """Add what the ended worker has written."""
        _, _, done, accepted = self._state()
        self.done += done
        report.accepted += accepted
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            kind, _, rest = line.partition("\t")
            if kind == "count":
                report.inputs[rest] += 1
            else:
                name, number, what = rest.split("\t", 2)
                report.findings.append((name, int(number), what))

    def _name(self, number: int) -> str:
        return self.fuzzer.make(number, None, self.fuzzer.folder)[0]

    def _state(self) -> tuple[int, float, int, int]:
        return _STATE.unpack(self.memory[: _STATE.size])

    def _set(self, *values: float) -> None:
        self.memory[: _STATE.size] = _STATE.pack(*values)


def _resident(process: int) -> int:
    """Bytes of memory that a process uses alone."""
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as file:
            _, resident, shared, *_ = map(int, file.read().split())
        return (resident - shared) * resource.getpagesize()
    except (OSError, ValueError):  # it has just ended
        return 0


def _work(box: _Box, number: int) -> None:
    """The worker: reads inputs and writes what happens."""
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)  # codecs write to it
    guard = _Guard(box.place)
    sys.addaudithook(guard)
    done = accepted = 0
    with open(box.log, "a", encoding="utf-8", errors="backslashreplace") as log:
        for current in range(number, number + LIFE * box.step, box.step):
            box._set(current, time.monotonic(), done, accepted)
            shutil.rmtree(box.place, ignore_errors=True)
            (box.place / "out").mkdir(parents=True)
            name, path = box.fuzzer.make(current, None, box.place)
            before = path.read_bytes()
            guard.on = True
            what = _outcome(TARGETS[name], path, box.place / "out")
            guard.on = False
            accepted += what is None
            strange = what if what and what != "refused" else None
            if guard.seen:
                strange = guard.seen.pop()
                guard.seen.clear()
            elif not path.exists() or path.read_bytes() != before:
                strange = "changed its input"
            log.write(f"count\t{name}\n")
            if strange:
                log.write(f"finding\t{name}\t{current}\t{' '.join(strange.split())}\n")
            log.flush()
            done += 1
        box._set(current, time.monotonic(), done, accepted)


def _outcome(target: Target, path: Path, out: Path) -> str | None:
    """None if the input was accepted, ``refused`` for an own error or a wrong command line, else what happened."""
    try:
        target.run(path, out)
    except EmoTalkerError as error:
        message = str(error)
        return "refused" if message.strip() and "\n" not in message.strip() else f"message of several lines: {message!r}"
    except SystemExit as error:
        return "refused" if error.code == 2 else f"exit {error.code}"
    except BaseException as error:
        places = traceback.extract_tb(error.__traceback__)
        own = [place for place in places if "/emotalker/" in place.filename] or places
        return f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}: {str(error)[:120]}"
    return None


class _Guard:
    """Audit hook: notes files that are changed outside a folder, processes and connections."""

    WRITES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree")

    def __init__(self, folder: Path):
        self.folder, self.on, self.seen = os.fspath(folder / "out"), False, []

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event.startswith(
            ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "pickle.find_class")
        ):
            self.seen.append(f"{event} {str(arguments)[:80]}")
        elif event in self.WRITES or (event == "open" and self._writes(arguments)):
            paths = arguments[:2] if event == "os.rename" else arguments[:1]
            outside = [path for path in paths if isinstance(path, str | bytes | os.PathLike) and not self._inside(path)]
            if outside:
                self.seen.append(f"{event} outside its folder: {outside[0]!r}")

    @staticmethod
    def _writes(arguments: tuple) -> bool:
        path, mode, flags = arguments
        if isinstance(path, int):
            return False
        return any(c in (mode or "") for c in "wax+") or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    def _inside(self, path: str | bytes | os.PathLike) -> bool:
        name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100, resolving links would hide them
        return name.startswith(self.folder) or name == os.devnull
