"""The command ``emotalker``: finds the subcommand, runs it, prints its outcome, and turns errors into exit statuses."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import emotalker
from emotalker.console.commands import COMMANDS, TOPICS, Command
from emotalker.core.cli import EXIT_STATUSES, INTERRUPTED, Outcome, UsageError, exit_status, stop_on_signals
from emotalker.core.errors import EmoTalkerError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``emotalker`` with these arguments (default: the process'); a status other than 0 exits."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    told: list[str] = []

    def warn(message: Warning | str, *_: Any, **__: Any) -> None:
        told.append(str(message))
        if "--quiet" not in arguments:
            print(f"warning: {message}", file=sys.stderr)

    warnings.showwarning = warn
    stop_on_signals()
    try:
        outcome = _run(arguments)
        status = outcome.status
        if as_json:
            _print_json({**outcome.values, "status": status, **({"warnings": told} if told else {})})
        elif outcome.text and "--quiet" not in arguments:
            print(outcome.text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + 13
    except (EmoTalkerError, KeyboardInterrupt) as error:
        status = exit_status(error)
        message = str(error) or "interrupted; nothing was overwritten"
        _print_error(as_json, type(error).__name__, message, status)
    except Exception as error:
        status = exit_status(error)
        print(traceback.format_exc(), end="", file=sys.stderr)
        message = f"{error} ({type(error).__name__}); this is an error in EmoTalker: please report it with the lines above"
        _print_error(as_json, type(error).__name__, message, status)
    if status:
        sys.exit(status)


def _run(arguments: list[str]) -> Outcome:
    """Run the command that the arguments name."""
    leading = [argument for argument in arguments[:2] if argument in ("--json", "--quiet")]
    if arguments[: len(leading)] == leading:  # before the command's name
        arguments = [*arguments[len(leading) :], *leading]
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help", "--json", "--quiet"):
        return Outcome(overview(), {"commands": {command.name: command.help for command in COMMANDS}})
    if arguments[0] == "--version":
        return Outcome(f"emotalker {emotalker.__version__}", {"version": emotalker.__version__})
    command = find(arguments)
    if command is None:
        known = [command for command in COMMANDS if command.name.split()[0] == arguments[0]]
        if known and (len(arguments) == 1 or arguments[1].startswith("-")):
            return Outcome(_list(known), {"commands": {command.name: command.help for command in known}})
        raise UsageError(
            f"unknown command {' '.join(arguments[:2] if known else arguments[:1])!r}; emotalker --help lists them"
        )
    rest = arguments[len(command.name.split()) :]
    if "--json" not in rest:
        return command.run(rest)
    with contextlib.redirect_stdout(_Printed()) as printed:  # stdout is for the object alone
        outcome = command.run(rest)
    text = printed.getvalue().strip()
    return outcome if not text else Outcome(outcome.text, {"printed": text, **outcome.values}, outcome.status)


class _Printed(io.StringIO):
    """Keeps what is printed, and shows it on stderr at once: a server prints its address and does not end."""

    def write(self, text: str) -> int:
        """Keep and show."""
        sys.stderr.write(text)
        return super().write(text)


def find(arguments: Sequence[str]) -> Command | None:
    """The command with the longest name with which the arguments begin; hyphens and underscores in names are the same."""
    words = [argument.replace("-", "_") for argument in arguments[:2]]
    matches = [c for c in COMMANDS if (name := c.name.replace("-", "_").split()) == words[: len(name)]]
    return max(matches, key=lambda command: len(command.name), default=None)


def overview() -> str:
    """The text of ``emotalker --help``."""
    parts = [
        "usage: emotalker COMMAND [options]\n\n"
        "A talking video from a voice recording and one portrait, with the emotion of the voice."
    ]
    for topic in TOPICS:
        parts.append(f"{topic}:\n{_list([command for command in COMMANDS if command.topic == topic])}")
    parts.append(
        "emotalker COMMAND --help lists a command's options, --help TOPIC some of them: emotalker infer --help style\n"
        "All commands take --quiet (errors only) and --json (one JSON object on stdout, for errors too)."
    )
    parts.append("exit status:\n" + "\n".join(f"  {status:<4} {meaning}" for status, meaning in EXIT_STATUSES.items()))
    return "\n\n".join(parts)


def _list(commands: Sequence[Command]) -> str:
    width = max(len(command.name) for command in commands) + 2
    return "\n".join(f"  {command.name:<{width}}{command.help}" for command in commands)


def _print_error(as_json: bool, kind: str, message: str, status: int) -> None:
    if as_json:
        _print_json({"error": {"type": kind, "message": message}, "status": status})
    elif status == INTERRUPTED:
        print(message, file=sys.stderr)
    else:
        print(f"error: {message}", file=sys.stderr)


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values, ensure_ascii=False, default=str))


if __name__ == "__main__":
    main()
