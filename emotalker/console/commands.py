"""The subcommands of ``emotalker``. The module of a command is imported when it runs, so that ``--help`` is fast."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from emotalker.core.cli import CommandParser, Outcome
from emotalker.core.errors import EmoTalkerError, MissingExtraError

VIDEOS, SERVERS, MOTION, TRAINING, INSTALLATION = (
    "videos",
    "page and service",
    "motion",
    "data, training and evaluation",
    "installation",
)
TOPICS = (VIDEOS, SERVERS, MOTION, TRAINING, INSTALLATION)


@dataclass(frozen=True)
class Command:
    """A subcommand whose module has ``add_arguments(parser)`` and ``main(args)``.

    ``main`` returns an :class:`~emotalker.core.cli.Outcome`, a report as text, or None if it has printed what it has to say.

    Attributes:
        name: one or two words.
        topic: one of TOPICS.
        help: one line.
        load: imports the module.
    """

    name: str
    topic: str
    help: str
    load: Callable[[], ModuleType]

    def module(self) -> ModuleType:
        """The module.

        Raises:
            MissingExtraError: a package that it needs is missing.
            EmoTalkerError: the module is missing from this installation.
        """
        try:
            return self.load()
        except ImportError as error:
            missing = (error.name or "").split(".")[0]
            if missing == "emotalker":
                raise EmoTalkerError(
                    f"emotalker {self.name} is not in this installation ({error}); install it again"
                ) from error
            raise MissingExtraError(
                f"emotalker {self.name} needs the package {missing}; emotalker doctor says which pip command installs it"
            ) from error

    def parser(self) -> argparse.ArgumentParser:
        """All options."""
        module = self.module()
        parser = CommandParser(prog=f"emotalker {self.name}", description=inspect.cleandoc(module.__doc__ or self.help))
        module.add_arguments(parser)
        return parser

    def run(self, arguments: list[str]) -> Outcome:
        """Run with the arguments after the name."""
        result = self.module().main(self.parser().parse_args(arguments))
        if isinstance(result, Outcome):
            return result
        return Outcome(result or "", {"report": result} if result else {})


@dataclass(frozen=True)
class StageCommand(Command):
    """A subcommand with settings ``name=value``; ``load`` imports :mod:`emotalker.console.stages`.

    Attributes:
        stage: its name there.
    """

    stage: str = ""

    def parser(self) -> argparse.ArgumentParser:
        return self.module().StageParser(self.stage, prog=f"emotalker {self.name}", description=self.help)

    def run(self, arguments: list[str]) -> Outcome:
        return self.module().run(self.stage, self.parser().parse_intermixed_args(arguments))


def _stages() -> ModuleType:
    from emotalker.console import stages

    return stages


def _infer() -> ModuleType:
    from emotalker.console import infer

    return infer


def _render() -> ModuleType:
    from emotalker.console import render

    return render


def _demo() -> ModuleType:
    from emotalker.console import demo

    return demo


def _stream() -> ModuleType:
    from emotalker.console import stream

    return stream


def _app() -> ModuleType:
    from emotalker.app import command

    return command


def _serve() -> ModuleType:
    from emotalker.service import command

    return command


def _track() -> ModuleType:
    from emotalker.console import track

    return track


def _doctor() -> ModuleType:
    from emotalker.console import doctor

    return doctor


def _completion() -> ModuleType:
    from emotalker.console import completion

    return completion


COMMANDS: tuple[Command, ...] = (
    Command(
        "demo",
        VIDEOS,
        "a video from the portrait and the voice that come with EmoTalker; --emotions: six side by side",
        _demo,
    ),
    Command("infer", VIDEOS, "a video from a voice and a portrait, or a dubbed video", _infer),
    Command("render", VIDEOS, "a video from a motion file and a portrait", _render),
    Command("stream", VIDEOS, "a portrait that talks while you speak", _stream),
    Command("app", SERVERS, "a page in the browser to try everything", _app),
    Command("serve", SERVERS, "an HTTP service for other programs", _serve),
    Command("track", MOTION, "the motion of the face in a video", _track),
    StageCommand("prepare", TRAINING, "turn recordings into a corpus that training reads", _stages, "prepare"),
    *(
        StageCommand(f"train {stage}", TRAINING, help, _stages, stage)
        for stage, help in {
            "audio_encoder": "speech features, distilled from Whisper",
            "emotion_recognizer": "the emotion of a voice",
            "vqvae": "codes of face motion (stage 1)",
            "transformer": "from speech to codes (stage 2)",
            "sync": "the sync expert, a loss of the lips",
            "lip": "from mel-spectrograms to lips (stage 3)",
            "sync_judge": "the sync judge of the evaluation",
            "face_reader": "what corrects the tracker on synthetic faces",
            "renderer": "a neural renderer",
        }.items()
    ),
    Command("doctor", INSTALLATION, "what is installed, what is missing and how to get it, and the licences", _doctor),
    Command("completion", INSTALLATION, "the completion script of a shell: bash or zsh", _completion),
)
