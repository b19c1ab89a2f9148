"""The tracker in a closed loop: films with known motion are rendered, tracked, and compared with that motion.

python scripts/evaluate_tracker.py                                      # random faces of the head model
python scripts/evaluate_tracker.py --portraits person.jpg another.png   # photographs, moved by the renderer
"""

from __future__ import annotations

import argparse
from functools import partial

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=16, help="random identities (default: %(default)s)")
    parser.add_argument("--moments", type=int, default=25, help="random moments of each film (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=360, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--portraits", nargs="+", help="move these pictures instead of synthetic heads")
    parser.add_argument("--without-reader", action="store_true", help="track synthetic faces without the face reader")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or fetched once)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from emotalker.evaluation.tracker import portrait_film, report, synthetic_film, track_films
    from emotalker.synthetic.reader import SyntheticFaceReader
    from emotalker.tracking import Tracker

    tracker = Tracker(args.landmarker, reader=None if args.without_reader else SyntheticFaceReader.from_pretrained())
    films = [
        partial(portrait_film, tracker, path, args.seed + n, args.moments, args.size)
        for n, path in enumerate(args.portraits or [])
    ] or [partial(synthetic_film, tracker, args.seed + n, args.moments, args.size) for n in range(args.people)]
    print(report(track_films(tracker, films, args.moments)))


if __name__ == "__main__":
    run(main)
