"""The training loop shared by all stages.

A stage provides an :class:`Objective` (its network and losses), two datasets and a function that exports a checkpoint. The
solver handles devices, precision, gradient accumulation, the schedule, validation, checkpoints, metrics and exact resume.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from emotalker.core.config import to_plain
from emotalker.core.errors import ConfigError, DataError, MissingExtraError
from emotalker.core.files import writing_to
from emotalker.settings.run import RunConfig
from emotalker.training.metrics import MetricsLog
from emotalker.training.sampling import StepBatches, seed_step, sequential_batches
from emotalker.training.state import DamagedStateError, load_state, previous_state, save_state
from emotalker.training.state import Progress as RunProgress

STATE = "state.safetensors"
VALIDATION_STEP = 2**31  # validation's seed, different from every training step's


class Objective(nn.Module, ABC):
    """A network with its losses. Only parameters that require a gradient are trained."""

    @abstractmethod
    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Losses and metrics of a batch, ``"loss"`` among them; averaged over batches in validation."""

    def report(self, means: dict[str, Tensor]) -> dict[str, float]:
        """Turn averaged outputs into numbers to log; override if some are not plain averages."""
        return {name: value.item() for name, value in means.items()}


class Solver:
    """Trains an objective.

    Args:
        config: the stage's settings.
        objective: network and losses, with its data statistics already set.
        train_set, validation_set: map-style datasets indexed with :class:`~emotalker.training.sampling.Key`.
        export: writes the network and some facts to a path without suffix (``<run>/best``, ``<run>/last``).
        identity: settings that determine the weights (model, loss, data); resuming with other values is refused.

    Raises:
        MissingExtraError: accelerate is not installed.
        CheckpointError: the run folder's state is damaged or of other settings.
        DataError: the validation set is empty.
    """

    def __init__(
        self,
        config: RunConfig,
        objective: Objective,
        train_set: Dataset,
        validation_set: Dataset,
        export: Callable[[Path, dict], None],
        identity: Mapping[str, Any],
    ):
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise MissingExtraError("training needs accelerate: pip install 'emotalker[train]'") from error
        if len(validation_set) == 0:
            raise DataError("the validation set is empty; prepare more clips")
        self.config, self.export, self.identity = config, export, to_plain(identity)
        self.folder = Path(config.run)
        self.train_set, self.validation_set = train_set, validation_set
        self.accelerator = Accelerator(
            mixed_precision=config.precision, gradient_accumulation_steps=config.accumulate, cpu=config.cpu
        )
        parameters = [p for p in objective.parameters() if p.requires_grad]
        options = config.optimizer
        optimizer = torch.optim.AdamW(
            parameters, lr=options.learning_rate, betas=options.betas, weight_decay=options.weight_decay
        )
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        self.progress = self._resume() if config.resume else RunProgress()
        self._saved = self.progress.step > 0  # the state in the folder is of this run
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def _resume(self) -> RunProgress:
        """Restore the last state, or the one before it if that is damaged, with a warning."""
        path, previous = self.folder / STATE, previous_state(self.folder / STATE)
        if not path.exists() and not previous.exists():
            return RunProgress()
        restored = self._bare, self.optimizer.optimizer, self._settings()
        if path.exists():
            try:
                return load_state(path, *restored)
            except DamagedStateError as error:
                if not previous.exists():
                    raise
                reason = str(error).partition(";")[0]
                progress = load_state(previous, *restored)
                warnings.warn(f"{reason}; going on from the state before it, step {progress.step}", stacklevel=2)
        else:  # stopped between the two renames of save_state
            progress = load_state(previous, *restored)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:  # the next save would keep the damaged one
            with writing_to(path):
                previous.replace(path)
        return progress

    @property
    def _bare(self) -> Objective:
        return self.accelerator.unwrap_model(self.objective)

    def _settings(self) -> dict:
        kept = ("batch_size", "seed", "accumulate")
        settings = {name: getattr(self.config, name) for name in kept} | {"optimizer": to_plain(self.config.optimizer)}
        return settings | {"processes": self.accelerator.num_processes} | self.identity

    def _export(self, name: str, facts: dict) -> None:
        """Write a checkpoint that also contains the step and the settings it was trained with."""
        self.export(self.folder / name, {"step": self.progress.step, **facts, "training": to_plain(self.config)})

    def run(self) -> dict[str, float]:
        """Train to the last step; returns the metrics of the last validation. OutputError if the folder cannot be written."""
        with writing_to(self.folder):
            return self._run()

    def _run(self) -> dict[str, float]:
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

    def to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.accelerator.device, non_blocking=True) for name, value in batch.items()}

    def _step(self, batches: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
        config, step = self.config, self.progress.step
        seed_step(config.seed, step, self.accelerator.process_index)
        for group in self.optimizer.param_groups:
            group["lr"] = config.optimizer.rate(step, config.steps)
        self.objective.train()
        for _ in range(config.accumulate):
            with self.accelerator.accumulate(self.objective):
                outputs = self.objective(self.to_device(next(batches)), step)
                self.accelerator.backward(outputs["loss"])
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.objective.parameters(), config.optimizer.clip)
                self.optimizer.step()
                self.optimizer.zero_grad()
        self.progress.step += 1
        return {name: value.detach().float() for name, value in outputs.items()}

    @torch.no_grad()
    def _validate(self, log: MetricsLog | None) -> dict[str, float]:
        """Average the objective over the validation set (first process); export ``best`` if it improved.

        Raises:
            ConfigError: ``minimise`` is not among the metrics.
        """
        values: dict[str, float] = {}
        if self.accelerator.is_main_process:
            objective, config = self._bare, self.config
            objective.eval()
            seed_step(config.seed, VALIDATION_STEP)
            sums: dict[str, Tensor] = defaultdict(float)
            keys = sequential_batches(len(self.validation_set), config.batch_size, config.seed)
            for batch, chosen in zip(DataLoader(self.validation_set, batch_sampler=keys), keys, strict=True):
                with self.accelerator.autocast():
                    outputs = objective(self.to_device(batch), self.progress.step)
                for name, value in outputs.items():
                    sums[name] += value.float() * len(chosen) / len(self.validation_set)
            values = objective.report(sums)
            log.write(self.progress.step, "val", values)
            if config.minimise not in values:
                raise ConfigError(f"minimise={config.minimise} is not a validation metric; choose one of {', '.join(values)}")
            if self.progress.best is None or values[config.minimise] < self.progress.best:
                self.progress.best = values[config.minimise]
                self._export("best", {"validation": values})
        self.accelerator.wait_for_everyone()
        return values

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            # The state last: a run that is stopped in between repeats these steps, and would not export them otherwise.
            self._export("last", {})
            state = self._bare, self.optimizer.optimizer, self.progress, self._settings()
            save_state(self.folder / STATE, *state, keep=self._saved)
            self._saved = True
        self.accelerator.wait_for_everyone()
