"""The subcommands of ``emotalker``. The module of a command is imported when it runs, so that ``--help`` is fast."""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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

    ``DESCRIPTION`` of the module, or its docstring, is the text of ``--help``. ``main`` returns an
    :class:`~emotalker.core.cli.Outcome`, a report as text, or None if it has printed what it has to say.

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
        description = getattr(module, "DESCRIPTION", module.__doc__) or self.help
        parser = CommandParser(prog=f"emotalker {self.name}", description=inspect.cleandoc(description))
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


def _own(name: str) -> ModuleType:
    """A module of this folder."""
    return importlib.import_module(f"{__package__}.{name}")


def _app() -> ModuleType:
    from emotalker.app import command

    return command


def _serve() -> ModuleType:
    from emotalker.service import command

    return command


def _command(name: str, topic: str, help: str, module: str = "") -> Command:
    """A command whose module in this folder has its name, or another one."""
    return Command(name, topic, help, partial(_own, module or name))


COMMANDS: tuple[Command, ...] = (
    _command(
        "demo", VIDEOS, "a video from the portrait and the voice that come with EmoTalker; --emotions: six side by side"
    ),
    _command("infer", VIDEOS, "a video from a voice and a portrait, or a dubbed video"),
    _command("render", VIDEOS, "a video from a motion file and a portrait"),
    _command("stream", VIDEOS, "a portrait that talks while you speak"),
    Command("app", SERVERS, "a page in the browser to try everything", _app),
    Command("serve", SERVERS, "an HTTP service for other programs", _serve),
    _command("track", MOTION, "the motion of the face in a video"),
    StageCommand(
        "prepare", TRAINING, "turn recordings into a corpus that training reads", partial(_own, "stages"), "prepare"
    ),
    _command("prepare faces", TRAINING, "faces with known blendshapes, for the face reader", "prepare_faces"),
    _command("prepare renderer-frames", TRAINING, "clips reenacted from their first frame", "prepare_renderer_frames"),
    _command("train all", TRAINING, "prepare corpora, train every stage and export the weights", "train_all"),
    *(
        StageCommand(f"train {stage}", TRAINING, help, partial(_own, "stages"), stage)
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
    _command("train expression", TRAINING, "the expressions of the emotions, from trained networks", "train_expression"),
    _command("train export", TRAINING, "a folder of weights with its model card, from runs", "export"),
    *(
        _command(f"evaluate {what}", TRAINING, help, f"evaluate.{what.replace('-', '_')}")
        for what, help in {
            "motion": "generated against real motion: lips, sync, emotion, landmarks",
            "lipsync": "lip sync of videos, by tracking them",
            "video": "the emotion that networks see in videos",
            "emotion-track": "the emotion heard over time",
            "emotion-recognizer": "the recogniser on test speakers and other corpora",
            "audio-encoder": "emotions and words in the speech features",
            "dubbing": "dubbed lips, and what stays unchanged",
            "reenactment": "renderers on held-out clips",
            "renderer": "facial actions put into photos",
            "tracker": "tracked against known motion",
        }.items()
    ),
    _command("doctor", INSTALLATION, "what is installed, what is missing and how to get it, and the licences"),
    _command("completion", INSTALLATION, "the completion script of a shell: bash or zsh"),
)
