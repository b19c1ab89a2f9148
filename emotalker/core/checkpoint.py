"""One safetensors file per network: weights and statistics as tensors, everything else as JSON in the file's metadata."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.overrides import TorchFunctionMode

from emotalker.core.errors import CheckpointError
from emotalker.core.files import replace_on_success
from emotalker.core.shipped import shipped_folder

FORMAT_VERSION = 1

#: Model classes by kind; filled by :func:`register_model` when their modules are imported.
_MODELS: dict[str, type[nn.Module]] = {}

#: Tensors that only training needs; the quantiser restores them from the codebook if they are missing.
TRAINING_ONLY = ("ema_sum", "ema_count")

#: Key of the checksum in the file's metadata; files of earlier versions have none.
CHECKSUM = "sha256"
_KEYS = {"format", "version", "kind", "config", "space", "extra", CHECKSUM}


def register_model(kind: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Class decorator: register a model class under a kind. The class has ``Config`` and takes one as its only argument."""

    def register(model: type[nn.Module]) -> type[nn.Module]:
        _MODELS[kind] = model
        return model

    return register


def shipped(name: str) -> Path:
    """The folder of weights that are part of the project, ``small`` or ``tracker``; CheckpointError if it is missing."""
    if folder := shipped_folder("checkpoints", name):
        return folder
    raise CheckpointError(
        f"the shipped checkpoints '{name}' are missing from this installation; give the folder of trained checkpoints"
    )


@dataclass(frozen=True)
class CheckpointMetadata:
    """Attributes:
    kind: as given to :func:`register_model`.
    config: hyperparameters for ``Config.from_dict`` of the class.
    space: name of the coefficient space, or None for a network without one.
    extra: further saved values: training step, scores, data.
    """

    kind: str
    config: dict[str, Any]
    space: str | None
    extra: dict[str, Any]


def save_checkpoint(
    path: str | os.PathLike,
    module: nn.Module,
    *,
    space: str | None = None,
    extra: dict[str, Any] | None = None,
    half: bool = False,
    with_averages: bool | None = None,
) -> Path:
    """Write a network for :func:`load_checkpoint`. On failure an existing file is kept.

    Args:
        path: file name, usually with the suffix ``.safetensors``.
        module: instance of a registered class.
        space: name of its coefficient space.
        extra: values that ``json`` can serialise.
        half: store matrices and kernels as 16-bit floats; vectors (biases, norms, statistics) stay in 32 bits.
        with_averages: keep the quantiser's moving averages; by default only if not ``half``.

    Raises:
        OutputError: the file cannot be written.
    """
    keep_averages = not half if with_averages is None else with_averages
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in module.state_dict().items()
        if keep_averages or name.rpartition(".")[2] not in TRAINING_ONLY
    }
    if half:
        tensors = {name: t.half() if t.is_floating_point() and t.ndim > 1 else t for name, t in tensors.items()}
    metadata = {
        "format": "emotalker",
        "version": str(FORMAT_VERSION),
        "kind": _kind_of(module),
        "config": json.dumps(module.config.to_dict()),
        "space": json.dumps(space),
        "extra": json.dumps(extra or {}),
    }
    metadata[CHECKSUM] = _checksum(metadata, tensors)
    with replace_on_success(path) as temporary:
        save_file(tensors, temporary, metadata)
    return Path(path)


def read_metadata(path: str | os.PathLike) -> CheckpointMetadata:
    """The metadata of a checkpoint, without its weights; CheckpointError as :func:`load_checkpoint`."""
    return _read(path, with_tensors=False)[0]


def load_checkpoint(path: str | os.PathLike, kind: str | None = None, device: str | torch.device = "cpu") -> nn.Module:
    """Rebuild the network in evaluation mode, in 32-bit floats.

    Args:
        kind: the required kind; None accepts any registered kind.

    Raises:
        CheckpointError: the file is missing, damaged, not an EmoTalker checkpoint, of another version or of another kind.
    """
    metadata, tensors = _read(path, with_tensors=True)
    if kind is not None and metadata.kind != kind:
        raise CheckpointError(
            f"{path} contains a {metadata.kind} network, but a {kind} network is needed; give the right file"
        )
    network = _MODELS[metadata.kind]
    if (layers := _deepest(metadata.config)) > len(tensors):
        raise CheckpointError(
            f"{path} describes {layers} layers, larger than any network of {len(tensors)} tensors; fetch or train it again"
        )
    try:
        with _WithoutRandomWeights():  # they would all be overwritten
            module = network(network.Config.from_dict(metadata.config))
        module.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(":")
        raise CheckpointError(
            f"{path} does not fit this version's {metadata.kind} network ({reason}); train it again"
        ) from error
    return module.to(device).eval()


def _deepest(config: object, name: str = "") -> int:
    """Largest number of layers in a network's description; every layer has a tensor."""
    if isinstance(config, dict):
        return max((_deepest(value, str(key)) for key, value in config.items()), default=0)
    repeats = name.endswith(("depth", "layers", "blocks")) and isinstance(config, int)
    return config if repeats else 0


def _checksum(metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 of all tensors and of the metadata without the checksum: safetensors files do not notice changed bits."""
    digest = hashlib.sha256(json.dumps({k: v for k, v in metadata.items() if k != CHECKSUM}, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class _WithoutRandomWeights(TorchFunctionMode):
    """Networks made in the block keep uninitialised memory where :mod:`torch.nn.init` would fill it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs.get("tensor", args[0] if args else None)
        return func(*args, **kwargs)


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether all values are finite. One that is not makes the sum so, and a sum in 64 bits takes a third of the time."""
    return bool(tensor.sum(dtype=torch.float64).isfinite()) or bool(tensor.isfinite().all())


def _kind_of(module: nn.Module) -> str:
    for kind, model in _MODELS.items():
        if type(module) is model:
            return kind
    raise ValueError(f"{type(module).__qualname__} is not registered as a model; known: {', '.join(_MODELS)}")


def _read(path: str | os.PathLike, with_tensors: bool) -> tuple[CheckpointMetadata, dict[str, torch.Tensor]]:
    if not Path(path).is_file():
        raise CheckpointError(f"there is no checkpoint {path}; train one or give another path")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()} if with_tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the checkpoint {path} is damaged ({reason}); fetch or train it again") from error
    changed = with_tensors and header.get(CHECKSUM, "") not in ("", _checksum(header, tensors))
    if header.get("format") == "emotalker" and (changed or set(header) - _KEYS):
        raise CheckpointError(f"the checkpoint {path} is damaged (its checksum differs); fetch or train it again")
    broken = next((name for name, t in tensors.items() if t.is_floating_point() and not _is_finite(t)), None)
    if broken is not None:
        raise CheckpointError(f"the checkpoint {path} has values in {broken} that are not finite; fetch or train it again")
    if header.get("format") != "emotalker":
        raise CheckpointError(f"{path} was not written by EmoTalker; give an EmoTalker checkpoint")
    if header.get("version") != str(FORMAT_VERSION):
        raise CheckpointError(
            f"{path} has checkpoint format {header.get('version')}, this version reads {FORMAT_VERSION}; update EmoTalker"
        )
    try:
        metadata = CheckpointMetadata(
            header["kind"], json.loads(header["config"]), json.loads(header["space"]), json.loads(header["extra"])
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"the description inside the checkpoint {path} is damaged; fetch or train it again") from error
    if metadata.kind not in _MODELS:
        raise CheckpointError(f"{path} contains an unknown kind of network, {metadata.kind!r}; update EmoTalker")
    return metadata, tensors
