"""The tracker in a closed loop: films with known motion are rendered, tracked, and compared with that motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.progress import progress_bar
from emotalker.evaluation.tables import markdown_table
from emotalker.face.calibration import relative_pose
from emotalker.face.portrait import Portrait
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.synthetic.films import LEADING_BLENDSHAPES, SyntheticPerson, random_film
from emotalker.synthetic.sources import portrait_motion
from emotalker.tracking import Tracker
from emotalker.video.image import load_image

#: What the leading blendshapes and the pose have to reach.
MIN_CORRELATION, MAX_POSE_ERROR = 0.9, 1.5


@dataclass(frozen=True)
class KnownFilm:
    """Rendered pictures with their motion.

    Attributes:
        pictures: ``(H, W, 3)`` uint8 RGB each.
        blendshapes: ``(T, 52)``.
        angles, translation: ``(T, 3)`` of the head in radians and centimetres.
    """

    pictures: Sequence[np.ndarray]
    blendshapes: np.ndarray
    angles: np.ndarray
    translation: np.ndarray


@dataclass(frozen=True)
class TrackedFilm:
    """True and tracked motion of the frames in which a face was found.

    Attributes:
        true, tracked: ``(N, 52)`` blendshapes.
        pose_error: ``(N, 3)`` pitch, yaw and roll in degrees.
        frames: of the whole film.
        method: landmarks and prior that the tracker used.
    """

    true: np.ndarray
    tracked: np.ndarray
    pose_error: np.ndarray
    frames: int
    method: str


def synthetic_film(tracker: Tracker, seed: int, moments: int, size: int) -> KnownFilm:
    """A random person of the head model in random motion."""
    rng = np.random.default_rng(seed)
    person = SyntheticPerson(tracker.model, rng, size)
    motion = random_film(rng, moments)
    return KnownFilm(person.film(motion), motion.blendshapes, motion.angles, motion.translation)


def portrait_film(tracker: Tracker, path: str, seed: int, moments: int, size: int) -> KnownFilm:
    """A picture moved at random by the renderer; CheckpointError, ImageError and the like as in inference."""
    random_moments = random_film(np.random.default_rng(seed), moments)
    portrait = Portrait.from_image(load_image(path), tracker.backend, tracker.model, size, path, keep_expression=1.0)
    motion = portrait_motion(random_moments)
    pose = motion[:, ARKIT.pose]
    return KnownFilm(WarpRenderer(portrait).render(motion), random_moments.blendshapes, pose[:, :3], pose[:, 3:])


def track_film(tracker: Tracker, film: KnownFilm, on_frame: Callable[[], None] | None = None) -> TrackedFilm:
    """Track a film; poses are compared after the mean of both is removed as the tracker does."""
    frames = ((i / ARKIT.fps, 1 / ARKIT.fps, np.ascontiguousarray(image)) for i, image in enumerate(film.pictures))
    result = tracker.track_frames(frames, on_frame=lambda _: on_frame() if on_frame else None)
    found = result.valid
    motion = result.motion.coefficients[found]
    rest = relative_pose(rotation_matrix(film.angles[found].astype(np.float64)), film.translation[found])
    return TrackedFilm(
        film.blendshapes[found],
        motion[:, ARKIT.expression],
        np.degrees(motion[:, ARKIT.pose] - rest)[:, :3],
        len(found),
        f"landmarks: {result.backend}, prior: {result.prior}",
    )


def track_films(tracker: Tracker, films: Sequence[Callable[[], KnownFilm]], moments: int) -> list[TrackedFilm]:
    """Render and track films one after another.

    Args:
        films: each renders one film when called.
        moments: random moments of a film, for the progress bar.
    """
    length, tracked = len(random_film(np.random.default_rng(0), moments).blendshapes), []
    with progress_bar() as progress:
        task = progress.add_task("render and track", total=len(films) * length)
        for film in films:
            tracked.append(track_film(tracker, film(), lambda: progress.advance(task)))
    return tracked


def correlations(true: np.ndarray, tracked: np.ndarray) -> np.ndarray:
    """Pearson correlation of each blendshape over frames, two ``(N, 52)`` to ``(52,)``; NaN where one is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(true.T, tracked.T, strict=True)])


def report(films: Sequence[TrackedFilm]) -> str:
    """Correlation of every blendshape over all frames and the median over films that contain it; pose error and totals."""
    r = correlations(np.concatenate([f.true for f in films]), np.concatenate([f.tracked for f in films]))
    of_films = np.array([correlations(f.true, f.tracked) for f in films])
    shown, median = np.isfinite(of_films).any(0), np.full(len(ARKIT_BLENDSHAPES), np.nan)
    median[shown] = np.nanmedian(of_films[:, shown], axis=0)
    rows = []
    for i in np.argsort(-np.nan_to_num(r, nan=-1)):
        mark = ("*" if r[i] >= MIN_CORRELATION else "* below") if ARKIT_BLENDSHAPES[i] in LEADING_BLENDSHAPES else ""
        rows.append([ARKIT_BLENDSHAPES[i], float(r[i]), float(median[i]), mark])
    rms = np.sqrt(np.square(np.concatenate([f.pose_error for f in films])).mean(0))
    reached = sum(r[ARKIT.index(name)] >= MIN_CORRELATION for name in LEADING_BLENDSHAPES)
    found, total = sum(len(f.true) for f in films), sum(f.frames for f in films)
    lines = [
        f"face found in {found} of {total} frames; {films[-1].method}",
        f"mean correlation of all blendshapes: {np.nanmean(r):.3f}",
        f"pose error, RMS degrees: pitch {rms[0]:.2f}, yaw {rms[1]:.2f}, roll {rms[2]:.2f}",
        f"required blendshapes (*) at {MIN_CORRELATION} or more: {reached} of {len(LEADING_BLENDSHAPES)}; "
        f"pose within {MAX_POSE_ERROR} degrees: {'yes' if rms.max() <= MAX_POSE_ERROR else 'no'}",
    ]
    table = markdown_table(["correlation", "all frames", "median of films", "required"], rows)
    return "\n\n".join([table, "\n".join(lines)])
