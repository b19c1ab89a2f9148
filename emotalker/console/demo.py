"""Write a talking video from the portrait and the voice that come with EmoTalker.

emotalker demo
emotalker demo --emotions --plot emotions.png     # the voice in six emotions side by side

The portrait is NASA's photo of Eileen Collins (public domain); the voice is synthetic (Kokoro-82M, Apache-2.0).
"""

from __future__ import annotations

import argparse
import time

from emotalker.core.cli import Outcome, amplitude, picture_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--output", help="video to write (default: outputs/demo.mp4, with --emotions outputs/emotions.mp4)")
    parser.add_argument("--image", help="another portrait")
    parser.add_argument("--audio", help="another recording")
    parser.add_argument("--emotions", action="store_true", help="six emotions side by side")
    parser.add_argument("--intensity", type=amplitude, default=1.0, help="of the emotion, 0 to 3 (default: %(default)s)")
    parser.add_argument("--size", type=picture_size, help="side of a picture, pixels (default: 512; of a panel: 384)")
    parser.add_argument("--plot", metavar="P.PNG", help="also draw the motion")


def main(args: argparse.Namespace) -> Outcome:
    """Write the video."""
    from emotalker.core.files import check_outputs
    from emotalker.core.progress import shown_progress
    from emotalker.inference.demo import DEMO_PORTRAIT, DEMO_VOICE
    from emotalker.inference.motion_plot import check_plotting, save_comparison_plot, save_motion_plot
    from emotalker.inference.pipeline import TalkingHead

    started = time.perf_counter()
    output = args.output or f"outputs/{'emotions' if args.emotions else 'demo'}.mp4"
    image, audio = args.image or DEMO_PORTRAIT, args.audio or DEMO_VOICE
    check_outputs([(path, ()) for path in (output, args.plot) if path], [image, audio])
    if args.plot:
        check_plotting()
    with shown_progress(args.quiet or args.json) as tell:
        tell("loading", 0, None)
        talking_head = TalkingHead.from_pretrained()
        if args.emotions:
            from emotalker.inference.comparison import compare_emotions

            options = {"intensity": args.intensity, "size": args.size or 384, "on_progress": tell}
            video = compare_emotions(talking_head, audio, image, **options)
            if args.plot:
                motions = {label: panel.motion for label, panel in zip(video.labels, video.panels, strict=True)}
                save_comparison_plot(args.plot, motions)
            fps, values = video.panels[0].fps, {"panels": list(video.labels)}
        else:
            video = talking_head.generate(audio, image, intensity=args.intensity, size=args.size, on_progress=tell)
            if args.plot:
                save_motion_plot(args.plot, video.motion, video.audio, video.emotion)
            fps, values = video.fps, {}
        video.save(output, lambda done, total: tell("rendering", done, total))
    seconds = time.perf_counter() - started
    text = f"wrote {output}: {len(video)} frames, {len(video) / fps:.1f} s of video in {seconds:.1f} s"
    plot = {"plot": args.plot} if args.plot else {}
    return Outcome(text, {"output": output, "frames": len(video), "fps": fps, "seconds": round(seconds, 3), **values, **plot})
