"""A portrait that talks while you speak: microphone or pipe in, window, pipe or virtual camera out.

emotalker stream --image person.jpg                                            # microphone to a window
ffmpeg -i voice.wav -f s16le -ac 1 -ar 16000 - | emotalker stream --image person.jpg --from stdin --to mpegts | ffplay -
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

from emotalker.core.cli import UsageError, device, picture_size, seed
from emotalker.inference.options import add_decoding_options, add_style_options, performance_from, style_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--image", required=True, help="portrait: an image with a face")
    parser.add_argument("--from", dest="source", choices=["microphone", "stdin"], default="microphone", help="of the voice")
    parser.add_argument(
        "--rate", type=int, default=16000, help="samples a second, raw 16-bit mono on stdin (default: %(default)s)"
    )
    parser.add_argument("--device-in", metavar="N", help="microphone: number or name (python -m sounddevice lists them)")
    parser.add_argument(
        "--to",
        choices=["window", "mpegts", "raw", "camera"],
        default="window",
        help="mpegts: H.264 and AAC on stdout; raw: RGB frames on stdout; camera: for video calls (default: %(default)s)",
    )
    parser.add_argument(
        "--look-ahead", type=float, default=0.1, help="seconds of sound after a frame to wait for (default: 0.1)"
    )
    parser.add_argument("--size", type=picture_size, default=512, help="width and height in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, help="of all random numbers (default: %(default)s)")
    add_style_options(parser)
    add_decoding_options(parser)
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--device", type=device, default="cpu", help="cpu, cuda or mps (default: %(default)s)")


def main(args: argparse.Namespace) -> None:
    """Show or send frames until the voice ends, the window is closed or the command is interrupted."""
    if args.json and args.to in ("mpegts", "raw"):
        raise UsageError("--json and the frames cannot both go to stdout; leave one out")

    from contextlib import nullcontext

    from emotalker.audio.chunks import microphone, pcm_chunks
    from emotalker.audio.io import SAMPLE_RATE
    from emotalker.inference.pipeline import TalkingHead
    from emotalker.render.warp_renderer import WarpRenderer
    from emotalker.video.live import output, paced

    talking_head = TalkingHead.from_pretrained(args.checkpoints, args.device)
    talking_head.make_renderer = partial(WarpRenderer, shading=args.shading)
    stream = talking_head.stream(
        args.image,
        sample_rate=args.rate,
        size=args.size,
        keep_expression=args.keep_expression,
        seed=args.seed,
        style=style_from(args),
        decoding=args.decoding,
        temperature=args.temperature,
        performance=performance_from(args),
        look_ahead=args.look_ahead,
    )
    name = int(args.device_in) if (args.device_in or "").isdigit() else args.device_in
    source = nullcontext(pcm_chunks(sys.stdin.buffer, args.rate)) if args.source == "stdin" else microphone(args.rate, name)
    with output(args.to, sys.stdout.buffer, stream.size, stream.fps, SAMPLE_RATE) as show, source as chunks:
        print(f"ready; frames follow the voice by {stream.latency:.2f} s and the time of computation", file=sys.stderr)
        try:
            for image, audio in paced(stream.frames(chunks), stream.fps):
                if not show(image, audio):
                    break
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
    if args.to in ("mpegts", "raw"):
        # what a reader that has left did not take would fail once more when Python closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
