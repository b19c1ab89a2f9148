"""Shared by the command-line scripts: error reporting and argument types."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import Any

from emotalker.core.errors import EmoTalkerError


def run(main: Callable[[], None]) -> None:
    """Call ``main``; an error the user can fix becomes one sentence on stderr and exit status 1, a warning one sentence."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        main()
    except EmoTalkerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; nothing was overwritten", file=sys.stderr)
        sys.exit(130)


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
    """Argument type: a whole number from 0 upwards."""
    return _checked(int(text), lambda x: x >= 0, "is below 0")


def picture_size(text: str) -> int:
    """Argument type: an even number of pixels from 64 upwards; H.264 needs even sizes."""
    return _checked(int(text), lambda x: x >= 64 and x % 2 == 0, "is not an even number from 64 upwards")


def _checked(value: Any, allowed: Callable[[Any], bool], reason: str) -> Any:
    if not allowed(value):
        raise argparse.ArgumentTypeError(f"{value} {reason}")
    return value
