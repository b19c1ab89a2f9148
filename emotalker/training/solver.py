"""The training loop shared by all stages.

A stage brings an :class:`Objective` (its network and losses), two datasets and a way to export a checkpoint; the solver
brings devices, precision, gradient accumulation, the schedule, validation, checkpoints, metrics and exact resume.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from emotalker.core.errors import DataError, MissingExtraError
from emotalker.training.metrics import MetricsLog
from emotalker.training.sampling import StepBatches, seed_step, sequential_batches
from emotalker.training.state import Progress as RunProgress
from emotalker.training.state import load_state, save_state

STATE = "state.safetensors"
VALIDATION_STEP = 2**31  # seeds validation apart from every training step


class Objective(nn.Module, ABC):
    """A network with its losses. Only parameters that require a gradient are trained."""

    @abstractmethod
    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Losses and metrics of a batch, ``"loss"`` among them; averaged over batches in validation."""

    def report(self, means: dict[str, Tensor]) -> dict[str, float]:
        """Turn a pass's averaged outputs into numbers to log; override for those that are no plain averages."""
        return {name: value.item() for name, value in means.items()}


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its schedule: linear warm-up, then a cosine from the full rate to ``final`` of it (1 = constant).

    Attributes:
        learning_rate, weight_decay, betas: of AdamW.
        warmup: steps of linear warm-up.
        final: share of the learning rate left at the last step.
        clip: largest norm of the gradient.
    """

    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 1000
    final: float = 1.0
    clip: float = 1.0

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, steps - self.warmup)
        return self.learning_rate * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


@dataclass(frozen=True)
class SolverConfig:
    """How a run is carried out.

    Attributes:
        run: folder of the run: state, metrics, ``best/`` and ``last/`` checkpoints.
        steps: optimiser steps in all.
        batch_size: examples per process and micro-batch.
        seed: of weights, data order and augmentation.
        accumulate: micro-batches per optimiser step.
        log_every, validate_every, save_every: in steps.
        precision: ``no`` (float32) or ``bf16``.
        workers: data loader processes.
        cpu: stay on the CPU even where there is a GPU.
        resume: continue the run that is in the folder; False starts anew.
        minimise: the validation metric whose lowest value makes ``best/``.
        wandb: ``{mode, project, name}``.
    """

    run: str
    steps: int
    batch_size: int
    seed: int = 0
    accumulate: int = 1
    log_every: int = 20
    validate_every: int = 500
    save_every: int = 500
    precision: str = "no"
    workers: int = 0
    cpu: bool = False
    resume: bool = True
    minimise: str = "loss"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    wandb: dict = field(default_factory=lambda: {"mode": "disabled", "project": "emotalker", "name": None})


class Solver:
    """Trains an objective.

    Args:
        config: of the run.
        objective: network and losses, with its data statistics already set.
        train_set, validation_set: map-style datasets asked with :class:`~emotalker.training.sampling.Key`.
        export: writes the network to a path without suffix (``<run>/best``, ``<run>/last``), given facts to keep with it.
        identity: settings that make the run what it is (model, data, loss); a resume under others is refused.

    Raises:
        MissingExtraError: accelerate is not installed.
        CheckpointError: the run's state does not fit.
    """

    def __init__(
        self,
        config: SolverConfig,
        objective: Objective,
        train_set: Dataset,
        validation_set: Dataset,
        export: Callable[[Path, dict], None],
        identity: dict,
    ):
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise MissingExtraError("training needs accelerate: pip install 'emotalker[train]'") from error
        if config.precision not in ("no", "bf16"):  # fp16 would add a loss scaler to the state
            raise ValueError(f"precision is 'no' or 'bf16', not {config.precision!r}")
        if len(validation_set) == 0:
            raise DataError("the validation set is empty; prepare more clips")
        self.config, self.export, self.identity = config, export, identity
        self.folder = Path(config.run)
        self.train_set, self.validation_set = train_set, validation_set
        self.accelerator = Accelerator(
            mixed_precision=config.precision, gradient_accumulation_steps=config.accumulate, cpu=config.cpu
        )
        parameters = [p for p in objective.parameters() if p.requires_grad]
        options = config.optimizer
        optimizer = torch.optim.AdamW(
            parameters, lr=options.learning_rate, betas=tuple(options.betas), weight_decay=options.weight_decay
        )
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        self.progress = RunProgress()
        if config.resume and (self.folder / STATE).exists():
            self.progress = load_state(self.folder / STATE, self._bare, self.optimizer.optimizer, self._settings())
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def _bare(self) -> Objective:
        return self.accelerator.unwrap_model(self.objective)

    def _settings(self) -> dict:
        kept = ("batch_size", "seed", "accumulate")
        settings = {name: getattr(self.config, name) for name in kept} | {"optimizer": asdict(self.config.optimizer)}
        settings["optimizer"]["betas"] = list(settings["optimizer"]["betas"])
        return settings | {"processes": self.accelerator.num_processes} | self.identity

    def run(self) -> dict[str, float]:
        """Train to the last step; returns the last validation's numbers."""
        config, main = self.config, self.accelerator.is_main_process
        log = MetricsLog(self.folder, self.progress.step, config.wandb, self._settings()) if main else None
        batches = iter(self._loader())
        validation: dict[str, float] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[status]}"), disable=not main) as bar:
            task = bar.add_task(self.folder.name, total=config.steps, completed=self.progress.step, status="")
            while self.progress.step < config.steps:
                outputs = self._step(batches)
                step = self.progress.step
                due = step == config.steps
                if main and (due or step % config.log_every == 0):
                    values = self._bare.report(outputs) | {"learning_rate": self.optimizer.param_groups[0]["lr"]}
                    log.write(step, "train", values)
                    bar.update(task, status=f"loss {values['loss']:.4f}")
                if due or step % config.validate_every == 0:
                    validation = self._validate(log)
                if due or step % config.save_every == 0:
                    self._save()
                bar.update(task, completed=step)
        if main:
            log.close()
        return validation

    def _loader(self) -> DataLoader:
        config = self.config
        sampler = StepBatches(
            len(self.train_set), config.batch_size, config.seed, self.progress.step, config.steps, config.accumulate,
            self.accelerator.process_index, self.accelerator.num_processes,
        )  # fmt: skip
        return DataLoader(self.train_set, batch_sampler=sampler, num_workers=config.workers)

    def _to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.accelerator.device, non_blocking=True) for name, value in batch.items()}

    def _step(self, batches: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
        config, step = self.config, self.progress.step
        seed_step(config.seed, step, self.accelerator.process_index)
        for group in self.optimizer.param_groups:
            group["lr"] = config.optimizer.rate(step, config.steps)
        self.objective.train()
        for _ in range(config.accumulate):
            with self.accelerator.accumulate(self.objective):
                outputs = self.objective(self._to_device(next(batches)), step)
                self.accelerator.backward(outputs["loss"])
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.objective.parameters(), config.optimizer.clip)
                self.optimizer.step()
                self.optimizer.zero_grad()
        self.progress.step += 1
        return {name: value.detach().float() for name, value in outputs.items()}

    @torch.no_grad()
    def _validate(self, log: MetricsLog | None) -> dict[str, float]:
        """Average the objective over the validation set (first process), keep ``best/`` up to date."""
        values: dict[str, float] = {}
        if self.accelerator.is_main_process:
            objective, config = self._bare, self.config
            objective.eval()
            seed_step(config.seed, VALIDATION_STEP)
            sums: dict[str, Tensor] = defaultdict(float)
            keys = sequential_batches(len(self.validation_set), config.batch_size, config.seed)
            for batch, chosen in zip(DataLoader(self.validation_set, batch_sampler=keys), keys, strict=True):
                with self.accelerator.autocast():
                    outputs = objective(self._to_device(batch), self.progress.step)
                for name, value in outputs.items():
                    sums[name] += value.float() * len(chosen) / len(self.validation_set)
            values = objective.report(sums)
            log.write(self.progress.step, "val", values)
            if self.progress.best is None or values[config.minimise] < self.progress.best:
                self.progress.best = values[config.minimise]
                self.export(self.folder / "best", {"step": self.progress.step, "validation": values})
        self.accelerator.wait_for_everyone()
        return values

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            save_state(self.folder / STATE, self._bare, self.optimizer.optimizer, self.progress, self._settings())
            self.export(self.folder / "last", {"step": self.progress.step})
        self.accelerator.wait_for_everyone()
