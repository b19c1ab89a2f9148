"""How well the emotion of a voice is heard over time: in joined pairs of clips with different emotions, and in single clips.

emotalker evaluate emotion-track --data data/ravdess_landmarks --split val
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--data", required=True, help="prepared corpus of acted emotions")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--pairs", type=int, default=40, help="joined recordings (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=120, help="single clips at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs (default: %(default)s)")
    parser.add_argument("--checkpoints", help="folder of trained networks (default: the shipped ones)")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    from emotalker.evaluation.emotion_track import report
    from emotalker.evaluation.motion import choose_clips, open_corpus
    from emotalker.inference.generator import MotionGenerator

    clips = choose_clips(open_corpus(args.data).split(args.split), args.clips)
    print(report(MotionGenerator.from_pretrained(args.checkpoints), clips, args.pairs, args.seed))
