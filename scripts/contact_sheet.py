"""Write frames of a video into one image, for visual inspection.

python scripts/contact_sheet.py --video outputs/demo.mp4 --output outputs/demo.jpg
"""

from __future__ import annotations

import argparse

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", required=True)
    parser.add_argument("--output", required=True, help="PNG or JPEG to write")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first frame (default: %(default)s)")
    parser.add_argument("--step", type=int, help="distance between two shown frames (default: whole video)")
    parser.add_argument("--width", type=int, default=256, help="of one frame, pixels (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    import numpy as np

    from emotalker.video.image import save_image
    from emotalker.video.reader import read_frames, video_info
    from emotalker.video.sheet import frame_grid

    count = args.columns * args.rows
    step = args.step or max(1, (video_info(args.video).frames - args.first) // count)
    selected = range(args.first, args.first + count * step, step)
    frames = [frame for t, frame in enumerate(read_frames(args.video)) if t in selected]
    frames += [np.zeros_like(frames[0])] * (count - len(frames))
    save_image(args.output, frame_grid(frames, args.columns, args.width))
    print(f"wrote {args.output}")


run(main)
