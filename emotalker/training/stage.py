"""What the training stages share: reading a composed configuration, and what a checkpoint keeps about its data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn

from emotalker.core.checkpoint import save_checkpoint
from emotalker.data import Clip
from emotalker.training.solver import OptimizerConfig, SolverConfig


def solver_config(config: dict) -> SolverConfig:
    """The solver's part of a composed configuration."""
    known = {field.name for field in fields(SolverConfig)} - {"optimizer"}
    settings = {name: value for name, value in config.items() if name in known}
    return SolverConfig(**settings, optimizer=OptimizerConfig(**config["optimizer"]))


def hide_some(emotion: Tensor, probability: float) -> Tensor:
    """Zero the emotions ``(B, E)`` of some examples at random."""
    if not probability:
        return emotion
    return emotion * (torch.rand(len(emotion), 1, device=emotion.device) >= probability)


def exporter(module: nn.Module, clips: Sequence[Clip]) -> Callable[[Path, dict], None]:
    """A solver's ``export``: the network, its space, and source and licence of its data, which the weights inherit."""
    corpora = {clip.corpus.root: clip.corpus.manifest for clip in clips}
    data = [{"source": manifest["source"], "licence": manifest["licence"]} for manifest in corpora.values()]

    def export(path: Path, facts: dict) -> None:
        extra = facts | {"data": data, "clips": len(clips)}
        save_checkpoint(path.with_suffix(".safetensors"), module, space=clips[0].corpus.space.name, extra=extra)

    return export
