"""Measure dubbing: does the lip gap follow the new voice, and is the rest of the video unchanged?

emotalker evaluate dubbing --videos a.mp4 b.mp4 --voices b.wav a.wav
"""

from __future__ import annotations

import argparse
from functools import partial

from emotalker.core.cli import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--videos", nargs="+", required=True, help="videos of speakers")
    parser.add_argument("--voices", nargs="+", required=True, help="a recording, or a video with sound, for each video")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each recording (default: %(default)s)")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    if len(args.videos) != len(args.voices):
        raise UsageError(f"{len(args.videos)} videos and {len(args.voices)} voices: give a voice for each video")

    from emotalker.evaluation.dubbing import dubbing_report
    from emotalker.inference.pipeline import TalkingHead
    from emotalker.render.warp_renderer import WarpRenderer

    talking_head = TalkingHead.from_pretrained()
    talking_head.make_renderer = partial(WarpRenderer, shading=0.0)
    print(dubbing_report(talking_head, args.videos, args.voices, args.seconds))
