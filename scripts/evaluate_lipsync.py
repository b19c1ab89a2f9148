"""Lip sync of generated videos, measured by tracking them again.

On held-out GRID clips, against the real videos' tracks and the word alignments:
    python scripts/evaluate_lipsync.py --grid ../shared/data/grid_s1 --image person.jpg
On one recording of anybody, against its energy:
    python scripts/evaluate_lipsync.py --audio voice.wav --image person.jpg
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--grid", type=Path, help="folder of a GRID speaker: motion.npz, words.tsv, audio/")
    source.add_argument("--audio", nargs="+", help="recordings of anybody")
    parser.add_argument("--image", required=True, help="portrait to animate")
    parser.add_argument("--clips", type=int, default=10, help="held-out clips to take (default: %(default)s)")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--checkpoints")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    import numpy as np

    from emotalker import TalkingHead
    from emotalker.coefficients import ARKIT
    from emotalker.evaluation import lipsync

    talking_head = TalkingHead.from_pretrained(args.checkpoints)

    def talk(audio: str | Path) -> tuple[lipsync.MouthTrack, np.ndarray]:
        video = talking_head.generate(audio, args.image, size=args.size)
        return lipsync.track_mouth(video, talking_head.landmarker), video.audio

    if args.audio:
        for audio in args.audio:
            mouth, samples = talk(audio)
            energy = lipsync.log_energy(samples, len(mouth.jaw_open))
            by_jaw, by_gap = (lipsync.correlation(m, energy) for m in (mouth.jaw_open, mouth.lip_gap))
            print(f"{Path(audio).name}: correlation with log energy: jawOpen {by_jaw:.3f}, lip gap {by_gap:.3f}")
        return

    from emotalker.core.splits import split_of_name
    from emotalker.data.readers.grid import Tracks

    tracks = Tracks.load(args.grid / "motion.npz")
    with open(args.grid / "words.tsv") as file:
        words = list(csv.DictReader(file, delimiter="\t"))
    held_out = [name for name in tracks.names if split_of_name(name) == "test"][: args.clips]
    jaw, gap, closures, real_closures = [], [], [], []
    for name in held_out:
        mouth, _ = talk(args.grid / "audio" / f"{name}.opus")
        clip = tracks.names.index(name)
        real_gap = lipsync.stored_lip_gap(tracks.landmarks[clip], tracks.landmark_index)
        jaw.append(lipsync.correlation(mouth.jaw_open, tracks.scores[clip, :, ARKIT.index("jawOpen")]))
        gap.append(lipsync.correlation(mouth.lip_gap, real_gap))
        starts = [float(w["start_s"]) for w in words if w["clip"] == name and w["word"] in lipsync.BILABIAL_WORDS]
        closures += [lipsync.closure_ratio(mouth.lip_gap, start) for start in starts]
        real_closures += [lipsync.closure_ratio(real_gap, start) for start in starts]
        print(f"{name}: jawOpen r = {jaw[-1]:.3f}, lip gap r = {gap[-1]:.3f}")
    print(f"jawOpen, generated against real, zero lag: mean r = {np.nanmean(jaw):.3f} over {len(jaw)} held-out clips")
    print(f"lip gap, generated against real, zero lag: mean r = {np.nanmean(gap):.3f}")
    for label, ratios in (("generated", closures), ("real", real_closures)):
        closed = f"below 0.25 in {np.mean(np.array(ratios) < 0.25):.0%} of {len(ratios)}"
        print(f"lips at b, p, m, {label}: gap {np.nanmean(ratios):.3f} of the clip's range, {closed}")


run(main)
