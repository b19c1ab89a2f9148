"""Every training stage on a tiny corpus: the loss falls, and a killed and resumed run ends with exactly the weights of an
uninterrupted one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_hubert
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset

from emotalker.coefficients import ARKIT
from emotalker.coefficients.space import BFM
from emotalker.core.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from emotalker.core.config import to_plain
from emotalker.core.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from emotalker.core.launch import CONFIGS, compose
from emotalker.data import CorpusWriter
from emotalker.models.hubert import AudioEncoder
from emotalker.models.sync import SyncConfig, SyncExpert
from emotalker.models.transformer import CrossModalTransformer
from emotalker.settings.lip import LipTraining
from emotalker.settings.run import OptimizerConfig, RunConfig
from emotalker.settings.transformer import TransformerLoss, TransformerTraining
from emotalker.settings.vqvae import VQVAETraining
from emotalker.training import lip, transformer, vqvae
from emotalker.training.estimate import estimate
from emotalker.training.solver import Objective, Solver

SHORT = ["steps=6", "batch_size=4", "validate_every=3", "save_every=2", "log_every=1", "cpu=true", "optimizer.warmup=2"]
TINY = {
    "vqvae": ["model.width=16", "model.depth=2", "model.code_dim=8", "model.codebook_size=16", "data.frames=32"],
    "transformer": ["model.dim=16", "model.num_layers=1", "model.num_heads=2", "data.frames=32", "data.variants=2"],
    "lip": ["model.channels=[4,4,8,8]", "model.audio_dim=8", "model.hidden_dim=8", "data.frames=10"]
    + ["data.validation_frames=10"],
}
SCHEMAS = {"vqvae": VQVAETraining, "transformer": TransformerTraining, "lip": LipTraining}
STAGES = pytest.mark.parametrize("stage", [vqvae, transformer, lip], ids=lambda stage: stage.__name__.split(".")[-1])
OPTIMIZER = OptimizerConfig(learning_rate=1.0, weight_decay=0.0, warmup=10, final=0.1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A prepared corpus, and small inputs of the transformer."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    writer = CorpusWriter(root / "corpus", ARKIT, "synthetic", "CC0")
    for i in range(25):
        motion = 0.3 + 0.3 * np.sin(np.arange(40)[:, None] * 0.3 + np.arange(58) + i)
        writer.add(f"clip{i}", motion, rng.normal(0, 0.1, 40 * 640), emotion="happy" if i % 3 else None)
    writer.close()
    vqvae.train(settings("vqvae", root, root / "made/vqvae"))
    torch.manual_seed(0)
    save_checkpoint(root / "made/encoder.safetensors", AudioEncoder(tiny_hubert()))
    return root


def settings(stage: str, root: Path, run: Path, *more: str) -> RunConfig:
    """The stage's settings as its script composes them, for a tiny network and a few steps."""
    overrides = [*SHORT, *TINY[stage], f"run={run}", f"data.root={root / 'corpus'}"]
    if stage == "transformer":
        overrides += [f"vqvae={root}/made/vqvae/best.safetensors", f"encoder={root}/made/encoder.safetensors"]
    return compose(SCHEMAS[stage], [*overrides, *more])


def assert_same_weights(a: Path, b: Path) -> None:
    first, second = load_file(a), load_file(b)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@STAGES
def test_every_stage_trains_in_the_papers_space(stage, world, tmp_path):
    """70 coefficients instead of 58, selected by the configuration only."""
    name, rng = stage.__name__.split(".")[-1], np.random.default_rng(1)
    writer = CorpusWriter(tmp_path / "bfm", BFM, "synthetic", "CC0")
    for i in range(25):
        motion = np.sin(np.arange(40)[:, None] * rng.uniform(0.1, 0.5, 70) + rng.uniform(0, 6, 70))
        writer.add(f"clip{i}", motion, rng.normal(0, 0.1, 40 * 640), emotion="sad")
    writer.close()
    more = [f"data.root={tmp_path / 'bfm'}", "space=bfm", "steps=2", "validate_every=2"]
    if name == "transformer":
        with pytest.raises(CheckpointError, match="in the space 'arkit'"):
            stage.train(settings(name, world, tmp_path / "run", *more))
        vqvae.train(settings("vqvae", world, tmp_path / "vqvae", *more))
        more.append(f"vqvae={tmp_path / 'vqvae/best.safetensors'}")
    assert np.isfinite(list(stage.train(settings(name, world, tmp_path / "run", *more)).values())).all()
    model = load_checkpoint(tmp_path / "run/best.safetensors", name)
    assert read_metadata(tmp_path / "run/best.safetensors").space == "bfm"
    size = {"vqvae": "motion_dim", "transformer": "reference_dim"}
    if name in size:
        assert getattr(model.config, size[name]) == {"vqvae": 57, "transformer": 70}[name]
    else:
        assert len(model.lip) == 13
    with pytest.raises(DataError, match="space=bfm"):
        stage.train(settings(name, world, tmp_path / "other", *more, "space=arkit"))


