"""Prepare training data of a neural renderer: clips reenacted from their first frame. Files that exist are kept.

emotalker prepare renderer-frames ../shared/data
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("root", type=Path, help="folder of corpora: javanese/, grid_s1/video/, mead_style/, styletalk/video/")
    parser.add_argument("--output", type=Path, default=Path("data/renderer"), help="(default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=16, help="frames of each clip (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=120, help="frames read of a clip at most (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=120, help="clips of a corpus and split at most (default: %(default)s)")
    parser.add_argument("--shading", type=float, default=1.5, help="strength of the warp's shading (default: %(default)s)")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or fetched once)")


def main(args: argparse.Namespace) -> None:
    """Prepare the clips."""
    from functools import partial

    from emotalker.core.progress import progress_bar
    from emotalker.data.face_videos import evenly, find_face_videos
    from emotalker.data.renderer_frames import prepare_clips
    from emotalker.face.landmarks import FaceLandmarker
    from emotalker.render.warp_renderer import WarpRenderer

    videos = [video for split in ("val", "train") for video in evenly(find_face_videos(args.root, split), args.clips)]
    warp = partial(WarpRenderer, shading=args.shading)
    with progress_bar() as progress:
        count, failures = prepare_clips(
            args.output, progress.track(videos, description="preparing"), FaceLandmarker(args.landmarker), warp, args.size,
            args.frames, args.limit,
        )  # fmt: skip
    for failure in failures:
        print(f"left out: {failure}")
    print(f"{args.output}: {count} frames added")
