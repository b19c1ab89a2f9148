"""Measure control: is a replaced part found again in the rendered video, and does everything else stay equal?

python scripts/evaluate_control.py --images a.png b.jpg --references r.mp4 s.mp4 --audio voice.wav

Also measures the round trip, in which motions are rendered, encoded and tracked, and motions that begin with the
references' first frames (--driving-seconds). Without --images it measures these alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import picture_size, positive, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", default=[], help="portraits")
    parser.add_argument("--references", nargs="+", required=True, help="videos or motion files, each used with each portrait")
    parser.add_argument("--audio", required=True, help="voice of the motion whose parts are replaced")
    parser.add_argument("--seconds", type=positive, default=6.0, help="of the voice and references (default: %(default)s)")
    parser.add_argument("--driving-seconds", type=positive, default=1.0, help="given frames (default: %(default)s)")
    parser.add_argument("--size", type=picture_size, default=512, help="sides of the videos, pixels (default: %(default)s)")
    args = parser.parse_args()

    from emotalker import TalkingHead
    from emotalker.audio.io import SAMPLE_RATE, load_audio
    from emotalker.coefficients import MotionTrack
    from emotalker.core.progress import progress_bar
    from emotalker.evaluation.control import control_report, measure_control, round_trip
    from emotalker.evaluation.driving import driving_report, measure_driving
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
    scores = []
    for name, motion in references:
        frames = round(args.driving_seconds * motion.space.fps)
        given = MotionTrack(motion.coefficients[:frames], motion.space)
        scores.append(measure_driving(talking_head.generator, voice, (name, given)))
    if args.images:
        print(control_report(replacements, trips), end="\n\n")
    print(driving_report(scores))


run(main)
