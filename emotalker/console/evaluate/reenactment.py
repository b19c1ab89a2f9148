"""Renderers on held-out clips: the first frame moved by the clip's tracked motion, compared with the real frames.

emotalker evaluate reenactment ../shared/data
emotalker evaluate reenactment ../shared/data --checkpoint runs/renderer/best.safetensors --sheets outputs/reenactment
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("root", type=Path, help="folder of corpora: javanese/, grid_s1/video/, mead_style/, styletalk/video/")
    parser.add_argument("--split", choices=["train", "val", "test"], default="test")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], help="also a trained renderer; repeatable")
    parser.add_argument("--clips", type=int, default=8, help="clips of each corpus at most (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=100, help="frames of each clip at most (default: %(default)s)")
    parser.add_argument("--every", type=int, default=3, help="compare every n-th frame (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of the frames in pixels (default: %(default)s)")
    parser.add_argument("--shading", type=float, default=1.5, help="strength of the shading (default: %(default)s)")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="also write a picture of each clip's frames")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or fetched once)")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    from emotalker.core.progress import progress_bar
    from emotalker.data.face_videos import evenly, find_face_videos
    from emotalker.evaluation.reenactment import evaluate, reenactment_table
    from emotalker.face.landmarks import FaceLandmarker
    from emotalker.face.model import FaceModel
    from emotalker.render.neural_renderer import renderer_factory

    renderers = {"warp": renderer_factory("warp", shading=args.shading)}
    for path in args.checkpoint:
        renderers[str(path)] = renderer_factory("neural", path, args.shading)
    videos = evenly(find_face_videos(args.root, args.split), args.clips)
    with progress_bar() as progress:
        results = evaluate(
            progress.track(videos, description="reenacting"), renderers, FaceLandmarker(args.landmarker), FaceModel.load(),
            args.size, args.frames, args.every, args.sheets,
        )  # fmt: skip
    print(reenactment_table(results))
    print(f"\n{len(videos)} clips of {len({(v.corpus.name, v.person) for v in videos})} people, split {args.split}.")
