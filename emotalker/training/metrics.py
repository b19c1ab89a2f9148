"""Metrics of a run: one JSON line per record, and optionally Weights & Biases."""

from __future__ import annotations

import json
from pathlib import Path

from emotalker.core.errors import MissingExtraError
from emotalker.core.files import replace_on_success
from emotalker.settings.run import WandbConfig


class MetricsLog:
    """Appends records to ``metrics.jsonl`` in the run's folder.

    Args:
        folder: of the run.
        step: the run continues here; records of later steps, written before a kill, are dropped, and
            so are lines that are no records.
        wandb: settings of W&B.
        config: logged with the W&B run.

    Raises:
        MissingExtraError: W&B is enabled and not installed.
    """

    def __init__(self, folder: Path, step: int, wandb: WandbConfig, config: dict):
        self.path = Path(folder) / "metrics.jsonl"
        self._wandb = None
        kept = []
        if step and self.path.exists():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and (made := _step_of(line)) is not None and made <= step]
        with replace_on_success(self.path) as temporary:
            temporary.write_text("".join(kept))
        if wandb.mode != "disabled":
            self._wandb = _start_wandb(folder, wandb, config)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Record the values of one step of ``"train"`` or ``"val"``."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        if self._wandb is not None:
            self._wandb.log({f"{split}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """End the W&B run, if there is one."""
        if self._wandb is not None:
            self._wandb.finish()


def _step_of(line: str) -> int | None:
    """The step of a record; None if the line is damaged."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if isinstance(step, int) else None


def _start_wandb(folder: Path, settings: WandbConfig, config: dict):
    try:
        import wandb
    except ImportError as error:
        raise MissingExtraError("W&B is not installed: pip install 'emotalker[wandb]', or set wandb.mode=disabled") from error
    identity = folder / "wandb_id"
    if not identity.exists():
        identity.write_text(wandb.util.generate_id())
    return wandb.init(
        mode=settings.mode, project=settings.project, name=settings.name, id=identity.read_text(), resume="allow",
        dir=folder, config=config,
    )  # fmt: skip
