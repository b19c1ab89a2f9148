"""Write frames of one portrait in several emotions into one image, one row per emotion.

python scripts/emotion_sheet.py --image person.jpg --output sheet.jpg              # the demo's voice, eight emotions
python scripts/emotion_sheet.py --audio angry.wav sad.wav --output sheet.jpg       # the emotion of each recording
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", help="portrait (default: the demo's)")
    parser.add_argument("--audio", nargs="+", help="recordings, one per row; each with its own emotion")
    parser.add_argument("--output", required=True, help="image to write")
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--width", type=int, default=200, help="of one frame, pixels (default: %(default)s)")
    parser.add_argument("--intensity", type=float, default=1.0)
    parser.add_argument("--checkpoints")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    import numpy as np

    from emotalker import TalkingHead
    from emotalker.core.emotions import EMOTIONS
    from emotalker.inference.demo import DEMO_PORTRAIT, DEMO_VOICE
    from emotalker.inference.style import Style
    from emotalker.video.image import load_image, save_image
    from emotalker.video.sheet import draw_label, frame_grid

    image = load_image(args.image or DEMO_PORTRAIT)
    if args.audio:
        takes = [(Path(audio).stem, audio, Style(intensity=args.intensity)) for audio in args.audio]
    else:
        takes = [(emotion, DEMO_VOICE, Style({emotion: 1.0}, intensity=args.intensity)) for emotion in EMOTIONS]

    talking_head = TalkingHead.from_pretrained(args.checkpoints)
    rows = []
    for name, audio, style in takes:
        video = talking_head.generate(audio, image, style=style)
        selected = set(np.linspace(0.1 * len(video), 0.9 * len(video), args.columns).astype(int))
        row = frame_grid([frame for t, frame in enumerate(video) if t in selected], args.columns, args.width)
        draw_label(row, name)
        rows.append(row)
    save_image(args.output, np.concatenate(rows, 0))
    print(f"wrote {args.output}: {', '.join(name for name, _, _ in takes)}")


run(main)
