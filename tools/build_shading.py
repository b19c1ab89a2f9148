"""Build emotalker/assets/shading.npz: how expressions shade skin, measured on videos of people.

python tools/build_shading.py --data ../shared/data

Takes about ten minutes on one core. The packaged file comes from the Javanese videos (test actors left out), MEAD's style
clips and StyleTalk's talkers, all for research use.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import run

SOURCE = "Javanese emotional speech (videos), MEAD style clips, StyleTalk's talkers"
LICENCE = "research use"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds javanese/, mead_style/ and styletalk/")
    parser.add_argument("--output", type=Path, default=Path("emotalker/assets/shading.npz"), help="(default: %(default)s)")
    parser.add_argument("--every", type=int, default=5, help="use every n-th frame (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from emotalker.core.progress import progress_bar
    from emotalker.core.splits import TEST_SPEAKERS
    from emotalker.face.landmarks import FaceLandmarker
    from shading_model.measure import CanonicalFace, fit_shading, read_clip

    videos = [(v, v.name[:2]) for v in sorted((args.data / "javanese").glob("*.mp4"))]
    videos = [(v, f"javanese {who}") for v, who in videos if who not in TEST_SPEAKERS["javanese"]]
    videos += [(v, f"mead {v.name[:4]}") for v in sorted((args.data / "mead_style").glob("*.mp4"))]
    videos += [(v, f"styletalk {v.name.split('_')[0]}") for v in sorted((args.data / "styletalk/video").glob("*.mp4"))]
    canonical, landmarker = CanonicalFace.of_head_model(), FaceLandmarker()
    with progress_bar() as progress:
        clips = [
            read_clip(video, person, canonical, landmarker, args.every)
            for video, person in progress.track(videos, description="measuring")
        ]
    model = fit_shading(clips, canonical, SOURCE, LICENCE)
    model.save(args.output)
    print(
        f"{args.output}: {len(model.names)} blendshapes from {sum(len(clip.scores) for clip in clips)} frames of "
        f"{len({clip.person for clip in clips})} people, {args.output.stat().st_size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    run(main)
