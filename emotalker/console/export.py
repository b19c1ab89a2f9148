"""Copy the weights of trained runs into a folder for release, with a model card.

emotalker train export --runs runs --output checkpoints/small --figures figures.md
emotalker train export --networks face_reader --output checkpoints/tracker --figures figures.md
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="folder with audio_encoder/, vqvae/, ... (default: runs)"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--figures", type=Path, help="Markdown output of an evaluation command, for the model card")
    parser.add_argument("--command", type=Path, help="text file with the training commands, for the model card")
    parser.add_argument("--networks", nargs="+", help="networks to export (default: those of the talking-video pipeline)")


def main(args: argparse.Namespace) -> None:
    """Copy the weights."""

    from emotalker.training.export import READING, TALKING, export

    names = args.networks
    if names is None:
        names = ["audio_encoder", "vqvae", "transformer", "lip"]
        # optional: the recogniser, expressions, the training loss of the lips, and the judge that the evaluation uses
        names += [name for name in ("emotion_recognizer", "expression", "sync", "sync_judge") if (args.runs / name).is_dir()]
    card = export(
        {name: args.runs / name / "best.safetensors" for name in names},
        args.output,
        args.figures.read_text() if args.figures else "",
        args.command.read_text() if args.command else "",
        READING if names == ["face_reader"] else TALKING,
    )
    print(f"wrote {args.output}: {', '.join(names)}; model card {card}")
