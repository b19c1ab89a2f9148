"""Prepare single faces with known blendshapes, to train the face reader on. Faces already there are not made again.

python scripts/prepare_faces.py synthetic --first 0 --people 900
python scripts/prepare_faces.py portraits --pictures portraits/ grid_s1/video/bbaf2n.mp4 --source "..." --licence "CC BY 4.0"
python scripts/prepare_faces.py videos --videos grid_s1/video --source "GRID (Cooke et al. 2006)" --licence "CC BY 4.0"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import run

PEOPLE_PER_FILE = 25
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
SYNTHETIC = {"source": "faces rendered with EmoTalker's own head model", "licence": "CC0", "synthetic": True}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    synthetic = kinds.add_parser("synthetic", help="random heads of the head model")
    synthetic.add_argument("--people", type=int, default=1800, help="(default: %(default)s)")
    synthetic.add_argument("--first", type=int, default=0, help="number of the first, to share the work (default: 0)")
    synthetic.add_argument(
        "--moving-fraction", type=float, default=0.5, help="of moments in which a part of a face moves (default: 0.5)"
    )
    portraits = kinds.add_parser("portraits", help="pictures, moved at random by the renderer")
    portraits.add_argument(
        "--pictures", nargs="+", type=Path, required=True, help="files (of videos the first frame) or folders"
    )
    videos = kinds.add_parser("videos", help="frames of real videos, labelled by their landmarks and scores")
    videos.add_argument("--videos", nargs="+", type=Path, required=True, help="files or folders")
    for kind in (portraits, videos):
        kind.add_argument("--source", required=True, help="where they come from, for the model card")
        kind.add_argument("--licence", required=True, help="theirs; the trained weights inherit it")
    for name, kind in kinds.choices.items():
        kind.add_argument("--output", type=Path, default=Path("data/faces") / name, help="(default: %(default)s)")
        kind.add_argument("--landmarker", help="path of face_landmarker.task (default: found or fetched once)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    import json

    from emotalker.core.files import replace_on_success
    from emotalker.core.progress import progress_bar
    from emotalker.data.readers.base import VIDEO_SUFFIXES
    from emotalker.synthetic.dataset import HEADER, save_faces
    from emotalker.synthetic.sources import FaceSources
    from emotalker.video.frames import timed_frames
    from emotalker.video.image import load_image

    def files(paths: list[Path], suffixes: set[str]) -> list[Path]:
        found = []
        for path in paths:
            inside = sorted(path.iterdir()) if path.is_dir() else None
            found += [path] if inside is None else [file for file in inside if file.suffix.lower() in suffixes]
        return found

    sources = FaceSources(args.landmarker)
    if args.kind == "synthetic":
        numbers = range(args.first, args.first + args.people)
        jobs = [numbers[i : i + PEOPLE_PER_FILE] for i in range(0, len(numbers), PEOPLE_PER_FILE)]
        header = SYNTHETIC
    else:
        pictures = args.kind == "portraits"
        inputs = (
            files(args.pictures, {*VIDEO_SUFFIXES, *PICTURE_SUFFIXES}) if pictures else files(args.videos, VIDEO_SUFFIXES)
        )
        jobs = [[number] for number in range(len(inputs))]
        header = {"source": args.source, "licence": args.licence, "synthetic": False}

    def faces(number: int) -> list[dict]:
        if args.kind == "synthetic":
            return sources.synthetic(number, args.moving_fraction)
        if args.kind == "videos":
            return sources.video(inputs[number], number)
        path = inputs[number]
        is_video = path.suffix.lower() in VIDEO_SUFFIXES
        image = next(iter(timed_frames(path)))[2] if is_video else load_image(path)
        return sources.portrait(image, number, str(path))

    args.output.mkdir(parents=True, exist_ok=True)
    with replace_on_success(args.output / HEADER) as temporary:
        temporary.write_text(json.dumps(header))
    count = 0
    with progress_bar() as progress:
        for job in progress.track(jobs, description=args.kind):
            path = args.output / f"{job[-1]:06d}.npz"
            if path.exists():
                continue
            cuts = [cut for number in job for cut in faces(number)]
            if cuts:
                save_faces(path, cuts)
            count += len(cuts)
    print(f"{args.output}: {count} faces more")


run(main)
