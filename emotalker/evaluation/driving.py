"""Does a motion continue from given frames without a jump, and follow the voice after them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotalker.coefficients import MotionTrack
from emotalker.evaluation.tables import markdown_table
from emotalker.inference.control import PARTS, part_entries
from emotalker.inference.generator import MotionGenerator

#: Frames after the given ones in which the difference at the joint has mostly decayed.
SETTLED = 12


@dataclass(frozen=True)
class DrivingScore:
    """Attributes:
    reference: name of the given frames.
    equal: whether the first frames are the given ones bit for bit.
    joint: for each part, the step over the joint relative to the largest step of a motion without given frames; steps are
        distances of coefficients between neighbouring frames. Above 1 the joint is a jump.
    jaw: correlation of jawOpen after the joint with the motion without given frames: both follow the same voice.
    """

    reference: str
    equal: bool
    joint: dict[str, float]
    jaw: float


def measure_driving(generator: MotionGenerator, voice: np.ndarray, driving: tuple[str, MotionTrack]) -> DrivingScore:
    """Generate the motion of a voice ``(N,)`` with and without named given frames."""
    name, given = driving
    space, frames = generator.space, len(given.coefficients)
    reference = np.zeros(space.dim, np.float32)
    free = generator.generate(voice, reference).coefficients
    driven = generator.generate(voice, reference, driving=given).coefficients
    joint = {}
    for part in PARTS:
        entries = part_entries(part, space)
        steps, usual = (np.linalg.norm(np.diff(m[:, entries], axis=0), axis=1) for m in (driven, free))
        joint[part] = float(steps[frames - 1 : frames + 1].max() / usual.max())
    jaw, after = space.index("jawOpen"), slice(frames + SETTLED, None)
    r = float(np.corrcoef(driven[after, jaw], free[after, jaw])[0, 1])
    return DrivingScore(name, np.array_equal(driven[:frames], given.coefficients), joint, r)


def driving_report(scores: Sequence[DrivingScore]) -> str:
    """A Markdown table."""
    rows = [[s.reference, "yes" if s.equal else "NO", *(s.joint[part] for part in PARTS), s.jaw] for s in scores]
    header = ["given frames", "equal", *(f"step of {part}" for part in PARTS), "jaw r"]
    return (
        f"Given frames, then the voice; steps at the joint relative to the largest one\n\n{markdown_table(header, rows, 2)}"
    )
