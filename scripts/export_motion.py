"""Convert a motion for other programs.

python scripts/export_motion.py --coefficients motion.npz --image person.jpg --output head.glb

By the output's suffix: .glb is the textured head with 52 morph targets, or the avatar of --avatar; .bvh the head's pose;
.csv a table; .npz our own format. --live-link makes the .csv that of Live Link Face.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coefficients", required=True, help="motion: .npz, .csv (ours or Live Link Face's) or .glb")
    parser.add_argument("--output", required=True, help="file to write: .glb, .bvh, .csv or .npz")
    parser.add_argument("--image", help="portrait whose head a .glb shows")
    parser.add_argument("--avatar", help="own .glb with ARKit's morph targets that is animated instead of a portrait's head")
    parser.add_argument("--audio", help="recording that is copied beside a .glb")
    parser.add_argument("--live-link", action="store_true", help="write a .csv as Live Link Face does")
    parser.add_argument("--fps", type=int, default=60, help="frames per second of Live Link (default: %(default)s)")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or downloaded once)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from emotalker.audio.io import load_audio
    from emotalker.core.files import check_outputs, replace_on_success
    from emotalker.exchange.export import export_motion, load_motion
    from emotalker.face.landmarks import FaceLandmarker
    from emotalker.face.model import FaceModel
    from emotalker.face.portrait import Portrait
    from emotalker.video.image import load_image

    copy = Path(args.output).with_suffix(Path(args.audio).suffix) if args.audio else None
    same = copy is not None and copy.exists() and copy.samefile(args.audio)  # the recording lies there already
    outputs = [(args.output, (".glb", ".bvh", ".csv", ".npz"))] + ([(copy, ())] if copy and not same else [])
    check_outputs(outputs, [args.coefficients, args.image, args.avatar, args.audio])
    motion, portrait = load_motion(args.coefficients), None
    if args.audio:
        load_audio(args.audio)
    if args.image:
        landmarker = FaceLandmarker(args.landmarker)
        portrait = Portrait.from_image(load_image(args.image), landmarker, FaceModel.load(), name=args.image)
    name = copy.name if copy else None
    path = export_motion(args.output, motion, portrait, args.avatar, name, args.live_link, args.fps)
    if copy and not same:
        with replace_on_success(copy) as temporary:
            shutil.copyfile(args.audio, temporary)
    print(f"wrote {path}: {len(motion.coefficients)} frames")


run(main)
