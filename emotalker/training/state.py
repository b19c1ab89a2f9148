"""The training state: everything that an exact resume needs, in one safetensors file without pickle.

Randomness and data order are functions of the step (:mod:`emotalker.training.sampling`) and the learning rate is too, so the
state is the step, the weights, the optimiser's moments and the best validation metric so far. The one before it
is kept, for the case that the last is damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from emotalker.core.errors import CheckpointError
from emotalker.core.files import replace_on_success


class DamagedStateError(CheckpointError):
    """A file is no training state, or not a complete one."""


@dataclass
class Progress:
    """Progress of a run.

    Attributes:
        step: completed optimiser steps.
        best: lowest validation metric so far; None before the first validation.
    """

    step: int = 0
    best: float | None = None


def save_state(
    path: str | os.PathLike, module: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, config: dict
) -> None:
    """Write the state; the one before it is kept as :func:`previous_state`. Both stay complete if the process is killed.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {f"module/{name}": value for name, value in module.state_dict().items()}
    for index, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in entry.items()}
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    metadata = {"progress": json.dumps(vars(progress)), "config": json.dumps(config), "sha256": _checksum(tensors)}
    with replace_on_success(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        if Path(path).exists():
            Path(path).replace(previous_state(path))


def previous_state(path: str | os.PathLike) -> Path:
    """Where the state before the one at ``path`` is kept."""
    return Path(path).with_suffix(".previous.safetensors")


def resume_state(
    path: str | os.PathLike, module: nn.Module, optimizer: torch.optim.Optimizer, config: dict
) -> Progress | None:
    """Restore the last state; if it is damaged or missing, with a warning the one before it. None if there is none.

    Raises:
        CheckpointError: all states are damaged, or belong to another configuration.
    """
    first: DamagedStateError | None = None
    for candidate in (Path(path), previous_state(path)):
        if not candidate.exists():
            continue
        try:
            progress = load_state(candidate, module, optimizer, config)
        except DamagedStateError as error:
            first = first or error
            continue
        if first:
            warnings.warn(f"{first}; going on from the state before it, step {progress.step}", stacklevel=2)
        return progress
    if first:
        raise first
    return None


def load_state(path: str | os.PathLike, module: nn.Module, optimizer: torch.optim.Optimizer, config: dict) -> Progress:
    """Restore module and optimiser in place.

    Args:
        path: written by :func:`save_state`.
        config: this run's settings of model and data, plain values; a state of other settings is refused.

    Raises:
        DamagedStateError: the file is missing or damaged, or of another network.
        CheckpointError: it belongs to another configuration.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            progress, saved = Progress(**json.loads(metadata["progress"])), json.loads(metadata["config"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the handle is not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedStateError(f"{path} is not a training state ({error}); delete it to start the run anew") from error
    if metadata.get("sha256", "") not in ("", _checksum(tensors)):
        raise DamagedStateError(f"{path} is damaged (its checksum differs); delete it to start the run anew")
    changed = sorted(name for name in config.keys() | saved.keys() if config.get(name) != saved.get(name))
    if changed:
        raise CheckpointError(
            f"{Path(path).parent} was trained with another setting of {', '.join(changed)}; choose another run=... folder "
            "or start it anew with resume=false"
        )
    try:
        module.load_state_dict(_strip(tensors, "module/"))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _strip(tensors, "optimizer/").items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedStateError(f"{path} has other tensors ({reason}); delete it to start the run anew") from error
    return progress


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
