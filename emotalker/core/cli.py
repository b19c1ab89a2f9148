"""Shared by the commands: options that all have, what they return, exit statuses, error reporting and argument types."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from emotalker.core.errors import Cancelled, EmoTalkerError, MissingExtraError
from emotalker.core.limits import MAX_SIDE

#: Exit statuses. Signals end a command with 128 plus their number, an interruption with 130.
DONE, FAILED, USAGE, MISSING_EXTRA, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 70, 130
EXIT_STATUSES = {
    DONE: "done",
    FAILED: "an input, an option or the installation cannot be used, as the message says; nothing was overwritten",
    USAGE: "the command line is wrong",
    MISSING_EXTRA: "an optional package is missing; the message contains the pip command",
    INTERNAL: "an error in EmoTalker itself, with its traceback",
    INTERRUPTED: "interrupted; nothing was overwritten (128 + n: ended by signal n)",
}


def shorten(text: str, longest: int = 300) -> str:
    """A text of at most ``longest`` characters; the middle of a longer one is left out."""
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


class UsageError(EmoTalkerError):
    """The command line is wrong."""


@dataclass(frozen=True)
class Outcome:
    """What a command has done.

    Attributes:
        text: for people.
        values: for machines, as ``--json`` prints them.
        status: the exit status.
    """

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = DONE

    def __str__(self) -> str:
        return self.text


class CommandParser(argparse.ArgumentParser):
    """A parser that raises UsageError instead of exiting, and whose ``--help`` takes the title of a group of options."""

    def __init__(self, **options: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False, **options)
        self.add_argument(
            "-h", "--help", action=_TopicHelp, nargs="?", metavar="TOPIC", help="this text, or a part: --help style"
        )
        self.add_argument("--quiet", action="store_true", help="print errors only")
        self.add_argument("--json", action="store_true", help="print one JSON object, for errors too")

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with the usage and the message."""
        shown = " ".join("".join(c if c.isprintable() else " " for c in message).split())
        raise UsageError(f"{shorten(shown)}; {self.prog} --help lists the options")


class _TopicHelp(argparse.Action):
    """``--help`` prints everything, ``--help TOPIC`` the groups of options whose title begins with the topic."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any):
        super().__init__(option_strings, argparse.SUPPRESS, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None):
        if values is None:
            parser.print_help()
            parser.exit()
        titles = {(group.title or "").split(" (")[0]: group for group in parser._action_groups if group._group_actions}
        group = next((titles[title] for title in titles if title.startswith(values)), None)
        if group is None:
            parser.error(f"no help about {values!r}; topics: {', '.join(titles)}")
        formatter = parser._get_formatter()
        formatter.start_section(group.title)
        formatter.add_arguments(group._group_actions)
        formatter.end_section()
        parser._print_message(formatter.format_help(), sys.stdout)
        parser.exit()


def exit_status(error: BaseException) -> int:
    """The exit status for an exception that ends a command."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, MissingExtraError):
        return MISSING_EXTRA
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return INTERRUPTED
    return FAILED if isinstance(error, EmoTalkerError) else INTERNAL


def run(main: Callable[[], None]) -> None:
    """Call ``main``; an error the user can fix becomes one sentence on stderr and an exit status, a warning one sentence.

    SIGTERM and SIGHUP end the program as an interruption does, so that unfinished files are removed; the exit status is 128
    plus the signal's number.
    """
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    stop_on_signals()
    try:
        main()
    except EmoTalkerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        print("interrupted; nothing was overwritten", file=sys.stderr)
        sys.exit(INTERRUPTED)


def stop_on_signals() -> None:
    """Make SIGTERM and SIGHUP raise SystemExit, so that unfinished files are removed."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)


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


def mark(text: str) -> str:
    """Argument type: printable ASCII text, not empty."""
    return _checked(text, lambda x: bool(x.strip()) and x.isascii() and x.isprintable(), "is not printable ASCII text")


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
