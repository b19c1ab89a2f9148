"""Write a sheet of frames for each portrait: speaking with the head turned to the limits, one row for each recording.

python scripts/gallery.py --images a.jpg b.png --audio angry.wav sad.wav --output outputs/gallery
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import picture_size, run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", required=True, help="portraits")
    parser.add_argument("--audio", nargs="+", required=True, help="recordings, one per row")
    parser.add_argument("--output", type=Path, required=True, help="folder of the sheets, <portrait>-<framing>.png")
    parser.add_argument("--framing", nargs="+", choices=["crop", "full"], default=["crop"], help="one sheet for each")
    parser.add_argument("--size", type=picture_size, default=512, help="of the frames, pixels (default: %(default)s)")
    parser.add_argument("--width", type=int, default=256, help="of one frame in the sheet, pixels (default: %(default)s)")
    parser.add_argument("--checkpoints")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from emotalker import TalkingHead
    from emotalker.evaluation.gallery import portrait_sheet
    from emotalker.video.image import save_image

    talking_head = TalkingHead.from_pretrained(args.checkpoints)
    args.output.mkdir(parents=True, exist_ok=True)
    for image in args.images:
        for framing in args.framing:
            sheet = portrait_sheet(talking_head, image, args.audio, args.width, framing=framing, size=args.size)
            print(f"wrote {save_image(args.output / f'{Path(image).stem}-{framing}.png', sheet)}")


run(main)
