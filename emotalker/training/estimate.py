"""Time and memory of a training run before it starts: a step on a few examples is measured and scaled to the batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.data import default_collate
from torch.utils.flop_counter import FlopCounterMode

from emotalker.coefficients import CoefficientSpace
from emotalker.coefficients.space import get_space
from emotalker.core.checkpoint import save_checkpoint
from emotalker.core.launch import compose
from emotalker.data import CorpusWriter
from emotalker.models.hubert import AudioEncoder, AudioEncoderConfig
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.settings.lip import LipTraining
from emotalker.settings.transformer import TransformerTraining
from emotalker.settings.vqvae import VQVAETraining
from emotalker.training import lip, transformer, vqvae
from emotalker.training.sampling import sequential_batches
from emotalker.training.solver import Solver

#: Bytes of a trained weight with AdamW in 32 bits: weight, gradient and two moments.
TRAINED = 16

#: Stages whose networks have the paper's size, in the order of training.
STAGES = {"vqvae": (vqvae, VQVAETraining), "transformer": (transformer, TransformerTraining), "lip": (lip, LipTraining)}


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        stage: its name.
        parameters: trained ones.
        batch, steps: of the run, on one device.
        flops: floating-point operations of a step, forward and backward, without the optimiser's.
        memory: bytes of weights, gradients, moments and of what the backward pass keeps, in 32 bits. What an allocator and
            a GPU's libraries need comes on top, about 1 GB.
        seconds: of a step on this device, data loading left out.
    """

    stage: str
    parameters: int
    batch: int
    steps: int
    flops: float
    memory: float
    seconds: float

    def hours(self, flops_per_second: float | None = None) -> float:
        """Hours of the run here, or on a device with a sustained rate."""
        step = self.seconds if flops_per_second is None else self.flops / flops_per_second
        return step * self.steps / 3600


def estimate(solver: Solver, stage: str, examples: int = 4, repeats: int = 2) -> Estimate:
    """Measure a step of a solver.

    Args:
        solver: its state is not kept, so do not train with it.
        stage: name in the result.
        examples: batch that is measured; everything but the weights grows in proportion to it.
        repeats: the fastest counts, after one step that warms up.
    """
    config, objective = solver.config, solver.objective.train()
    keys, *_ = sequential_batches(len(solver.train_set), examples, config.seed)
    batch = solver.to_device(default_collate([solver.train_set[key] for key in keys]))
    scale = config.batch_size / len(keys)
    with FlopCounterMode(display=False) as counter:
        kept = _backward(solver, batch)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        _backward(solver, batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in objective.parameters() if not p.requires_grad)
    return Estimate(
        stage,
        trained,
        config.batch_size * config.accumulate,
        config.steps,
        counter.get_total_flops() * scale * config.accumulate,
        TRAINED * trained + 4 * frozen + kept * scale,
        min(times) * scale * config.accumulate,
    )


def estimate_stages(folder: Path, preset: str, space: str, examples: int, overrides: Sequence[str] = ()) -> list[Estimate]:
    """Estimates of all stages of a preset, on invented motion and speech: sizes do not depend on what they contain.

    Args:
        folder: for the invented corpus.
        preset: "paper" or "small".
        space: coefficient space.
        examples: as for :func:`estimate`.
        overrides: settings of all stages, e.g. ``batch_size=64``.

    Raises:
        ConfigError: the preset or a setting does not exist.
    """
    corpus = invented_corpus(folder / "corpus", get_space(space))
    encoder, codes = folder / "encoder.safetensors", folder / "vqvae.safetensors"
    # A network with the output of HuBERT base: features are computed once before training, not in a step.
    wide = {"conv_dim": [8] * 7, "hidden_size": 768, "num_hidden_layers": 1, "intermediate_size": 64}
    save_checkpoint(encoder, AudioEncoder(AudioEncoderConfig(hubert=wide)))
    size = compose(VQVAETraining, [f"preset={preset}"]).model
    coder = VQVAE(VQVAEConfig(**asdict(size), motion_dim=len(get_space(space).face)))
    save_checkpoint(codes, coder, space=space)
    estimates = []
    for name, (stage, schema) in STAGES.items():
        more = [f"encoder={encoder}", f"vqvae={codes}"] if name == "transformer" else []
        common = [f"preset={preset}", f"space={space}", f"data.root={corpus}", f"run={folder / name}", "resume=false"]
        solver = stage.make_solver(compose(schema, [*common, *more, *overrides]))
        estimates.append(estimate(solver, name, examples))
    return estimates


def invented_corpus(root: Path, space: CoefficientSpace) -> Path:
    """A prepared corpus of 25 clips of 5 s: sines and noise."""
    rng = np.random.default_rng(0)
    writer = CorpusWriter(root, space, "invented", "CC0")
    frames = 5 * space.fps
    for i in range(25):
        motion = 0.3 + 0.3 * np.sin(np.arange(frames)[:, None] * 0.3 + np.arange(space.dim) + i)
        writer.add(f"clip{i}", motion, rng.normal(0, 0.1, frames * 640), emotion="happy" if i % 2 else "neutral")
    writer.close()
    return root


def _backward(solver: Solver, batch: dict[str, Tensor]) -> float:
    """Forward and backward; returns the bytes that were kept in between."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with solver.accelerator.autocast(), saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = solver.objective(batch, 0)["loss"]
    parameters = {p.untyped_storage().data_ptr() for p in solver.objective.parameters()}
    loss.backward()
    solver.optimizer.zero_grad()
    return float(sum(size for pointer, size in kept.items() if pointer not in parameters))
