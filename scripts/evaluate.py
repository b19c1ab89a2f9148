"""Score talking videos, of this project or of any other system, as a sheet, CSV files and tables.

Generated against real videos, paired by file name:
    python scripts/evaluate.py --generated videos/ --reference real/
Only what needs no real videos:
    python scripts/evaluate.py --generated videos/
A protocol on a corpus on disk: our videos are generated, then scored:
    python scripts/evaluate.py --protocol mead_table3 --root /data/MEAD
Another system's videos of the same clips, named by the ids that --list-clips prints:
    python scripts/evaluate.py --protocol mead_table3 --root /data/MEAD --system theirs=/videos/theirs
Vertices of a prepared corpus, for comparison with speech-to-blendshape systems:
    python scripts/evaluate.py --protocol vertices --root data/ravdess_landmarks --samples 10

The same command again goes on where it was interrupted. Measures that need weights run where these are given.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", type=Path, metavar="DIR", help="folder of generated videos")
    parser.add_argument("--reference", type=Path, nargs="+", default=[], metavar="DIR", help="folders of real videos")
    parser.add_argument("--id", metavar="REGEX", help="common part of the names of generated and real videos")
    parser.add_argument("--protocol", metavar="NAME", help="of configs/protocol/, or vertices")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the corpus of the protocol")
    parser.add_argument("--system", action="append", default=[], metavar="[NAME=]DIR", help="other videos of its clips")
    parser.add_argument("--list", type=Path, metavar="FILE", help="ids of the protocol's clips, one a line")
    parser.add_argument("--list-clips", action="store_true", help="print the ids of the protocol's clips and stop")
    parser.add_argument("--clips", type=int, help="clips at most, evenly spread over people and emotions")
    parser.add_argument(
        "--drive", choices=("audio", "audio+video", "video"), help="what moves our videos (default: protocol's)"
    )
    parser.add_argument("--samples", type=int, default=1, help="videos or motions of each clip (default: %(default)s)")
    parser.add_argument("--no-still", dest="still", action="store_false", help="leave the still picture out of the tables")
    parser.add_argument("--checkpoints", help="folder of trained networks (default: the shipped ones)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("outputs/evaluation"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="compare pictures of every n-th frame (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=1500, help="of a clip at most (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="of the frames in pixels (default: %(default)s)")
    parser.add_argument("--crop", choices=("auto", "face", "whole"), default="auto", help="auto: squares are taken whole")
    parser.add_argument(
        "--measures", nargs="+", metavar="GROUP", help="image landmarks emotion sync motion diversity identity"
    )
    parser.add_argument("--classifier", action="append", default=[], metavar="FILE.py:FUNCTION", help="of expressions, too")
    parser.add_argument("--syncnet", default="", help="syncnet_v2.model, for LSE-C and LSE-D")
    parser.add_argument("--inception", default="", help="pt_inception-2015-12-05-6726825d.pth, for FID")
    parser.add_argument("--alexnet", default="", help="torchvision's alexnet weights, for LPIPS, with --lpips")
    parser.add_argument("--lpips", default="", help="alex.pth of the package lpips")
    parser.add_argument("--judge", default="", help="folder of the sync judge and its audio encoder (default: shipped)")
    args = parser.parse_args()
    if bool(args.generated) == bool(args.protocol):
        parser.error("give --generated, or --protocol with --root")
    if args.protocol and not args.root:
        parser.error("--protocol needs --root, the folder of the corpus")
    return args


def main() -> None:
    args = parse_arguments()

    from emotalker.evaluation import evaluate

    options = evaluate.score_options(
        args.measures, args.classifier, args.syncnet, args.inception, args.alexnet, args.lpips, args.size, args.crop,
        args.every, args.frames, args.judge,
    )  # fmt: skip
    if args.generated:
        text = evaluate.folders(args.generated, args.reference, args.id, options, args.output, args.workers)
    elif args.protocol == "vertices":
        from emotalker.evaluation.vertex_protocol import vertex_report

        text = vertex_report(args.root, args.clips, args.samples, args.checkpoints, args.seed, args.output)
    else:
        from emotalker.evaluation.protocol_run import run_protocol
        from emotalker.evaluation.protocols import list_clips, load_protocol

        protocol = load_protocol(args.protocol, args.root, args.list, args.clips, args.drive)
        if args.list_clips:
            print("\n".join(clip.id for clip in list_clips(protocol)))
            return
        text = run_protocol(
            protocol, args.system, options, args.output / args.protocol, args.workers, args.still, args.samples,
            args.checkpoints, args.seed,
        )  # fmt: skip
    print(text)
    print(f"written to {args.output}", file=sys.stderr)


if __name__ == "__main__":  # workers import this file
    run(main)
