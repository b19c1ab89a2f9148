"""The tracker in a closed loop: films of random faces of the head model are drawn, tracked, and compared with what was drawn.

python scripts/evaluate_tracker.py
python scripts/evaluate_tracker.py --portraits person.jpg another.png   # photographs, moved by the renderer
"""

from __future__ import annotations

import argparse

from emotalker.core.cli import run

MIN_CORRELATION, MAX_POSE_ERROR = 0.9, 1.5


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=16, help="random identities (default: %(default)s)")
    parser.add_argument("--moments", type=int, default=25, help="random moments of each film (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=360, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--portraits", nargs="+", help="move these pictures instead of synthetic heads")
    parser.add_argument("--without-reader", action="store_true", help="leave synthetic faces to the landmarker, too")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or fetched once)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    import numpy as np

    from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
    from emotalker.coefficients.rotation import rotation_matrix
    from emotalker.core.progress import progress_bar
    from emotalker.face.calibration import relative_pose
    from emotalker.face.portrait import Portrait
    from emotalker.render.warp_renderer import WarpRenderer
    from emotalker.synthetic.films import LEADING_BLENDSHAPES, SyntheticPerson, random_film
    from emotalker.synthetic.reader import SyntheticFaceReader
    from emotalker.synthetic.sources import portrait_motion
    from emotalker.tracking import Tracker
    from emotalker.video.image import load_image

    tracker = Tracker(args.landmarker, reader=None if args.without_reader else SyntheticFaceReader.from_pretrained())
    true, tracked, pose_errors, count = [], [], [], 0
    subjects = args.portraits or range(args.people)
    with progress_bar() as progress:
        length = len(random_film(np.random.default_rng(), args.moments).blendshapes)
        task = progress.add_task("draw and track", total=len(subjects) * length)
        for number, subject in enumerate(subjects):
            rng = np.random.default_rng(args.seed + number)
            if args.portraits:
                moments = random_film(rng, args.moments)
                portrait = Portrait.from_image(load_image(subject), tracker.backend, tracker.model, args.size, subject)
                motion = portrait_motion(moments)
                pictures = WarpRenderer(portrait).render(motion)
            else:
                person = SyntheticPerson(tracker.model, rng, args.size)
                moments = random_film(rng, args.moments)
                pictures = person.film(moments)
            frames = ((i / ARKIT.fps, 1 / ARKIT.fps, np.ascontiguousarray(image)) for i, image in enumerate(pictures))
            film = tracker.track_frames(frames, on_frame=lambda _: progress.advance(task))
            seen = film.valid
            count += int(seen.sum())
            true.append(moments.blendshapes[seen])
            tracked.append(film.motion.coefficients[seen][:, ARKIT.expression])
            angles, place = (motion[:, 52:55], motion[:, 55:]) if args.portraits else (moments.angles, moments.translation)
            rest = relative_pose(rotation_matrix(angles[seen].astype(np.float64)), place[seen])
            pose_errors.append(np.degrees(film.motion.coefficients[seen][:, ARKIT.pose] - rest)[:, :3])
    truth, found = np.concatenate(true), np.concatenate(tracked)
    with np.errstate(invalid="ignore", divide="ignore"):
        r, *of_films = (
            np.array([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(len(ARKIT_BLENDSHAPES))])
            for a, b in [(truth, found), *zip(true, tracked, strict=True)]
        )
    print(
        f"{'blendshape':20s} {'all':>6s} {'a film':>7s}   correlation over all frames; median of the films that show the blendshape"
    )
    of_films = np.array(of_films)
    shown, film_r = np.isfinite(of_films).any(0), np.full(len(ARKIT_BLENDSHAPES), np.nan)
    film_r[shown] = np.nanmedian(of_films[:, shown], axis=0)
    for i in np.argsort(-np.nan_to_num(r, nan=-1)):
        mark = ("  *" if r[i] >= MIN_CORRELATION else "  * below 0.9") if ARKIT_BLENDSHAPES[i] in LEADING_BLENDSHAPES else ""
        print(f"{ARKIT_BLENDSHAPES[i]:20s} {r[i]:6.3f} {film_r[i]:7.3f}{mark}")
    rms = np.sqrt(np.square(np.concatenate(pose_errors)).mean(0))
    print(f"face found in {count} of {len(subjects) * length} frames; landmarks: {film.backend}, prior: {film.prior}")
    print(f"mean correlation of all blendshapes: {np.nanmean(r):.3f}")
    print(f"pose error, RMS degrees: pitch {rms[0]:.2f}, yaw {rms[1]:.2f}, roll {rms[2]:.2f}")
    reached = sum(r[ARKIT.index(name)] >= MIN_CORRELATION for name in LEADING_BLENDSHAPES)
    print(
        f"required blendshapes (*) at {MIN_CORRELATION} or more: {reached} of {len(LEADING_BLENDSHAPES)}; "
        f"pose within {MAX_POSE_ERROR} degrees: {'yes' if rms.max() <= MAX_POSE_ERROR else 'no'}"
    )


run(main)
