"""State dicts of other projects' networks: files that ``torch.save`` wrote, read without executing anything in them."""

from __future__ import annotations

import os
import pickle

import torch
from torch import Tensor, nn

from emotalker.core.errors import CheckpointError


def load_published(module: nn.Module, path: str | os.PathLike, ignore: tuple[str, ...] = ()) -> nn.Module:
    """Load a state dict into a network and return it in evaluation mode.

    Args:
        module: whose names are those of the published file.
        path: of the file; the dict may be inside ``state_dict``.
        ignore: beginnings of names in the file that the network does not need.

    Raises:
        CheckpointError: the file is missing, is not a state dict, or has other names or shapes.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} cannot be read as published weights ({reason}); download the file again") from error
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not all(isinstance(v, Tensor) for v in stored.values()):
        raise CheckpointError(f"{path} is not a state dict of tensors; give the published weights")
    kept = {name: value for name, value in stored.items() if not name.startswith(ignore)} if ignore else stored
    try:
        module.load_state_dict(kept)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path} does not fit {type(module).__name__} ({reason}); give the published weights"
        ) from error
    return module.eval()