@STAGES
def test_a_killed_run_ends_where_an_uninterrupted_one_ends(stage, world, tmp_path, monkeypatch):
    name = stage.__name__.split(".")[-1]
    values = stage.train(settings(name, world, tmp_path / "whole"))
    assert np.isfinite(list(values.values())).all()

    take_step = Solver._step

    def killed(self, batches):
        if self.progress.step == 5:  # after step 4 was saved and step 5 was logged
            raise KeyboardInterrupt
        return take_step(self, batches)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Solver, "_step", killed)
        stage.train(settings(name, world, tmp_path / "cut"))
    assert stage.train(settings(name, world, tmp_path / "cut")) == values
    for file in ("last.safetensors", "best.safetensors", "state.safetensors"):
        assert_same_weights(tmp_path / "whole" / file, tmp_path / "cut" / file)
    logs = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "cut")]
    assert logs[0] == logs[1]
    records = [json.loads(line) for line in logs[0].splitlines()]
    assert [r["step"] for r in records if r["split"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [r["step"] for r in records if r["split"] == "val"] == [3, 6]
    metadata = read_metadata(tmp_path / "whole/last.safetensors")
    assert metadata.kind == name and metadata.extra["step"] == 6 and metadata.extra["data"]
    assert metadata.extra["training"] == to_plain(settings(name, world, tmp_path / "whole"))
    load_checkpoint(tmp_path / "whole/best.safetensors", name)


def test_a_script_killed_by_the_system_resumes_exactly(world, tmp_path):
    def start(run: str) -> subprocess.Popen:
        data = ["steps=40", f"run={tmp_path / run}", f"data.root={world / 'corpus'}", "threads=1"]
        script = Path(CONFIGS).parent / "scripts/train_vqvae.py"
        return subprocess.Popen([sys.executable, script, *SHORT[1:], *TINY["vqvae"], *data], stdout=subprocess.DEVNULL)

    log = tmp_path / "cut/metrics.jsonl"
    process = start("cut")
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 10):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start("cut").wait() == 0
    vqvae.train(settings("vqvae", world, tmp_path / "whole", "steps=40", "threads=1"))
    assert_same_weights(tmp_path / "whole/state.safetensors", tmp_path / "cut/state.safetensors")
    assert log.read_text() == (tmp_path / "whole/metrics.jsonl").read_text()


class Line(Objective):
    """Fits y = 2 x - 1."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, batch, step):
        return {"loss": (self.layer(batch["x"]) - 2 * batch["x"] + 1).square().mean()}


class Numbers(Dataset):
    """A random number for any key."""

    def __len__(self):
        return 10

    def __getitem__(self, key):
        return {"x": key.rng().standard_normal(1).astype(np.float32)}


def test_the_solver_finds_the_minimum_and_keeps_the_best(tmp_path):
    exported = []
    config = RunConfig(
        run=str(tmp_path), steps=300, batch_size=16, validate_every=50, save_every=500, cpu=True, workers=1,
        optimizer=replace(OPTIMIZER, learning_rate=0.05),
    )  # fmt: skip
    objective = Line()
    solver = Solver(config, objective, Numbers(), Numbers(), lambda path, facts: exported.append((path.name, facts)), {})
    values = solver.run()
    assert values["loss"] < 1e-3
    assert objective.layer.weight.item() == pytest.approx(2, abs=0.05)
    best = [facts["validation"]["loss"] for name, facts in exported if name == "best"]
    with pytest.raises(ConfigError, match="minimise=error is not a validation metric; choose one of loss"):
        Solver(replace(config, minimise="error", resume=False), Line(), Numbers(), Numbers(), solver.export, {}).run()
    assert best == sorted(best, reverse=True) and exported[-1] == ("last", {"step": 300, "training": to_plain(config)})


class Matrix(Objective):
    """A product with a matrix, whose operations and memory can be counted by hand."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 50, bias=False)

    def forward(self, batch, step):
        return {"loss": self.layer(batch["x"]).square().sum()}


def test_an_estimate_counts_operations_and_memory(tmp_path):
    config = RunConfig(
        run=str(tmp_path), steps=3600, batch_size=16, validate_every=50, save_every=500, cpu=True, optimizer=OPTIMIZER,
        accumulate=2,
    )  # fmt: skip
    found = estimate(Solver(config, Matrix(), Numbers(), Numbers(), print, {}), "matrix", examples=4)
    assert (found.parameters, found.batch, found.steps) == (50, 32, 3600)
    # Per example 2 x 1 x 50 operations forward, and as many for the gradient of the weights; the input needs none.
    assert found.flops == 32 * 2 * (2 * 50)
    # The product stays for the square's gradient, the input for the weights', 4 bytes a number; AdamW needs 16 a weight.
    assert found.memory == 16 * 50 + 16 * (4 * 50 + 4)
    assert found.hours() == pytest.approx(found.seconds) and found.hours(found.flops) == pytest.approx(1)


def test_gradient_accumulation_equals_the_large_batch(world, tmp_path):
    """For a network without batch statistics or noise, two micro-batches of two are one batch of four.

    A step moves weights by 1.5e-4; Adam's first one magnifies rounding where a gradient is all but zero.
    """
    same = ["model.dropout=0", "loss.history_drop=0", "loss.emotion_drop=0", "steps=1", "save_every=1"]
    transformer.train(settings("transformer", world, tmp_path / "large", *same))
    transformer.train(settings("transformer", world, tmp_path / "parts", *same, "batch_size=2", "accumulate=2"))
    large, parts = (load_file(tmp_path / run / "last.safetensors") for run in ("large", "parts"))
    for name in large:
        torch.testing.assert_close(large[name], parts[name], atol=2e-5, rtol=0)


def test_a_run_of_other_settings_is_not_resumed(world, tmp_path):
    vqvae.train(settings("vqvae", world, tmp_path))
    with pytest.raises(CheckpointError, match=r"another setting of model.*resume=false"):
        vqvae.train(settings("vqvae", world, tmp_path, "model.width=8"))
    vqvae.train(settings("vqvae", world, tmp_path, "model.width=8", "resume=false"))
    for file in ("state.safetensors", "state.previous.safetensors"):
        (tmp_path / file).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="not a training state"):
        vqvae.train(settings("vqvae", world, tmp_path, "model.width=8"))


