"""Does control do what it says? Parts of a motion are replaced, rendered and encoded; a tracker reads the video back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.evaluation.tables import markdown_table
from emotalker.inference.animation import Animator, ImageSource
from emotalker.inference.control import PARTS, Control, Part, Reference, part_entries
from emotalker.tracking import Tracker

#: What has to be found again in the video.
MIN_POSE, MIN_EXPRESSION, MIN_ROUND_TRIP = 0.9, 0.8, 0.8
#: Standard deviations from which a movement is counted: radians of the head, units of blendshapes, and for the gaze units
#: that are about 1.5 degrees. Below them the landmarks' jitter is a large part of what the tracker sees.
MOVES_POSE, MOVES_EXPRESSION, MOVES_GAZE = 0.015, 0.03, 0.1


@dataclass(frozen=True)
class Movement:
    """A combination of entries that belong together.

    Attributes:
        name: in tables.
        plus, minus: names of the entries whose means are added and subtracted.
        part: that it belongs to.
        least: standard deviation from which it is counted.
    """

    name: str
    plus: tuple[str, ...]
    part: Part
    minus: tuple[str, ...] = ()
    least: float = MOVES_EXPRESSION

    def of(self, motion: np.ndarray) -> np.ndarray:
        """Its values ``(T,)`` in a motion ``(T, D)`` of ARKIT."""
        value = motion[:, ARKIT.indices(self.plus)].mean(1)
        return value - motion[:, ARKIT.indices(self.minus)].mean(1) if self.minus else value

    def moves(self, motion: np.ndarray) -> bool:
        """Whether it moves visibly in ``(T, D)``."""
        return bool(self.of(motion).std() >= self.least)


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{side}" for name in names for side in ("Left", "Right"))


BROWS = Movement("brows", ("browInnerUp", *_both("browOuterUp")), "expression", _both("browDown"))
BLINK = Movement("blink", _both("eyeBlink"), "expression")
JAW = Movement("jaw", ("jawOpen",), "lips")
SMILE = Movement("smile", _both("mouthSmile"), "lips", _both("mouthFrown"))
POSE = tuple(Movement(name, (name,), "pose", least=MOVES_POSE) for name in ("pitch", "yaw", "roll"))
_SIDEWAYS = ("eyeLookInLeft", "eyeLookOutRight"), ("eyeLookOutLeft", "eyeLookInRight")
GAZE = (
    Movement("gaze sideways", _SIDEWAYS[0], "expression", _SIDEWAYS[1], MOVES_GAZE),
    Movement("gaze up", _both("eyeLookUp"), "expression", _both("eyeLookDown"), MOVES_GAZE),
)
SQUINT = Movement("squint", _both("eyeSquint", "cheekSquint"), "expression")
#: What is compared after a part was replaced, and after a whole motion was rendered and tracked.
EXPRESSION = (BROWS, BLINK, SQUINT, *GAZE)
ROUND_TRIP = (JAW, SMILE, BROWS, BLINK, *POSE)


def correlation(expected: np.ndarray, found: np.ndarray, movement: Movement) -> float:
    """Pearson correlation of a movement in two motions ``(T, D)``; NaN where it does not move in the expected one."""
    kept = np.isfinite(found).all(1)
    if kept.sum() < 3 or not movement.moves(expected):
        return float("nan")
    a, b = movement.of(expected[kept]), movement.of(found[kept])
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def joint_correlation(expected: np.ndarray, found: np.ndarray, movements: Sequence[Movement]) -> float:
    """Correlation of two motions ``(T, D)`` as a whole: of all values of the movements that move, each without its mean.

    A movement counts as much as it moves. NaN where none does.
    """
    kept = np.isfinite(found).all(1)
    moving = [m for m in movements if m.moves(expected)]
    if kept.sum() < 3 or not moving:
        return float("nan")
    a, b = (np.stack([m.of(motion[kept]) for m in moving]) for motion in (expected, found))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-12))


@dataclass(frozen=True)
class Replacement:
    """One part of a motion was replaced by a reference's.

    Attributes:
        image, reference, part: which.
        others_equal: whether all other coefficients are bit-equal to those before.
        found: correlation of each movement of the part with the reference's in the tracked result; NaN where the reference
            does not move.
        together: :func:`joint_correlation` of these movements.
    """

    image: str
    reference: str
    part: Part
    others_equal: bool
    found: dict[str, float]
    together: float


@dataclass(frozen=True)
class RoundTrip:
    """A motion was rendered, encoded and tracked.

    Attributes:
        image, motion: names.
        found: correlation of each movement; NaN where the motion has none.
    """

    image: str
    motion: str
    found: dict[str, float]


def track_rendered(
    animator: Animator, tracker: Tracker, image: ImageSource, motion: MotionTrack, size: int | None
) -> np.ndarray:
    """Render a motion with a portrait, encode it, and track the video: ``(T, D)``, NaN where no face was found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rendered.mp4"
        animator.animate(motion, image, size=size).save(path)
        found = tracker.track(path).motion.coefficients
    frames = np.full_like(motion.coefficients, np.nan)
    count = min(len(found), len(frames))
    frames[:count] = found[:count]
    return frames


