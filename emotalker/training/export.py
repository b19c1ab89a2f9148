"""Export of trained runs to a folder for distribution: half precision, and a model card with data and licences."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import emotalker.models
import emotalker.synthetic.reader  # noqa: F401, both register the networks that checkpoints hold
from emotalker.core.checkpoint import CheckpointMetadata, load_checkpoint, read_metadata, save_checkpoint
from emotalker.core.files import replace_on_success

#: From the least to the most restrictive; weights inherit the most restrictive licence of their data.
_LICENCES = ("CC0", "MIT", "Apache-2.0", "CC BY 4.0", "CC BY-SA 4.0", "research", "CC BY-NC 4.0", "CC BY-NC-SA 4.0")

#: Intended uses of weights.
TALKING = "Talking portraits of people who agreed to it. Not for passing a video off as a recording."
READING = "Tracking the faces of people who agreed to it. Not for identifying people or inferring what they feel."


def strictest(licences: list[str]) -> str:
    """The most restrictive of some licences; an unknown licence counts as the most restrictive."""
    unknown = [licence for licence in licences if not licence.startswith(_LICENCES)]
    if unknown:
        return unknown[0]
    rank = {licence: max(i for i, known in enumerate(_LICENCES) if licence.startswith(known)) for licence in licences}
    return max(rank, key=rank.__getitem__)


def export(
    runs: Mapping[str, str | os.PathLike],
    folder: str | os.PathLike,
    figures: str = "",
    command: str = "",
    purpose: str = TALKING,
) -> Path:
    """Copy trained networks into ``folder`` and write its ``README.md``.

    Args:
        runs: file name without suffix to the checkpoint of a run.
        folder: to write.
        figures: results in Markdown, as an evaluation command prints them.
        command: shell command that trains these weights.
        purpose: intended use.

    Returns:
        Path of the model card.

    Raises:
        CheckpointError: a run's checkpoint is missing or damaged.
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    kept: dict[str, CheckpointMetadata] = {}
    for name, path in runs.items():
        kept[name] = read_metadata(path)
        save_checkpoint(
            folder / f"{name}.safetensors", load_checkpoint(path), space=kept[name].space, extra=kept[name].extra, half=True
        )
    card = folder / "README.md"
    with replace_on_success(card) as temporary:
        temporary.write_text(model_card(folder, kept, figures, command, purpose), encoding="utf-8")
    return card


def model_card(
    folder: Path, networks: Mapping[str, CheckpointMetadata], figures: str, command: str, purpose: str = TALKING
) -> str:
    """The Markdown of a model card from the metadata of the checkpoints."""
    data = {(d["source"], d["licence"]) for m in networks.values() for d in m.extra.get("data", [])}
    licence = strictest([licence for _, licence in data]) if data else "unknown: the checkpoints name no data"
    lines = [
        f"# EmoTalker weights: {folder.name}",
        "",
        f"Licence of these weights: **{licence}**, the most restrictive of their training data.",
        "",
        "| file | network | size (MB) | steps | validation metrics |",
        "|---|---|---|---|---|",
    ]
    for name, metadata in networks.items():
        size = (folder / f"{name}.safetensors").stat().st_size / 1e6
        scores = ", ".join(f"{k} {v:.3g}" for k, v in metadata.extra.get("validation", {}).items())
        lines.append(f"| `{name}.safetensors` | {metadata.kind} | {size:.1f} | {metadata.extra.get('step', '')} | {scores} |")
    lines += ["", "## Data", "", "| source | licence |", "|---|---|", *(f"| {s} | {n} |" for s, n in sorted(data)), ""]
    if command:
        lines += ["## Training command", "", "```bash", command.strip(), "```", ""]
    if figures:
        lines += ["## Results", "", figures.strip(), ""]
    lines += [
        "## Intended use",
        "",
        purpose,
        "",
    ]
    return "\n".join(lines)
