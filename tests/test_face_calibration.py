"""Calibration of tracked blendshapes, smoothing, and relative pose."""

import numpy as np
import pytest

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.calibration import Calibration, blink_height, relative_pose, smooth


def blinking(frames: int, rest: float, shut: float) -> np.ndarray:
    """A blink every 40 frames, ``(frames,)``."""
    phase = np.abs((np.arange(frames) % 40) - 20)
    return rest + (shut - rest) * np.clip(1 - phase / 4, 0, 1)


def test_calibration_maps_rest_to_zero_and_blinks_to_one():
    blendshapes = np.zeros((400, 52))
    blendshapes[:, ARKIT.index("eyeBlinkLeft")] = blinking(400, 0.15, 0.7)
    blendshapes[:, ARKIT.index("eyeBlinkRight")] = blinking(400, 0.1, 0.6)
    blendshapes[:, ARKIT.index("browDownLeft")] = 0.22
    blendshapes[:, ARKIT.index("jawOpen")] = 0.3
    blendshapes[:, ARKIT.index("eyeLookOutLeft")] = 0.2
    blendshapes[300:, ARKIT.index("eyeLookOutLeft")] = 0.05
    calibrated = Calibration.measure(blendshapes, ARKIT)(blendshapes)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        blink = calibrated[:, ARKIT.index(name)]
        assert np.median(blink) == pytest.approx(0, abs=1e-6) and blink.max() == pytest.approx(1, abs=1e-6)
    assert np.abs(calibrated[:, ARKIT.index("browDownLeft")]).max() == 0
    assert np.all(calibrated[:, ARKIT.index("jawOpen")] == 0.3), "lip blendshapes are not changed"
    # a lower eyeLookOut than at rest becomes a positive eyeLookIn
    assert calibrated[350, ARKIT.index("eyeLookInLeft")] == pytest.approx(0.15)
    assert calibrated[350, ARKIT.index("eyeLookOutLeft")] == 0 == calibrated[100, ARKIT.index("eyeLookInLeft")]
    assert blink_height(np.full(100, 0.1)) == pytest.approx(0.1)


def test_relative_pose_does_not_depend_on_the_resting_pose():
    rng = np.random.default_rng(0)
    angles = rng.normal(0, 0.05, (50, 3))
    angles -= angles.mean(0)
    rest = rotation_matrix(np.array([0.3, -0.4, 0.1]))
    shift = rng.normal(0, 1, (50, 3))
    pose = relative_pose(rotation_matrix(angles) @ rest, shift + np.array([5, -3, -80]))
    np.testing.assert_allclose(pose[:, :3], angles, atol=0.01)
    np.testing.assert_allclose(pose[:, 3:], shift - np.median(shift, axis=0), atol=1e-6)


def test_smoothing_does_not_change_lips_and_blinks():
    motion = np.random.default_rng(1).uniform(0, 1, (75, 58)).astype(np.float32)
    smoothed = smooth(motion, ARKIT)
    unchanged = [*ARKIT.lip, ARKIT.index("eyeBlinkLeft"), ARKIT.index("eyeBlinkRight")]
    np.testing.assert_array_equal(smoothed[:, unchanged], motion[:, unchanged])
    others = np.setdiff1d(np.arange(58), unchanged)
    assert (np.diff(smoothed[:, others], axis=0).std(0) < np.diff(motion[:, others], axis=0).std(0)).all()
    assert smoothed[:, :52].min() >= 0 and smoothed[:, :52].max() <= 1
