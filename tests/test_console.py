"""The command ``emotalker``: help, JSON, exit statuses, doctor, completion, demo."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import save_wav

import emotalker
from emotalker.audio.io import load_audio
from emotalker.console.commands import COMMANDS, TOPICS, Command
from emotalker.console.main import find, main, overview
from emotalker.core import registry
from emotalker.core.cli import Outcome
from emotalker.core.errors import EmoTalkerError, MissingExtraError
from emotalker.inference.demo import DEMO_PORTRAIT, DEMO_VOICE


def in_process(capsys, *arguments):
    """Exit status, stdout and stderr of a command."""
    try:
        main(list(arguments))
    except SystemExit as stopped:
        return stopped.code, *capsys.readouterr()
    return 0, *capsys.readouterr()


def test_help_is_fast_lists_every_command_and_imports_none():
    code = "import sys\nfrom emotalker.console.main import overview\nprint(overview())\n"
    code += "assert not {'torch', 'numpy', 'cv2', 'rich', 'emotalker.inference'} & set(sys.modules)"
    started = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert time.perf_counter() - started < 3  # 0.1 s on an idle machine
    assert all(f"  {command.name} " in result.stdout for command in COMMANDS) and all(t in result.stdout for t in TOPICS)


EVERY_HELP = """
import sys
from emotalker.console.commands import COMMANDS
from emotalker.core.errors import EmoTalkerError

for command in COMMANDS:
    try:
        parser = command.parser()
    except EmoTalkerError as error:
        assert command.name in ("app", "serve"), error  # their packages may be missing
        continue
    text = parser.format_help()
    assert text.startswith(f"usage: emotalker {command.name}") and "--json" in text and len(text.splitlines()) > 8, text
    assert "torch" not in sys.modules, command.name
"""


def test_every_command_explains_itself_without_importing_torch():
    result = subprocess.run([sys.executable, "-c", EVERY_HELP], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_help_about_one_topic(capsys):
    status, out, _ = in_process(capsys, "infer", "--help", "style")
    assert not status and "--intensity" in out and "--framing" not in out
    status, _, err = in_process(capsys, "infer", "--help", "weather")
    assert status == 2 and "topics:" in err and "style" in err
    status, out, _ = in_process(capsys, "train")
    assert status == 0 and "train vqvae" in out and "infer" not in out


def test_version_and_unknown_commands(capsys):
    assert in_process(capsys, "--version")[:2] == (0, f"emotalker {emotalker.__version__}\n")
    assert json.loads(in_process(capsys, "--json", "--version")[1])["version"] == emotalker.__version__
    assert in_process(capsys, "help", "doctor")[1] == in_process(capsys, "doctor", "--help")[1]
    status, _, err = in_process(capsys, "sing")
    assert status == 2 and "unknown command 'sing'" in err and err.count("\n") == 1
    status, _, err = in_process(capsys, "train", "choir")
    assert status == 2 and "'train choir'" in err


def raising(error):
    def main(args):
        raise error

    return main


class Module:
    """Stands for the module of a command."""

    __doc__ = "For a test."

    def __init__(self, main):
        self.main = main

    def add_arguments(self, parser):
        parser.add_argument("--size", type=int)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EmoTalkerError("cannot"), 1),
        (MissingExtraError("pip install x"), 3),
        (emotalker.Cancelled(), 130),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("zero"), 70),
    ],
)
def test_errors_are_exit_statuses_and_json(capsys, monkeypatch, error, status):
    command = Command("toy", TOPICS[0], "a toy", lambda: Module(raising(error)))
    monkeypatch.setattr("emotalker.console.main.COMMANDS", (command,))
    assert in_process(capsys, "toy")[0] == status
    code, out, err = in_process(capsys, "toy", "--json")
    answer = json.loads(out)
    assert code == answer["status"] == status and answer["error"]["type"] == type(error).__name__
    assert answer["error"]["message"] and ("Traceback" in err) == (status == 70)


def test_wrong_options_are_json_too_and_stdout_holds_one_object(capsys, monkeypatch):
    def talk(args):
        print("by the way")
        return Outcome("done", {"size": args.size})

    monkeypatch.setattr("emotalker.console.main.COMMANDS", (Command("toy", TOPICS[0], "a toy", lambda: Module(talk)),))
    code, out, _ = in_process(capsys, "toy", "--json", "--size", "big")
    assert code == 2 and "argument --size" in json.loads(out)["error"]["message"]
    assert json.loads(in_process(capsys, "toy", "--json", "--size", "3")[1]) == {
        "printed": "by the way",
        "size": 3,
        "status": 0,
    }
    assert in_process(capsys, "toy", "--quiet")[1] == "by the way\n"


def test_a_missing_package_names_what_finds_it():
    def load():
        import a_package_that_nobody_has  # noqa: F401

    with pytest.raises(MissingExtraError, match="needs the package a_package_that_nobody_has; emotalker doctor"):
        Command("toy", TOPICS[0], "a toy", load).module()


def test_infer_reports_json(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    save_wav("voice.wav", load_audio(DEMO_VOICE)[:16000])
    options = ("--size", "128", "--json", "--emotion", "happy:0.8", "--coefficients", "m.csv")
    status, out, err = in_process(capsys, "infer", "--audio", "voice.wav", "--image", str(DEMO_PORTRAIT), *options)
    assert status == 0, err
    answer = json.loads(out)
    assert Path(answer["output"]).stat().st_size > 1000 and Path(answer["coefficients"]).exists()
    assert (answer["frames"], answer["fps"], answer["width"], answer["height"], answer["status"]) == (25, 25, 128, 128, 0)
    assert answer["emotion"]["happy"] > 0.75 and sum(answer["emotion"].values()) == pytest.approx(1, abs=0.01)
    assert answer["seconds"] > 0 and set(answer["stages"]) >= {"load", "portrait", "motion", "render and encode"}


def test_the_picture_is_decoded_once(monkeypatch, tmp_path):
    from emotalker.inference import commands
    from emotalker.video import image

    class Stop(Exception):
        pass

    decoded, read = [], image.load_image
    monkeypatch.setattr(image, "load_image", lambda path: decoded.append(path) or read(path))

    class Head:
        make_renderer = None

        def generate(self, audio, picture, **options):
            assert image.as_picture(picture).name == str(DEMO_PORTRAIT)
            raise Stop

    monkeypatch.setattr(commands, "_talking_head", lambda *_: Head())
    arguments = ["--audio", str(DEMO_VOICE), "--image", str(DEMO_PORTRAIT), "--output", str(tmp_path / "o.mp4")]
    with pytest.raises(Stop):
        commands.infer(find(["infer"]).parser().parse_args(arguments))
    assert len(decoded) == 1


STOPPED = """
import sys, time
from emotalker.console import main as console
from emotalker.console.commands import Command
from emotalker.core.files import replace_on_success

