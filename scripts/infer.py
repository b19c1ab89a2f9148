"""Write a talking video from a voice recording and a portrait.

python scripts/infer.py --audio voice.wav --image person.jpg --output talking.mp4
"""

from __future__ import annotations

import argparse

from emotalker.core.cli import picture_size, run, seed
from emotalker.inference.options import (
    add_decoding_options,
    add_renderer_options,
    add_style_options,
    performance_from,
    renderer_from,
    style_from,
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", required=True, help="recording: any format FFmpeg reads, 0.2 s or longer")
    parser.add_argument("--image", required=True, help="portrait: an image with a face")
    parser.add_argument("--output", default="outputs/talking.mp4", help="video to write (default: %(default)s)")
    parser.add_argument("--coefficients", metavar="O.NPZ", help="also write the motion to this file")
    parser.add_argument("--write-emotion-track", metavar="E.CSV", help="also write the emotion that the face shows over time")
    parser.add_argument("--size", type=picture_size, default=512, help="width and height in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, help="of all random numbers (default: %(default)s)")
    add_style_options(parser)
    add_decoding_options(parser)
    add_renderer_options(parser)
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or downloaded once)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from emotalker import TalkingHead
    from emotalker.core.files import check_writable
    from emotalker.core.progress import progress_bar

    for path in filter(None, (args.output, args.coefficients, args.write_emotion_track)):
        check_writable(path)  # before minutes of computation
    style, performance, make_renderer = style_from(args), performance_from(args), renderer_from(args)
    with progress_bar() as progress:
        task = progress.add_task("loading", total=None)
        talking_head = TalkingHead.from_pretrained(args.checkpoints, args.device, args.landmarker)
        talking_head.make_renderer = make_renderer
        progress.update(task, description="audio to motion")
        video = talking_head.generate(
            args.audio,
            args.image,
            size=args.size,
            seed=args.seed,
            style=style,
            decoding=args.decoding,
            temperature=args.temperature,
            performance=performance,
            keep_expression=args.keep_expression,
        )
        if args.coefficients:
            video.motion.save(args.coefficients)
        if args.write_emotion_track:
            video.emotion.save(args.write_emotion_track)
        progress.update(task, description="rendering", total=len(video))
        video.save(args.output, lambda done, _: progress.update(task, completed=done))
    print(video.summary(args.output))


run(main)
