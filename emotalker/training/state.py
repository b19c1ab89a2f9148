"""The training state: everything that an exact resume needs, in one safetensors file without pickle.

Randomness and data order are functions of the step (:mod:`emotalker.training.sampling`) and the learning rate is too, so the
state is the step, the weights, the optimiser's moments and the best validation metric so far.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from emotalker.core.errors import CheckpointError
from emotalker.core.files import replace_on_success


class DamagedStateError(CheckpointError):
    """A training state cannot be read, or its tensors are not those of the network."""


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
    path: str | os.PathLike,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    config: dict,
    keep: bool = False,
) -> None:
    """Write the state; a complete file is there at any moment, here or at :func:`previous_state`.

    Args:
        keep: the file there is an earlier state of this run, and becomes the previous one; else there is no previous one.

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
        if not keep:
            previous_state(path).unlink(missing_ok=True)
        elif Path(path).exists():
            Path(path).replace(previous_state(path))


def previous_state(path: str | os.PathLike) -> Path:
    """Where the state before the one at ``path`` is kept."""
    return Path(path).with_suffix(f".previous{Path(path).suffix}")


def load_state(path: str | os.PathLike, module: nn.Module, optimizer: torch.optim.Optimizer, config: dict) -> Progress:
    """Restore module and optimiser in place.

    Args:
        path: written by :func:`save_state`.
        config: this run's settings of model and data, plain values; a state of other settings is refused.

    Raises:
        DamagedStateError: the file is missing or damaged, or its tensors are others; module and optimiser are unchanged.
        CheckpointError: it belongs to another configuration.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            progress, saved = Progress(**json.loads(metadata["progress"])), dict(json.loads(metadata["config"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the handle is not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedStateError(f"{path} is not a training state ({error}); delete it to start the run anew") from error
    if metadata.get("sha256", "") not in ("", _checksum(tensors)):
        raise DamagedStateError(f"{path} is damaged (its checksum differs); delete it to start the run anew")
    changed = sorted(name for name in config.keys() | saved.keys() if config.get(name) != saved.get(name))
    if changed:
        raise CheckpointError(
            f"{Path(path).parent} was trained with another setting of {', '.join(changed)}; choose another run=... folder "
            "or start it anew with resume=false"
        )
    weights, moments = _strip(tensors, "module/"), _moments(tensors)
    if not (_shapes(weights) == _shapes(module.state_dict()) and _fit(moments, optimizer) and _is_valid(progress)):
        raise DamagedStateError(f"{path} has other tensors than the network; delete it to start the run anew")
    module.load_state_dict(weights)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _moments(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]] | None:
    """The optimiser's moments by parameter; None if a name is none of :func:`save_state`."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _strip(tensors, "optimizer/").items():
        index, _, key = name.partition("/")
        if not (index.isascii() and index.isdecimal() and len(index) < 10):
            return None
        moments.setdefault(int(index), {})[key] = value
    return moments


def _fit(moments: dict[int, dict[str, Tensor]] | None, optimizer: torch.optim.Optimizer) -> bool:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    keys = {"step", "exp_avg", "exp_avg_sq"}  # of AdamW
    return moments is not None and all(
        index < len(parameters)
        and entry.keys() == keys
        and all(value.shape == (() if key == "step" else parameters[index].shape) for key, value in entry.items())
        for index, entry in moments.items()
    )


def _is_valid(progress: Progress) -> bool:
    step, best = progress.step, progress.best
    return isinstance(step, int) and step >= 0 and (best is None or isinstance(best, int | float))


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}
