"""Shared by the command-line scripts: error reporting and argument types."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

from emotalker.core.errors import EmoTalkerError
from emotalker.core.limits import MAX_SIDE


def run(main: Callable[[], None]) -> None:
    """Call ``main``; an error the user can fix becomes one sentence on stderr and exit status 1, a warning one sentence.

    SIGTERM and SIGHUP end the program as an interruption does, so that unfinished files are removed; the exit status is 128
    plus the signal's number.
    """
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)
    try:
        main()
    except EmoTalkerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; nothing was overwritten", file=sys.stderr)
        sys.exit(130)


def _stop(number: int, _frame: object) -> None:
    sys.exit(128 + number)


class Renamed(argparse.Action):
    """A renamed option under its old name: sets the new option's value and prints a warning."""

    def __init__(self, option_strings: list[str], dest: str, new: str, **options: Any):
        super().__init__(option_strings, new.lstrip("-").replace("-", "_"), help=argparse.SUPPRESS, **options)
        self.new = new

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ):
        print(f"warning: {option} is now called {self.new}", file=sys.stderr)
        setattr(namespace, self.dest, values)


def positive(text: str) -> float:
    """Argument type: a number above 0."""
    return _checked(float(text), lambda x: x > 0, "is not above 0")


def fraction(text: str) -> float:
    """Argument type: a number from 0 to 1."""
    return _checked(float(text), lambda x: 0 <= x <= 1, "is not from 0 to 1")


def amplitude(text: str) -> float:
    """Argument type: a number from 0 to 3."""
    return _checked(float(text), lambda x: 0 <= x <= 3, "is not from 0 to 3")


def blink_rate(text: str) -> float:
    """Argument type: blinks per minute, 0 to 120."""
    return _checked(float(text), lambda x: 0 <= x <= 120, "is not from 0 to 120")


def seed(text: str) -> int:
    """Argument type: a whole number from 0 to 2^63 - 1, which leaves room for the generators that derive theirs from it."""
    return _checked(int(text), lambda x: 0 <= x < 2**63, "is not from 0 to 2^63 - 1")


def picture_size(text: str) -> int:
    """Argument type: an even number of pixels from 64 to ``MAX_SIDE``; H.264 needs even sizes."""
    allowed = lambda x: 64 <= x <= MAX_SIDE and x % 2 == 0  # noqa: E731
    return _checked(int(text), allowed, f"is not an even number from 64 to {MAX_SIDE}")


def device(text: str) -> str:
    """Argument type: a device that computes here, by torch's name: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``."""
    _checked(text, re.compile(r"cpu|cuda(:\d+)?|mps").fullmatch, "is not cpu, cuda or mps")
    if text != "cpu":
        import torch  # seconds; only where it is needed

        library = torch.cuda if text.startswith("cuda") else torch.mps
        count = library.device_count()
        _checked(text, lambda x: int(x.partition(":")[2] or 0) < count, "is not available on this machine; use cpu")
    return text


def _checked(value: Any, allowed: Callable[[Any], bool], reason: str) -> Any:
    if not allowed(value):
        raise argparse.ArgumentTypeError(f"{value} {reason}")
    return value
