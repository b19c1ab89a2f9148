"""A voice and a portrait in, a talking video out.

python scripts/infer.py --audio voice.wav --image person.jpg --output talking.mp4
"""

from __future__ import annotations

import argparse

from emotalker.cli import amplitude, blink_rate, picture_size, positive, run, seed, share


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", required=True, help="recording: any format FFmpeg reads, 0.2 s or longer")
    parser.add_argument("--image", required=True, help="portrait: any still picture with a face")
    parser.add_argument("--output", default="outputs/talking.mp4", help="video to write (default: %(default)s)")
    parser.add_argument("--coefficients", metavar="O.NPZ", help="also keep the motion in this file")
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--decoding", choices=["continuous", "nearest", "sample"], default="sample")
    parser.add_argument("--temperature", type=positive, default=1.0, help="of sampled codes (default: %(default)s)")
    parser.add_argument(
        "--liveliness",
        type=share,
        default=0.4,
        help="of brows and head, expected (0) to drawn (1) (default: %(default)s)",
    )
    performance = parser.add_argument_group("performance (the default performs what is heard)")
    performance.add_argument("--emotion", help="override the heard emotion: happy, or a mix such as sad:0.6,angry:0.2")
    performance.add_argument("--intensity", type=amplitude, default=1.0, help="of the emotion, 0 to 2 (default: %(default)s)")
    performance.add_argument("--expression", type=amplitude, default=1.0, help="amplitude of brows, lids and cheeks")
    performance.add_argument("--head", type=amplitude, default=1.0, help="amplitude of head motion; 0 keeps it still")
    performance.add_argument("--lips", type=amplitude, default=1.0, help="amplitude of lips and jaw")
    performance.add_argument("--blinks", type=blink_rate, help="a minute (default: as predicted)")
    parser.add_argument("--size", type=picture_size, default=512, help="side of the video in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or fetched once)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from emotalker import TalkingHead
    from emotalker.files import check_writable
    from emotalker.motion.style import Style, parse_emotion
    from emotalker.progress import progress_bar

    for path in filter(None, (args.output, args.coefficients)):
        check_writable(path)  # before minutes of work, not after
    style = Style(
        emotion=parse_emotion(args.emotion) if args.emotion else None,
        intensity=args.intensity,
        expression=args.expression,
        head=args.head,
        lips=args.lips,
        blinks=args.blinks,
    )
    with progress_bar() as progress:
        task = progress.add_task("loading", total=None)
        talking_head = TalkingHead.from_pretrained(args.checkpoints, args.device, args.landmarker)
        progress.update(task, description="audio to motion")
        video = talking_head.generate(
            args.audio,
            args.image,
            size=args.size,
            seed=args.seed,
            style=style,
            decoding=args.decoding,
            temperature=args.temperature,
            liveliness=args.liveliness,
        )
        if args.coefficients:
            video.motion.save(args.coefficients)
        progress.update(task, description="rendering", total=len(video))
        video.save(args.output, lambda done, _: progress.update(task, completed=done))
    print(video.summary(args.output))


run(main)