def test_missing_inputs_raise_errors(world, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no prepared corpus"):
        vqvae.train(settings("vqvae", world, tmp_path, f"data.root={tmp_path / 'none'}"))
    config = settings("transformer", world, tmp_path)
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        transformer.train(replace(config, vqvae=str(tmp_path / "nothing.safetensors")))
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        vqvae.train(settings("vqvae", world, tmp_path, "wandb.mode=offline"))


def test_scripts_report_errors_in_one_sentence(tmp_path):
    script = Path(CONFIGS).parent / "scripts/train_vqvae.py"
    command = [sys.executable, script, f"data.root={tmp_path / 'none'}", f"run={tmp_path / 'run'}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and result.stderr.startswith("error: no prepared corpus") and result.stderr.count("\n") == 1


def test_the_schedule_warms_up_and_decays():
    rates = [OPTIMIZER.rate(step, 110) for step in range(110)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1) and max(rates) <= 1
    assert rates[60] == pytest.approx(0.55, abs=0.01) and rates[-1] == pytest.approx(0.1, abs=0.01)
    assert replace(OPTIMIZER, final=1.0).rate(100, 110) == 1


def test_the_sync_expert_adds_a_loss_to_the_lips(world, tmp_path):
    expert = SyncExpert(SyncConfig(mel_channels=(4, 4, 4), lip_channels=(4, 4), dim=8))
    path = save_checkpoint(tmp_path / "sync.safetensors", expert, space="arkit")
    with_expert = lip.train(settings("lip", world, tmp_path / "with_expert", f"sync={path}", "loss.sync_weight=0.5"))
    alone = lip.train(settings("lip", world, tmp_path / "alone"))
    assert "sync" not in alone and 0 < with_expert["sync"] < 2
    assert with_expert["loss"] > with_expert["reconstruction"] + 0.4 * with_expert["sync"]
    foreign = save_checkpoint(tmp_path / "bfm.safetensors", SyncExpert(SyncConfig(space="bfm")), space="bfm")
    with pytest.raises(CheckpointError, match="in the space 'bfm'"):
        lip.train(settings("lip", world, tmp_path / "foreign", f"sync={foreign}"))


def test_history_is_hidden_only_in_training(world):
    network = transformer.CrossModalTransformer(
        transformer.TransformerConfig(
            audio_dim=4, code_dim=8, codebook_size=16, dim=16, num_layers=1, num_heads=2, num_emotions=0
        )
    )
    coder = load_checkpoint(world / "made/vqvae/best.safetensors", "vqvae")
    histories = []
    network.forward = lambda features, history, *more: (
        histories.append(history) or CrossModalTransformer.forward(network, features, history, *more)
    )
    objective = transformer.TransformerObjective(network, coder, TransformerLoss(emotion_drop=0.0, history_drop=0.5))
    sizes = {"motion": (32, coder.config.motion_dim), "features": (64, 4), "reference": (58,)}
    batch = {entry: torch.rand(4, *size) for entry, size in sizes.items()}
    objective.train()(batch, 0)
    objective.eval()(batch, 0)
    hidden = [(history == 0).all(-1).float().mean().item() for history in histories]
    assert 0.2 < hidden[0] < 0.8 and hidden[1] == 0


def _one_of_two(rank: int, port: int, config: RunConfig) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    torch.set_num_threads(1)
    transformer.train(config)
    torch.distributed.destroy_process_group()


def test_two_processes_train_as_one(world, tmp_path):
    """Gradients averaged over two processes of two examples equal those of one process with all four."""
    random = ["model.dropout=0", "loss.history_drop=0", "loss.emotion_drop=0"]  # drawn per process
    transformer.train(settings("transformer", world, tmp_path / "one", *random))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = settings("transformer", world, tmp_path / "two", *random, "batch_size=2")
    torch.multiprocessing.spawn(_one_of_two, (port, config), nprocs=2)
    transformer.train(settings("transformer", world, tmp_path / "half", *random, "batch_size=2"))
    one, two, half = (load_file(tmp_path / f"{name}/last.safetensors") for name in ("one", "two", "half"))

    def distance(a, b):
        return sum(float((a[name] - b[name]).square().sum()) for name in a) ** 0.5

    # Adam magnifies rounding where gradients are nearly zero; two of the four examples are another training.
    assert distance(one, two) < 0.05 * distance(one, half)
    assert json.loads((tmp_path / "two/metrics.jsonl").read_text().splitlines()[-1])["step"] == 6


def damage(path, how):
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
        return
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    if how == "tensors":
        tensors = {name: value[:1].clone() if value.dim() else value for name, value in tensors.items()}
    elif how == "names":
        tensors["optimizer/x/step"] = torch.zeros(())
    else:
        metadata["progress"] = how
    save_file(tensors, path, metadata)


@pytest.mark.parametrize("how", ["cut", "tensors", "names", '{"step": "many"}', '{"other": 3}', "[]"])
def test_a_damaged_state_falls_back_to_the_one_before(how, world, tmp_path):
    """The run ends with the weights of an undisturbed one; its log may be damaged, too."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    vqvae.train(settings("vqvae", world, whole))
    shutil.copytree(whole, cut)
    damage(cut / "state.safetensors", how)
    log = (cut / "metrics.jsonl").read_bytes()
    (cut / "metrics.jsonl").write_bytes(b'no record\n[1]\n{"step": "x"}\n\xff\n' + log)
    with pytest.warns(UserWarning, match=r"going on from the state before it, step 4"):
        vqvae.train(settings("vqvae", world, cut))
    for file in ("last.safetensors", "best.safetensors", "state.safetensors", "state.previous.safetensors"):
        assert_same_weights(whole / file, cut / file)
    assert (cut / "metrics.jsonl").read_bytes() == log
    for file in ("state.safetensors", "state.previous.safetensors"):
        damage(cut / file, how)
    with pytest.raises(CheckpointError, match="delete it to start the run anew"):
        vqvae.train(settings("vqvae", world, cut))


def test_a_stop_between_two_states_loses_nothing(world, tmp_path):
    vqvae.train(settings("vqvae", world, tmp_path))
    (tmp_path / "state.safetensors").unlink()
    vqvae.train(settings("vqvae", world, tmp_path))
    assert (tmp_path / "state.safetensors").exists()
    vqvae.train(settings("vqvae", world, tmp_path, "resume=false", "save_every=6"))
    assert not (tmp_path / "state.previous.safetensors").exists()  # the earlier run's
