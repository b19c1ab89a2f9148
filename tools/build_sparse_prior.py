"""Rebuild ``emotalker/assets/sparse_prior.npz``, the prior of fits to 68 landmarks, from fully tracked corpora.

python tools/build_sparse_prior.py --corpora data/grid data/javanese

The packaged file is estimated from the training clips of GRID (CC BY 4.0) and of the Javanese videos.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", required=True, help="prepared corpora of tracked motion")
    parser.add_argument("--frames", type=int, default=6000, help="per corpus, evenly spaced (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("emotalker/assets/sparse_prior.npz"), help="(default: %(default)s)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    import numpy as np

    from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
    from emotalker.data.shards import load_clips
    from emotalker.face.sparse import project_and_fit
    from emotalker.face.sparse_prior import SparsePrior

    motion = []
    for corpus in args.corpora:
        frames = np.concatenate([clip.motion for clip in load_clips(corpus, "train", ARKIT.name, audio=False)])
        motion.append(frames[np.unique(np.linspace(0, len(frames) - 1, args.frames).round().astype(int))])
    motion = np.concatenate(motion)
    tracked = motion[:, ARKIT.expression]
    fitted = project_and_fit(motion)
    prior = SparsePrior.fit(fitted, tracked)
    prior.save(args.output)
    expected, moving = prior(fitted), tracked.std(0) > 0.02
    print(f"{'blendshape':20s} {'fitted':>8s} {'expected':>8s}   root mean square error over {len(motion)} frames")
    for i in np.flatnonzero(moving):
        before, after = (np.sqrt(np.square(a[:, i] - tracked[:, i]).mean()) for a in (fitted, expected))
        print(f"{ARKIT_BLENDSHAPES[i]:20s} {before:8.3f} {after:8.3f}")


run(main)
