"""Time of generating a video, stage by stage, models loaded, beside the encoder alone and the memory's bandwidth.

python scripts/benchmark.py --seconds 60 --audio voice.wav --image person.jpg
python scripts/benchmark.py --load            # once more beside another busy process
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", help="recording (default: the demo's), repeated or cut to --seconds")
    parser.add_argument("--image", help="portrait (default: the demo's, from scikit-image)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of audio (default: %(default)s)")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2, help="of torch and OpenCV (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="the fastest counts (default: %(default)s)")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="+",
        help="instead: time and memory of the motion of recordings of these lengths",
    )
    parser.add_argument("--load", action="store_true", help="measure once more beside another busy process")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--checkpoints")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from contextlib import nullcontext
    from importlib.resources import files

    import cv2
    import numpy as np
    import torch

    from emotalker import TalkingHead
    from emotalker.audio.io import SAMPLE_RATE, load_audio
    from emotalker.evaluation.benchmark import busy_process, time_stages, time_start_up
    from emotalker.video.image import load_image

    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    samples = load_audio(args.audio or Path(str(files("emotalker") / "assets" / "demo.flac")))
    if args.minutes:
        from emotalker.evaluation.long_recordings import long_recordings_table, measure_long_recordings
        from emotalker.inference.generator import MotionGenerator

        generator = MotionGenerator.from_pretrained(args.checkpoints, args.device)
        print(long_recordings_table(measure_long_recordings(generator, samples, args.minutes)))
        return
    samples = np.resize(samples, round(args.seconds * SAMPLE_RATE))
    if args.image:
        image = load_image(args.image)
    else:
        from skimage import data

        image = data.astronaut()
    talking_head = TalkingHead.from_pretrained(args.checkpoints, args.device)
    for beside in [nullcontext, busy_process] if args.load else [nullcontext]:
        with beside():
            print("beside another busy process" if beside is busy_process else f"alone, {args.threads} threads")
            print(time_start_up(args.checkpoints, args.runs))
            print(time_stages(talking_head, samples, image, args.size, args.runs))


if __name__ == "__main__":
    run(main)
