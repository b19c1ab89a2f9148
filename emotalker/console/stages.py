"""Commands whose settings are composed by Hydra: preparation of data, and training stage by stage."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from emotalker.core.cli import CommandParser, Outcome
from emotalker.core.config import Settings, settings_of
from emotalker.core.launch import compose_values, help_text, options_of, run_stage, settings_as_yaml
from emotalker.settings.audio_encoder import AudioEncoderTraining
from emotalker.settings.corpora import Preparation
from emotalker.settings.emotion_recognizer import EmotionRecognizerTraining
from emotalker.settings.face_reader import FaceReaderTraining
from emotalker.settings.lip import LipTraining
from emotalker.settings.renderer import RendererTraining
from emotalker.settings.sync import SyncTraining
from emotalker.settings.sync_judge import SyncJudgeTraining
from emotalker.settings.transformer import TransformerTraining
from emotalker.settings.vqvae import VQVAETraining

Function = Callable[[Any], Any]


def _prepare() -> Function:
    from emotalker.data.prepare import prepare_and_report

    return prepare_and_report


def _audio_encoder() -> Function:
    from emotalker.training.audio_encoder import train

    return train


def _emotion_recognizer() -> Function:
    from emotalker.training.emotion_recognizer import train

    return train


def _vqvae() -> Function:
    from emotalker.training.vqvae import train

    return train


def _transformer() -> Function:
    from emotalker.training.transformer import train

    return train


def _sync() -> Function:
    from emotalker.training.sync import train

    return train


def _lip() -> Function:
    from emotalker.training.lip import train

    return train


def _sync_judge() -> Function:
    from emotalker.training.sync_judge import train

    return train


def _face_reader() -> Function:
    from emotalker.training.face_reader import train

    return train


def _renderer() -> Function:
    from emotalker.training.renderer import train

    return train


@dataclass(frozen=True)
class Stage:
    """Attributes:
    schema: of its settings.
    load: imports its function.
    """

    schema: type[Settings]
    load: Callable[[], Function]


STAGES: dict[str, Stage] = {
    "prepare": Stage(Preparation, _prepare),
    "audio_encoder": Stage(AudioEncoderTraining, _audio_encoder),
    "emotion_recognizer": Stage(EmotionRecognizerTraining, _emotion_recognizer),
    "vqvae": Stage(VQVAETraining, _vqvae),
    "transformer": Stage(TransformerTraining, _transformer),
    "sync": Stage(SyncTraining, _sync),
    "lip": Stage(LipTraining, _lip),
    "sync_judge": Stage(SyncJudgeTraining, _sync_judge),
    "face_reader": Stage(FaceReaderTraining, _face_reader),
    "renderer": Stage(RendererTraining, _renderer),
}


class StageParser(CommandParser):
    """The options besides the settings; its help lists the settings too.

    Args:
        stage: a key of STAGES.
        options: of ArgumentParser.
    """

    def __init__(self, stage: str, **options: Any):
        super().__init__(allow_abbrev=False, **options)
        self.stage = stage
        self.add_argument("--cfg", choices=["job"], help="print the settings as YAML, and do nothing")
        self.add_argument("overrides", nargs="*", metavar="name=value", help="settings")

    def format_help(self) -> str:
        """The options, then the settings with their values."""
        schema = STAGES[self.stage].schema
        return f"{super().format_help()}\n{help_text(schema, compose_values(schema, []), '')}\n"


def run(stage: str, args: argparse.Namespace) -> Outcome:
    """Prepare or train with the settings ``args.overrides``."""
    schema = STAGES[stage].schema
    values = compose_values(schema, args.overrides)
    if args.cfg:
        return Outcome(settings_as_yaml(schema, values).rstrip(), {"settings": values})
    result = run_stage(schema, values, STAGES[stage].load)
    return Outcome("" if result is None else str(result), {"settings": values})


def setting_words(stage: str) -> Iterator[str]:
    """What completion offers: ``group=option`` and ``setting=``."""
    schema = STAGES[stage].schema
    for group in schema.GROUPS:
        yield from (f"{group}={option}" for option in options_of(schema, group))
    yield from (f"{entry.name}=" for entry in settings_of(schema) if not entry.group)
