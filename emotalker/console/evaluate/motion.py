"""Measure generated motion against real motion: lips, sync, emotion and landmarks, as Markdown tables for a model card.

emotalker evaluate motion --grid data/grid --ravdess data/ravdess_landmarks
emotalker evaluate motion --grid data/grid --ravdess data/ravdess_landmarks --ablation     # one row for each step off

Clips are those of emotalker/core/splits.py: test for results, val for choosing constants. Corpora are prepared by
scripts/prepare_data.py, the sync judge is trained by scripts/train_sync_judge.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--grid", required=True, help="prepared GRID corpus")
    parser.add_argument("--ravdess", required=True, help="prepared RAVDESS corpus")
    parser.add_argument("--checkpoints", type=Path, help="folder of trained networks (default: the shipped ones)")
    parser.add_argument("--judge", type=Path, help="folder of the sync judge and its audio encoder (default: shipped)")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--ablation", action="store_true", help="switch the performance steps off, one at a time and all")
    parser.add_argument("--clips", type=int, help="clips of each corpus at most (default: 240; 64 with --ablation)")
    parser.add_argument("--decoding", choices=("sample", "continuous", "nearest"), default="sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the tables to this file")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    from emotalker.core.checkpoint import load_checkpoint, shipped
    from emotalker.core.files import replace_on_success
    from emotalker.evaluation import ablation, report
    from emotalker.evaluation.motion import choose_clips, open_corpus
    from emotalker.evaluation.sync import SyncMeter
    from emotalker.inference.generator import MotionGenerator

    folder = args.judge or shipped("small")
    meter = SyncMeter(*(load_checkpoint(folder / f"{kind}.safetensors", kind) for kind in ("sync_judge", "audio_encoder")))
    generator = MotionGenerator.from_pretrained(args.checkpoints)
    corpora = {"GRID": open_corpus(args.grid), "RAVDESS": open_corpus(args.ravdess)}
    limit = args.clips or (64 if args.ablation else 240)
    clips = {name: choose_clips(corpus.split(args.split), limit) for name, corpus in corpora.items()}
    if args.ablation:
        text = ablation.report(generator, clips, corpora, meter, args.seed)
    else:
        text = report.measure(generator, clips, corpora, meter, args.split, args.seed, args.decoding)
    print(text)
    if args.output:
        with replace_on_success(args.output) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        print(f"written to {args.output}", file=sys.stderr)
