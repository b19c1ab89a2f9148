"""How good is generated motion? Lips, sync, emotion and landmarks on held-out clips, as Markdown tables for a model card.

python scripts/evaluate_motion.py --grid data/grid_wds --ravdess data/ravdess --checkpoints checkpoints/small

Held out: a tenth of the GRID clips, RAVDESS actors 17-20. Corpora come from scripts/prepare_data.py, the sync expert from
scripts/train_sync.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", required=True, help="prepared GRID corpus")
    parser.add_argument("--ravdess", required=True, help="prepared RAVDESS corpus")
    parser.add_argument("--checkpoints", type=Path, help="folder of trained networks (default: the shipped ones)")
    parser.add_argument("--sync", type=Path, help="the sync expert (default: sync.safetensors among the checkpoints)")
    parser.add_argument("--clips", type=int, default=240, help="held-out clips of each corpus at most (default: %(default)s)")
    parser.add_argument("--decoding", choices=("sample", "continuous", "nearest"), default="sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the tables to this file")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from emotalker.core.checkpoint import load_checkpoint, shipped
    from emotalker.core.files import replace_on_success
    from emotalker.evaluation import report
    from emotalker.evaluation.motion import choose_clips, open_corpus, perform
    from emotalker.face.model import FaceModel
    from emotalker.inference.generator import MotionGenerator

    folder = args.checkpoints or shipped("small")
    expert = load_checkpoint(args.sync or folder / "sync.safetensors", "sync")
    generator = MotionGenerator.from_pretrained(folder)
    corpora = {"GRID": open_corpus(args.grid), "RAVDESS": open_corpus(args.ravdess)}
    held_out = {
        name: perform(
            generator, corpus, choose_clips(corpus.split("test"), args.clips), name, args.seed, decoding=args.decoding
        )
        for name, corpus in corpora.items()
    }
    text = report.write(held_out, corpora, expert, FaceModel.load())
    print(text)
    if args.output:
        with replace_on_success(args.output) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        print(f"written to {args.output}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
