"""Write a talking video from a portrait and a recording that are installed with the packages.

The portrait is NASA's photo of Eileen Collins (public domain) from scikit-image; the voice is synthetic (Kokoro, Apache-2.0).
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from emotalker.core.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="outputs/demo.mp4", help="video to write (default: %(default)s)")
    args = parser.parse_args()

    from skimage import data

    from emotalker import TalkingHead
    from emotalker.core.progress import progress_bar

    video = TalkingHead.from_pretrained().generate(Path(str(files("emotalker") / "assets" / "demo.flac")), data.astronaut())
    with progress_bar() as progress:
        task = progress.add_task("rendering", total=len(video))
        video.save(args.output, lambda done, total: progress.update(task, completed=done))
    print(video.summary(args.output))


run(main)
