"""Settings of all stages: every one is documented, and invalid settings raise one sentence that contains the key."""

import subprocess
import sys
from pathlib import Path

import pytest

from emotalker.core.config import MANDATORY, settings_of, to_plain
from emotalker.core.errors import ConfigError
from emotalker.core.launch import CONFIGS, compose, options_of
from emotalker.settings.audio_encoder import AudioEncoderTraining
from emotalker.settings.corpora import CorpusReport, Preparation
from emotalker.settings.emotion_recognizer import EmotionRecognizerTraining
from emotalker.settings.face_reader import FaceReaderTraining
from emotalker.settings.lip import LipTraining
from emotalker.settings.renderer import RendererTraining
from emotalker.settings.sync import SyncTraining
from emotalker.settings.sync_judge import SyncJudgeTraining
from emotalker.settings.transformer import TransformerTraining
from emotalker.settings.vqvae import VQVAETraining

#: Schema to the settings it requires.
SCHEMAS = {
    AudioEncoderTraining: {"data.root"},
    EmotionRecognizerTraining: {"data.root", "data.encoder"},
    VQVAETraining: set(),
    TransformerTraining: set(),
    LipTraining: set(),
    SyncTraining: set(),
    SyncJudgeTraining: set(),
    FaceReaderTraining: set(),
    RendererTraining: set(),
    Preparation: {"corpus", "root", "out"},
    CorpusReport: {"data"},
}
SCRIPTS = CONFIGS.parent / "scripts"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPTS / script, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.NAME)
def test_every_setting_is_documented_and_has_a_default_or_is_mandatory(schema):
    entries = list(settings_of(schema))
    assert len(entries) >= 3
    assert not [entry.name for entry in entries if len(entry.help) < 10]
    assert {entry.name for entry in entries if entry.default == MANDATORY} == SCHEMAS[schema]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.NAME)
def test_defaults_and_every_option_compose(schema):
    given = [f"{name}=x" for name in SCHEMAS[schema] - {"corpus"}]
    for group in schema.GROUPS:
        for option in options_of(schema, group):
            settings = compose(schema, [*given, f"{group}={option}"])
            assert isinstance(settings, schema)
    settings = compose(schema, given)
    if not schema.GROUPS:
        for entry in settings_of(schema):
            value = to_plain(settings)
            for part in entry.name.split("."):
                value = value[part]
            assert entry.group or entry.default in (value, MANDATORY), entry.name


def test_the_small_preset_is_the_defaults_and_the_papers_follows_the_paper():
    for schema in (VQVAETraining, TransformerTraining, LipTraining):
        assert compose(schema, ["preset=small"]) == schema() == compose(schema)
    papers = [compose(schema, ["preset=paper"]) for schema in (VQVAETraining, TransformerTraining, LipTraining)]
    assert [paper.batch_size for paper in papers] == [512, 128, 128]
    for paper in papers:
        assert paper.optimizer.learning_rate == 1e-4 and paper.optimizer.betas == (0.9, 0.99) and paper.optimizer.final == 1


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("los.velocity_weight=1", r"unknown setting los\.velocity_weight; did you mean loss\.velocity_weight\?"),
        ("model.widht=3", r"unknown setting model\.widht; did you mean model\.width\?"),
        ("+model.colour=3", r"unknown setting model\.colour"),
        ("hydra.run.dir=x", r"unknown setting hydra\.run\.dir"),
        ("preset=large", r"unknown preset large; choose one of paper, small"),
        ("presett=paper", r"unknown setting presett"),
        ("model=vqvae_paper", r"model=vqvae_paper: .*preset=paper"),
        ("loss=0.5", r"loss=0\.5: loss is a group of settings, changed as loss\.NAME=VALUE"),
        ("model.width=wide", r"model\.width=wide is not a whole number: channels"),
        ("model.width=1.5", r"model\.width=1\.5 is not a whole number"),
        ("steps=true", r"steps=true has the wrong type"),
        ("steps=null", r"steps=null is not a whole number"),
        ("optimizer.learning_rate=fast", r"optimizer\.learning_rate=fast is not a number"),
        ("resume=maybe", r"resume=maybe is neither true nor false"),
        ("precision=fp16", r"precision=fp16 is not no or bf16"),
        ("optimizer.betas=[0.9]", r"optimizer\.betas=\[0\.9\] has too few entries"),
        ("optimizer.betas=[1,2,3]", r"optimizer\.betas=\[1, 2, 3\] has too many entries"),
        ("data.root={a:1}", r"data\.root=.* has the wrong type"),
        ("run=???", r"run is missing: folder of the run"),
        ("steps", r"steps is not of the form name=value"),
        ("steps=[1", r"steps=\[1 cannot be parsed"),
    ],
)
def test_invalid_settings_raise_errors_with_their_name(override, sentence):
    with pytest.raises(ConfigError, match=rf"^{sentence}") as error:
        compose(VQVAETraining, [override])
    assert "\n" not in str(error.value)


