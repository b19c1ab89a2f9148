"""The commands that render given motions: one, with further outputs, and lists."""

import csv

import av
import numpy as np
import pytest
import torch
from skimage import data

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.console.commands import Command
from emotalker.console.main import find
from emotalker.core.cli import UsageError
from emotalker.core.errors import DataError, OutputError
from emotalker.inference import commands
from emotalker.inference.keyframes import ControlError
from emotalker.models.sampling import sample_codes
from emotalker.video import read_frames, video_info
from emotalker.video.image import save_image


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A portrait and a motion of five frames as CSV."""
    folder = tmp_path_factory.mktemp("inputs")
    save_image(folder / "person.png", data.astronaut())
    motion = np.zeros((5, ARKIT.dim), np.float32)
    motion[:, ARKIT.index("jawOpen")] = [0, 0.2, 0.4, 0.2, 0]
    MotionTrack(motion, ARKIT).save(folder / "motion.csv")
    return folder


def infer(arguments):
    return commands.infer(find(["infer"]).parser().parse_args(arguments))


def render(arguments, *progress):
    return commands.render(find(["render"]).parser().parse_args(arguments), *progress)


def arguments(folder, *more):
    return ["--coefficients", str(folder / "motion.csv"), "--image", str(folder / "person.png"), "--size", "128", *more]


def test_render_writes_video_head_and_plot(inputs, tmp_path):
    told = []
    more = ("--output", f"{tmp_path}/o.mp4", "--mesh", f"{tmp_path}/m.mp4", "--plot", f"{tmp_path}/p.png")
    outcome = render(arguments(inputs, *more, "--pose", "yaw=0:0,4:8"), lambda *progress: told.append(progress))
    assert "5 frames" in outcome.text and ("rendering", 5, 5) in told
    assert outcome.values["frames"] == 5 and outcome.values["mesh"] == f"{tmp_path}/m.mp4"
    assert video_info(tmp_path / "o.mp4").frames == video_info(tmp_path / "m.mp4").frames == 5
    first, *_, last = read_frames(tmp_path / "o.mp4")
    assert np.abs(first.astype(int) - last).mean() > 1  # the head has turned
    assert (tmp_path / "p.png").stat().st_size > 5000
    with av.open(f"{tmp_path}/o.mp4") as container:
        assert "Synthetic video" in container.metadata["comment"]


def test_a_mark_is_drawn_into_every_frame(inputs, tmp_path):
    for name, mark in (("plain", ()), ("marked", ("--mark", "AI generated"))):
        render(arguments(inputs, "--output", f"{tmp_path}/{name}.mp4", *mark))
    for plain, marked in zip(*(read_frames(tmp_path / f"{name}.mp4") for name in ("plain", "marked")), strict=True):
        changed = np.abs(plain.astype(int) - marked).max(-1) > 60
        assert changed[110:, 64:].any() and not changed[:100].any()
    with pytest.raises(UsageError, match="ASCII"):
        find(["render"]).parser().parse_args(arguments(inputs, "--mark", "日本"))


def test_inputs_are_never_outputs(inputs, tmp_path):
    for option in ("--output", "--plot", "--mesh"):
        with pytest.raises(OutputError):
            render(arguments(inputs, option, str(inputs / "person.png")))
    with pytest.raises(OutputError, match="also read as"):
        infer(["--audio", "a.wav", "--image", str(inputs / "person.png"), "--coefficients", str(inputs / "person.png")])


def test_wrong_control_is_refused_before_work(inputs, tmp_path):
    output = ("--output", f"{tmp_path}/o.mp4")
    with pytest.raises(ControlError, match="keyframes"):
        render(arguments(inputs, *output, "--pose", "nod=3"))
    with pytest.raises(DataError):
        render(arguments(inputs, *output, "--ref-lips", str(tmp_path / "none.npz")))
    assert not (tmp_path / "o.mp4").exists()


def test_a_list_renders_every_row_and_reports(inputs, tmp_path):
    jobs = tmp_path / "jobs.csv"
    with open(jobs, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["coefficients", "image", "output", "pose"])
        for name, pose in (("a", "yaw=0:5"), ("b", ""), ("c", "nod=1:2")):
            writer.writerow([inputs / "motion.csv", inputs / "person.png", tmp_path / f"{name}.mp4", pose])
    command: Command = find(["render"])
    outcome = command.run(["--list", str(jobs), "--size", "128", "--quiet"])
    assert outcome.status == 1 and "2 of 3 done" in outcome.text  # one of them failed
    assert [job["status"] for job in outcome.values["jobs"]] == ["done", "done", "failed"]
    rows = list(csv.DictReader((tmp_path / "jobs.report.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["done", "done", "failed"] and "nod=1:2" in rows[2]["message"]
    assert (tmp_path / "a.mp4").exists() and (tmp_path / "b.mp4").exists() and not (tmp_path / "c.mp4").exists()
    assert video_info(tmp_path / "a.mp4").width == 128, "rows take the command line's options"


def test_missing_arguments_are_named():
    with pytest.raises(UsageError, match="--coefficients"):
        render(["--image", "p.png"])


@pytest.mark.parametrize(
    "option",
    ["--seed=18446744073709551616", "--seed=-1", "--temperature=0", "--temperature=nan", "--size=200000", "--size=65"]
    + ["--device=meta", "--device=cuda:99", "--device=mps:7"],
)
def test_numbers_and_devices_out_of_range_are_refused(option):
    with pytest.raises(UsageError, match=f"argument {option.partition('=')[0]}"):
        infer(["--audio", "a.wav", "--image", "p.png", option])


@pytest.mark.parametrize(("option", "name"), [("--output", "o.xyz"), ("--coefficients", "c.foo"), ("--plot", "p.mp4")])
def test_names_of_outputs_are_checked_before_the_inputs(option, name, tmp_path):
    with pytest.raises(OutputError, match="ending in"):
        infer(["--audio", "none.wav", "--image", "none.png", option, str(tmp_path / name)])


@pytest.mark.parametrize("temperature", [1e-300, 1e-6, 1e300])
def test_any_temperature_samples(temperature):
    codes = sample_codes(torch.tensor([[1.0, 3.0, 2.0]]).repeat(20, 1), temperature)
    assert set(codes.tolist()) == {1} if temperature < 1 else codes.max() < 3
