"""Measure control: is a replaced part found again in the rendered video, and does everything else stay equal?

python scripts/evaluate_control.py --images a.png b.jpg --references r.mp4 s.mp4 --audio voice.wav

Also measures the round trip: motions are rendered, encoded and tracked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import picture_size, positive, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", required=True, help="portraits")
    parser.add_argument("--references", nargs="+", required=True, help="videos or motion files, each used with each portrait")
    parser.add_argument("--audio", required=True, help="voice of the motion whose parts are replaced")
    parser.add_argument("--seconds", type=positive, default=6.0, help="of the voice and references (default: %(default)s)")
    parser.add_argument("--size", type=picture_size, default=512, help="sides of the videos, pixels (default: %(default)s)")
    args = parser.parse_args()

    from emotalker import TalkingHead
    from emotalker.audio.io import SAMPLE_RATE, load_audio
    from emotalker.core.progress import progress_bar
    from emotalker.evaluation.control import control_report, measure_control, round_trip
    from emotalker.inference.control import load_reference
    from emotalker.tracking import Tracker
    from emotalker.video.image import load_image

    talking_head, tracker = TalkingHead.from_pretrained(), Tracker()
    voice = load_audio(args.audio)[: round(args.seconds * SAMPLE_RATE)]
    references = [(Path(path).stem, load_reference(path)) for path in args.references]
    replacements, trips = [], []
    with progress_bar() as progress:
        for path in progress.track(args.images, description="render and track"):
            image = Path(path).stem, load_image(path)
            portrait = talking_head.frame(image[1], "crop", args.size, None, None, 0.0, {}).portrait
            motion = talking_head.generator.generate(voice, portrait.reference())
            trips.append(round_trip(talking_head, tracker, image, ("generated", motion), args.size))
            for reference in references:
                replaced, whole = measure_control(talking_head, tracker, image, reference, motion, args.size)
                replacements += replaced
                trips += whole
    print(control_report(replacements, trips))


run(main)