def test_invalid_settings_of_other_stages_raise_errors():
    with pytest.raises(ConfigError, match=r"data\.root is missing: folder that contains the corpora; give data\.root="):
        compose(AudioEncoderTraining)
    with pytest.raises(ConfigError, match=r"unknown setting preset"):
        compose(SyncTraining, ["preset=paper"])
    with pytest.raises(ConfigError, match=r"^data\.weights=\[1\.0\] needs one entry for each of the 2 folders"):
        compose(FaceReaderTraining, ["data.root=[a,b]", "data.weights=[1]"])
    with pytest.raises(ConfigError, match=r"^data\.frames=30 is not a multiple of 4"):
        compose(TransformerTraining, ["data.frames=30"])
    with pytest.raises(ConfigError, match=r"unknown corpus mad; choose one of .*mead"):
        compose(Preparation, ["corpus=mad", "root=x", "out=y"])
    with pytest.raises(ConfigError, match=r"unknown setting corpus\.speed"):
        compose(Preparation, ["corpus=grid", "corpus.speed=1", "root=x", "out=y"])


def test_a_path_is_one_or_a_list_and_settings_are_plain_values():
    one, several = (compose(VQVAETraining, [f"data.root={root}"]) for root in ("a", "[a,b]"))
    assert one.data.root == "a" and several.data.root == ("a", "b")
    assert to_plain(several)["data"]["root"] == ["a", "b"] and to_plain(several)["optimizer"]["betas"] == [0.9, 0.99]
    assert compose(VQVAETraining, ["run=2"]).run == "2"


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("train_vqvae.py", ["los.velocity_weight=1"], "unknown setting los.velocity_weight"),
        ("train_lip.py", ["preset=large"], "unknown preset large"),
        ("train_sync.py", ["steps=many"], "steps=many is not a whole number"),
        ("prepare_data.py", ["root=x"], "out is missing"),
    ],
)
def test_scripts_report_invalid_settings_in_one_line(script, arguments, sentence, tmp_path):
    result = run(script, *arguments)
    assert result.returncode == 1 and result.stderr.startswith(f"error: {sentence}")
    assert result.stderr.count("\n") == 1 and not result.stdout


@pytest.mark.parametrize("path", sorted(p for p in SCRIPTS.glob("*.py") if "launch(" in p.read_text()), ids=lambda p: p.stem)
def test_help_lists_all_settings_without_importing_torch(path):
    code = f"import runpy, sys; sys.argv = ['x', '--help']; runpy.run_path({str(path)!r}, run_name='__main__')"
    code += "; assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    schema = next(schema for schema in SCHEMAS if schema.__name__ in Path(path).read_text())
    for entry in settings_of(schema):
        assert f"  {entry.name} " in result.stdout


def test_the_composed_settings_are_printed_as_yaml():
    result = run("train_vqvae.py", "preset=paper", "--cfg", "job", "seed=3")
    assert result.returncode == 0 and "width: 512" in result.stdout and "seed: 3" in result.stdout
