"""Measure the mean motion that the trained networks generate for neutral speech, the last training stage; about a minute.

emotalker train expression --data data/ravdess_landmarks --runs runs --output runs/expression/best.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--data", required=True, help="prepared corpus with neutral speech")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder with the other runs (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="file to write (default: expression/best.safetensors in --runs)")


def main(args: argparse.Namespace) -> None:
    """Measure and write the expressions."""
    from emotalker.core.checkpoint import load_checkpoint
    from emotalker.data.shards import load_clips
    from emotalker.inference.generator import MotionGenerator
    from emotalker.training.expression import fit
    from emotalker.training.stage import exporter

    stages = ("audio_encoder", "transformer", "vqvae", "lip")
    generator = MotionGenerator(*(load_checkpoint(args.runs / s / "best.safetensors", s) for s in stages))
    clips = load_clips(args.data, "train", generator.space.name)
    path = args.output or args.runs / "expression" / "best.safetensors"
    exporter(fit(generator, clips), clips)(path, {})
    print(f"wrote {path}: {len(clips)} clips of {args.data}")
