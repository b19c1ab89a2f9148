"""Measuring control: correlations of movements, and a small portrait that is rendered and tracked."""

import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.evaluation.control import (
    BLINK,
    BROWS,
    EXPRESSION,
    JAW,
    POSE,
    control_report,
    correlation,
    joint_correlation,
    measure_control,
)
from emotalker.inference.animation import Animator
from emotalker.inference.control import Control, part_entries
from emotalker.tracking import Tracker

FRAMES = 30


def motion(frames: int = FRAMES) -> np.ndarray:
    """A head that turns, with brows that go up and down and a jaw that opens."""
    time, values = np.arange(frames) / 25, np.zeros((frames, ARKIT.dim), np.float32)
    values[:, ARKIT.index("yaw")] = 0.15 * np.sin(6 * time)
    values[:, ARKIT.indices(["browInnerUp", "browOuterUpLeft", "browOuterUpRight"])] = (0.4 - 0.4 * np.cos(8 * time))[:, None]
    values[:, ARKIT.index("jawOpen")] = 0.3 + 0.3 * np.sin(10 * time)
    return values


def test_correlations_count_what_moves():
    expected, found = motion(), motion()
    found[3] = np.nan  # no face
    assert correlation(expected, found, BROWS) == pytest.approx(1) and np.isnan(correlation(expected, found, BLINK))
    assert correlation(expected, -found, JAW) == pytest.approx(-1)
    assert joint_correlation(expected, 0.5 * found + 0.1, EXPRESSION) == pytest.approx(1)
    assert np.isnan(joint_correlation(np.zeros_like(expected), found, POSE))
    silent = np.zeros_like(expected)
    assert correlation(expected, silent, JAW) == 0 and joint_correlation(expected, silent, POSE) == 0


def test_replaced_parts_are_found_in_the_video():
    animator = Animator.from_pretrained()
    still = MotionTrack(np.zeros((FRAMES, ARKIT.dim), np.float32), ARKIT)
    reference = ("reference", MotionTrack(motion(), ARKIT))
    replaced, (trip,) = measure_control(animator, Tracker(), ("astronaut", data.astronaut()), reference, still, 192)
    pose, expression = replaced
    assert pose.others_equal and expression.others_equal
    assert (pose.part, expression.part) == ("pose", "expression")
    assert pose.together > 0.9 and expression.together > 0.8 and trip.found["jaw"] > 0.8
    report = control_report(replaced, [trip])
    assert "Pose replaced; r >= 0.9 in 1 of 1" in report and "| astronaut" in report


def test_a_leak_into_another_part_is_reported(monkeypatch):
    apply = Control.apply

    def leaking(self, coefficients, space):
        result = apply(self, coefficients, space)
        result[0, part_entries("lips", space)[0]] += 1e-6
        return result

    monkeypatch.setattr(Control, "apply", leaking)
    monkeypatch.setattr("emotalker.evaluation.control.track_rendered", lambda a, t, i, m, s: m.coefficients)
    still = MotionTrack(np.zeros((FRAMES, ARKIT.dim), np.float32), ARKIT)
    replaced, trips = measure_control(None, None, ("a", None), ("r", MotionTrack(motion(), ARKIT)), still)
    assert not any(r.others_equal for r in replaced) and "NO" in control_report(replaced, trips)
