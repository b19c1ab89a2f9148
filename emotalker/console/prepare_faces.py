"""Prepare face crops with known blendshapes, the training data of the face reader. Files that exist are not computed again.

emotalker prepare faces synthetic --first 0 --people 900
emotalker prepare faces portraits --pictures portraits/ grid_s1/video/bbaf2n.mp4 --source "..." --licence "CC BY 4.0"
emotalker prepare faces videos --videos grid_s1/video --source "GRID (Cooke et al. 2006)" --licence "CC BY 4.0"
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    kinds = parser.add_subparsers(dest="kind", required=True)
    synthetic = kinds.add_parser("synthetic", help="random heads of the head model")
    synthetic.add_argument("--people", type=int, default=1800, help="number of people (default: %(default)s)")
    synthetic.add_argument("--first", type=int, default=0, help="number of the first person, to share the work (default: 0)")
    synthetic.add_argument(
        "--moving-fraction", type=float, default=0.5, help="of keyframes in which a part of the face moves (default: 0.5)"
    )
    portraits = kinds.add_parser("portraits", help="images, animated at random by the renderer")
    portraits.add_argument(
        "--pictures", nargs="+", type=Path, required=True, help="images, videos (their first frame is used) or folders"
    )
    videos = kinds.add_parser("videos", help="frames of real videos, labelled from their landmarks and scores")
    videos.add_argument("--videos", nargs="+", type=Path, required=True, help="files or folders")
    for kind in (portraits, videos):
        kind.add_argument("--source", required=True, help="of the files, for the model card")
        kind.add_argument("--licence", required=True, help="of the files; the trained weights inherit it")
    for name, kind in kinds.choices.items():
        kind.add_argument("--output", type=Path, default=Path("data/faces") / name, help="(default: %(default)s)")
        kind.add_argument("--landmarker", help="path of face_landmarker.task (default: found or downloaded once)")


def main(args: argparse.Namespace) -> None:
    """Prepare the face crops."""
    from emotalker.synthetic.prepare import prepare_portraits, prepare_synthetic, prepare_videos
    from emotalker.synthetic.sources import FaceSources

    sources = FaceSources(args.landmarker)
    if args.kind == "synthetic":
        count = prepare_synthetic(args.output, sources, args.people, args.first, args.moving_fraction)
    elif args.kind == "portraits":
        count = prepare_portraits(args.output, sources, args.pictures, args.source, args.licence)
    else:
        count = prepare_videos(args.output, sources, args.videos, args.source, args.licence)
    print(f"{args.output}: {count} faces added")
