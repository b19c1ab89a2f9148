"""The completion script of a shell.

emotalker completion bash > ~/.local/share/bash-completion/completions/emotalker
emotalker completion zsh > ~/.emotalker-completion && echo 'source ~/.emotalker-completion' >> ~/.zshrc
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

from emotalker.console.commands import COMMANDS, StageCommand
from emotalker.core.cli import Outcome
from emotalker.core.errors import EmoTalkerError

_SCRIPT = """\
# Completion of emotalker, written by: emotalker completion {shell}
_emotalker() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words="" command="" word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        case $word in -*) break ;; esac
        case "$command${{command:+ }}$word" in
            {prefixes}) command="$command${{command:+ }}$word" ;;
            *) break ;;
        esac
    done
    case "$command $previous" in
{choices}
    esac
    if [ -z "$words" ]; then
        case $command in
{commands}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -o filenames -F _emotalker emotalker
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("shell", choices=["bash", "zsh"])


def main(args: argparse.Namespace) -> Outcome:
    """The script; zsh runs bash's through its own bashcompinit."""
    script = completion_script(args.shell)
    return Outcome(script.rstrip("\n"), {"script": script})


def completion_script(shell: str) -> str:
    """A script that completes subcommands, options, choices of options, and settings of training stages."""
    prefixes = {" ".join(command.name.split()[:n]) for command in COMMANDS for n in range(1, len(command.name.split()) + 1)}
    commands = [("", [*dict.fromkeys(command.name.split()[0] for command in COMMANDS), "--help", "--version"])]
    groups = dict.fromkeys(command.name.split()[0] for command in COMMANDS if " " in command.name)
    commands += [
        (group, [c.name.split()[1] for c in COMMANDS if c.name.split()[0] == group and " " in c.name]) for group in groups
    ]
    choices = []
    for command in COMMANDS:
        try:
            parser = command.parser()
        except EmoTalkerError:  # its module is not installed: its options are not known
            continue
        words = [option for action in parser._actions for option in action.option_strings if action.help != argparse.SUPPRESS]
        words += [str(choice) for action in parser._actions if not action.option_strings for choice in action.choices or ()]
        if isinstance(command, StageCommand):
            words += list(command.module().setting_words(command.stage))
        known = dict(commands)
        commands = [
            *((name, w) for name, w in commands if name != command.name),
            (command.name, known.get(command.name, []) + words),
        ]
        choices += list(_choices(command.name, parser))
    script = _SCRIPT.format(
        shell=shell,
        prefixes="|".join(shlex.quote(prefix) for prefix in sorted(prefixes)),
        commands="\n".join(
            f"            {shlex.quote(name)}) words={shlex.quote(' '.join(words))} ;;" for name, words in commands
        ),
        choices="\n".join(f"        {shlex.quote(case)}) words={shlex.quote(words)} ;;" for case, words in choices),
    )
    return f"autoload -U +X bashcompinit && bashcompinit\n{script}" if shell == "zsh" else script


def _choices(command: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """The words before the cursor, and what may follow them."""
    for action in parser._actions:
        for option in action.option_strings if action.choices else ():
            yield f"{command} {option}", " ".join(map(str, action.choices or ()))