def measure_control(
    animator: Animator,
    tracker: Tracker,
    image: tuple[str, ImageSource],
    reference: tuple[str, MotionTrack],
    motion: MotionTrack,
    size: int | None = None,
) -> tuple[list[Replacement], list[RoundTrip]]:
    """Replace pose and expression, each alone, then everything, and look for the reference in the results.

    Args:
        animator, tracker: render and track.
        image: name and picture of the portrait.
        reference: name and motion.
        motion: ``(T, D)`` of ARKIT whose parts are replaced.
        size: of the rendered square, pixels.
    """
    replacements, (name, picture), (origin, driver) = [], image, reference
    for part in PARTS[:2]:
        controlled = Control((Reference(driver, part),)).apply(motion.coefficients, motion.space)
        others = np.setdiff1d(np.arange(motion.space.dim), part_entries(part, motion.space))
        equal = np.array_equal(controlled[:, others], motion.coefficients[:, others])
        tracked = track_rendered(animator, tracker, picture, MotionTrack(controlled, motion.space), size)
        movements = POSE if part == "pose" else EXPRESSION
        found = {m.name: correlation(controlled, tracked, m) for m in movements}
        together = joint_correlation(controlled, tracked, movements)
        replacements.append(Replacement(name, origin, part, equal, found, together))
    whole = Control(tuple(Reference(driver, part) for part in PARTS)).apply(motion.coefficients, motion.space)
    trips = [round_trip(animator, tracker, image, (origin, MotionTrack(whole, motion.space)), size)]
    return replacements, trips


def round_trip(
    animator: Animator,
    tracker: Tracker,
    image: tuple[str, ImageSource],
    motion: tuple[str, MotionTrack],
    size: int | None = None,
) -> RoundTrip:
    """Render, encode and track a named motion."""
    expected = motion[1].coefficients
    tracked = track_rendered(animator, tracker, image[1], motion[1], size)
    return RoundTrip(image[0], motion[0], {m.name: correlation(expected, tracked, m) for m in ROUND_TRIP})


def control_report(replacements: Sequence[Replacement], trips: Sequence[RoundTrip]) -> str:
    """Two Markdown tables, each with a row of medians, and one sentence on the requirements."""
    parts = []
    for part, movements, least in (("pose", POSE, MIN_POSE), ("expression", EXPRESSION, MIN_EXPRESSION)):
        chosen = [r for r in replacements if r.part == part]
        rows = [[r.image, r.reference, "yes" if r.others_equal else "NO", *r.found.values(), r.together] for r in chosen]
        medians = [_median(r.found[m.name] for r in chosen) for m in movements]
        rows.append(["median", "", "", *medians, _median(r.together for r in chosen)])
        known = [r.together for r in chosen if r.together == r.together]
        title = f"{part.capitalize()} replaced; r >= {least} in {sum(r >= least for r in known)} of {len(known)}"
        header = ["portrait", "reference", "others equal", *(m.name for m in movements), "together"]
        parts.append(f"{title}\n\n{markdown_table(header, rows, 2)}")
    rows = [[t.image, t.motion, *t.found.values()] for t in trips]
    medians = [_median(t.found[m.name] for t in trips) for m in ROUND_TRIP]
    rows.append(["median", "", *medians])
    reached = sum(m >= MIN_ROUND_TRIP for m in medians)
    title = f"Motion to video to motion; median r >= {MIN_ROUND_TRIP} in {reached} of {len(medians)}"
    header = ["portrait", "motion", *(m.name for m in ROUND_TRIP)]
    parts.append(f"{title}\n\n{markdown_table(header, rows, 2)}")
    return "\n\n".join(parts)


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.median(known)) if known else float("nan")
