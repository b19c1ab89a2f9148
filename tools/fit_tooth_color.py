"""Measure how the colour of visible teeth follows skin and sclera: the constants of emotalker/render/mouth_light.py.

python tools/fit_tooth_color.py --data ../shared/data portrait.jpg

Of each person of the Javanese, MEAD and StyleTalk videos, the frame with the most visible teeth is used. Frames whose mouth
shows no teeth are left out: the brightest fifth between the lips is hardly brighter than skin or as red.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="*", help="pictures of people who show their teeth")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds javanese/, mead_style/ and styletalk/")
    parser.add_argument("--every", type=int, default=12, help="use every n-th of the first 120 frames (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from itertools import islice

    import numpy as np

    from emotalker.coefficients import ARKIT
    from emotalker.face.crop import Crop
    from emotalker.face.landmarks import FaceLandmarker
    from emotalker.render.mouth_light import sclera_color, skin_color, teeth_color
    from emotalker.video.image import load_image
    from emotalker.video.reader import read_frames

    landmarker = FaceLandmarker()
    shown = ARKIT.indices(["mouthUpperUpLeft", "mouthSmileLeft"])
    videos = [(v, f"javanese {v.name[:2]}") for v in sorted((args.data / "javanese").glob("*-0[34]_01.mp4"))[::2]]
    videos += [(v, f"mead {v.name[:4]}") for v in sorted((args.data / "mead_style").glob("*.mp4"))]
    videos += [(v, v.stem) for v in sorted((args.data / "styletalk/video").glob("*.mp4"))]
    best: dict[str, tuple[float, np.ndarray]] = {}
    for source, person in [*videos, *((p, p.stem) for p in args.pictures)]:
        frames = [load_image(source)] if source in args.pictures else islice(read_frames(source), 0, 120, args.every)
        for frame in frames:
            faces = landmarker.detect(np.ascontiguousarray(frame))
            in_crop = faces and landmarker.detect(
                crop := Crop.around_head(faces[0].points[:, :2], *frame.shape[1::-1], 512).take(frame)
            )
            if not in_crop:
                continue
            points = in_crop[0].points[:, :2].astype(np.float64)
            teeth, sclera = teeth_color(crop, points), sclera_color(crop, points)
            score = in_crop[0].scores[shown].sum()
            if teeth is not None and sclera is not None and score > best.get(person, (-1.0,))[0]:
                best[person] = score, np.log(np.stack([skin_color(crop, points), sclera, teeth]) + 1)
    logs = {person: values for person, (_, values) in best.items()}
    # Teeth: brighter than skin, and bluer relative to red.
    logs = {p: v for p, v in logs.items() if (v[2] - v[0]).mean() > 0.15 and (v[2] - v[0])[2] - (v[2] - v[0])[0] > 0.1}
    skin, sclera, teeth = np.array(list(logs.values())).transpose(1, 0, 2)
    slope, offset = np.polyfit(skin.mean(1), teeth.mean(1), 1)
    residual = (teeth.mean(1) - slope * skin.mean(1) - offset).std()
    print(f"{len(logs)} people: {', '.join(logs)}")
    print(f"level: {slope:.2f} skin {offset:+.2f}, residual {residual:.3f}")
    casts = [values - values.mean(1, keepdims=True) for values in (skin, sclera, teeth)]
    for share in (1.0, 0.8, 0.6):
        difference = casts[2] - share * (casts[0] + casts[1]) / 2
        rms = np.sqrt(difference.var(0).mean())
        print(f"cast: {share} of the mean of skin and sclera, plus {difference.mean(0).round(3)}, residual {rms:.3f}")


if __name__ == "__main__":
    run(main)
