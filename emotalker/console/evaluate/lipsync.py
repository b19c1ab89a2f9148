"""Lip sync of generated videos, measured by tracking them.

GRID clips of the test split, against the real videos' tracks and the word alignments:
    emotalker evaluate lipsync --grid ../shared/data/grid_s1 --image person.jpg
Any recordings, against their energy:
    emotalker evaluate lipsync --audio voice.wav --image person.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--grid", type=Path, help="folder of a GRID speaker: motion.npz, words.tsv, audio/")
    source.add_argument("--audio", nargs="+", help="any recordings")
    parser.add_argument("--image", required=True, help="portrait to animate")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="of GRID (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=10, help="GRID clips (default: %(default)s)")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0, help="of the random instants (default: %(default)s)")
    parser.add_argument("--checkpoints")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    import numpy as np

    from emotalker.evaluation import lipsync
    from emotalker.inference.pipeline import TalkingHead

    talking_head = TalkingHead.from_pretrained(args.checkpoints)

    def talk(audio: str | Path) -> tuple[lipsync.MouthTrack, np.ndarray]:
        video = talking_head.generate(audio, args.image, size=args.size)
        return lipsync.track_mouth(video, talking_head.landmarker), video.audio

    if args.audio:
        print(lipsync.energy_table({Path(audio).name: talk(audio) for audio in args.audio}))
        return
    clips = lipsync.grid_clips(args.grid, args.split, args.clips)
    print(lipsync.compare(clips, lambda audio: talk(audio)[0], args.seed))
