"""The renderer in a closed loop: facial actions put into photos, one at a time, and the landmarker's scores of the result.

emotalker evaluate renderer person.jpg another.png
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("portraits", nargs="+", help="pictures, best with a neutral face")
    parser.add_argument("--size", type=int, default=384, help="side of the frames in pixels (default: %(default)s)")
    parser.add_argument("--shading", type=float, default=1.5, help="strength of the shading (default: %(default)s)")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or fetched once)")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    import numpy as np

    from emotalker.evaluation.renderer import response_table, responses
    from emotalker.face.landmarks import FaceLandmarker
    from emotalker.face.model import FaceModel
    from emotalker.face.portrait import Portrait
    from emotalker.render.warp_renderer import WarpRenderer
    from emotalker.video.image import load_image

    landmarker, model = FaceLandmarker(args.landmarker), FaceModel.load()
    results = []
    for path in args.portraits:
        portrait = Portrait.from_image(load_image(path), landmarker, model, args.size, path)
        results.append(responses(WarpRenderer(portrait, shading=args.shading), landmarker))
    print(response_table(np.array(results)))
    print(f"\n{len(args.portraits)} portraits. Slope: change of the score per unit of the blendshape.")
