"""Functions of several training stages: hiding labels, and exporting a network with its data's licences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from emotalker.core.checkpoint import save_checkpoint
from emotalker.data import Clip


def hide_some(emotion: Tensor, probability: float) -> Tensor:
    """Set the emotions ``(B, E)`` of randomly chosen examples to zero."""
    if not probability:
        return emotion
    return emotion * (torch.rand(len(emotion), 1, device=emotion.device) >= probability)


def exporter(module: nn.Module, clips: Sequence[Clip]) -> Callable[[Path, dict], None]:
    """A solver's ``export``: the network, its space, and source and licence of its data, which apply to the weights."""
    corpora = {clip.corpus.root: clip.corpus.manifest for clip in clips}
    data = [{"source": manifest["source"], "licence": manifest["licence"]} for manifest in corpora.values()]

    def export(path: Path, facts: dict) -> None:
        extra = facts | {"data": data, "clips": len(clips)}
        save_checkpoint(path.with_suffix(".safetensors"), module, space=clips[0].corpus.space.name, extra=extra)

    return export