class Module:
    def add_arguments(self, parser): pass
    def main(self, args):
        with replace_on_success("o.mp4"):
            print("writing", file=sys.stderr, flush=True)
            time.sleep(60)

console.COMMANDS = (Command("toy", "", "", Module),)
console.main(["toy"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_command_leaves_nothing(tmp_path, number):
    with subprocess.Popen([sys.executable, "-c", STOPPED], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        assert process.stderr.readline() == b"writing\n" and any(tmp_path.iterdir())
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert b"Traceback" not in process.stderr.read()
    assert not any(tmp_path.iterdir())


def test_doctor_reports_packages_models_and_weights(capsys, monkeypatch):
    status, out, _ = in_process(capsys, "doctor", "--json")
    answer = json.loads(out)
    items = {item["name"]: item for item in answer["items"]}
    assert status == 0 and answer["missing"] == [] and items["torch"]["licence"]
    assert items["face_landmarker"]["sha256"] == registry.MODELS["face_landmarker"].sha256
    assert items["lip.safetensors"]["licence"] == "CC BY-NC-SA 4.0" and len(items["lip.safetensors"]["sha256"]) == 64


def test_doctor_says_how_to_get_what_is_missing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EMOTALKER_CACHE", str(tmp_path))
    status, out, _ = in_process(capsys, "doctor")
    assert status == 1 and "missing: face_landmarker; get it with: emotalker doctor --fetch" in out


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_commands_options_choices_and_settings(tmp_path, capsys):
    script = tmp_path / "completion"
    script.write_text(in_process(capsys, "completion", "bash")[1])
    (tmp_path / "voice.wav").touch()

    def complete(*words):
        body = f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _emotalker; echo "${{COMPREPLY[@]}}"'
        result = subprocess.run(["bash", "-c", body, "_", "emotalker", *words], capture_output=True, text=True, cwd=tmp_path)
        return result.stdout.split()

    assert complete("tr") == ["track", "train"]
    assert complete("train", "vq") == ["vqvae"]
    assert complete("infer", "--framing", "") == ["crop", "full"]
    assert complete("infer", "--inten") == ["--intensity"]
    assert complete("infer", "--audio", "voi") == ["voice.wav"]
    assert complete("train", "vqvae", "preset=") == ["preset=paper", "preset=small"]


def test_the_overview_documents_every_exit_status():
    page = (Path(__file__).parent.parent / "docs" / "command-line.md").read_text(encoding="utf-8")
    for status in (0, 1, 2, 3, 70, 130):
        assert f"\n  {status} " in overview() and f"| {status} |" in page
