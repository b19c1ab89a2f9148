"""The tracker in a closed loop: films with known motion are rendered, tracked, and compared with that motion.

emotalker evaluate tracker                                      # random faces of the head model
emotalker evaluate tracker --portraits person.jpg another.png   # photographs, moved by the renderer
"""

from __future__ import annotations

import argparse
from functools import partial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--people", type=int, default=16, help="random identities (default: %(default)s)")
    parser.add_argument("--moments", type=int, default=25, help="random moments of each film (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=360, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--portraits", nargs="+", help="move these pictures instead of synthetic heads")
    parser.add_argument("--without-reader", action="store_true", help="track synthetic faces without the face reader")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or fetched once)")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    from emotalker.evaluation.tracker import portrait_film, report, synthetic_film, track_films
    from emotalker.synthetic.reader import SyntheticFaceReader
    from emotalker.tracking import Tracker

    tracker = Tracker(args.landmarker, reader=None if args.without_reader else SyntheticFaceReader.from_pretrained())
    films = [
        partial(portrait_film, tracker, path, args.seed + n, args.moments, args.size)
        for n, path in enumerate(args.portraits or [])
    ] or [partial(synthetic_film, tracker, args.seed + n, args.moments, args.size) for n in range(args.people)]
    print(report(track_films(tracker, films, args.moments)))
