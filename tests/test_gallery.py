"""Frames of the gallery: which of the motion are shown, and their pose."""

import numpy as np
import pytest

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.evaluation.gallery import PIVOT, TURNS, turned_motion, turned_pose


def test_the_pivot_stays_where_it_is():
    for turn in TURNS.values():
        pose = turned_pose(turn)
        assert rotation_matrix(pose[:3]) @ PIVOT + pose[3:] == pytest.approx(PIVOT, abs=1e-5)


def test_each_turn_shows_an_open_mouth_of_its_part():
    motion = np.zeros((40, ARKIT.dim), np.float32)
    jaw = ARKIT.index("jawOpen")
    motion[[3, 17, 31], jaw] = 0.5, 0.3, 0.4
    frames = turned_motion(motion, [(0, 0, 0), (0, 25, 0), (5, 0, 0)])
    assert frames[:, jaw] == pytest.approx([0.5, 0.3, 0.4])
    assert np.degrees(frames[:, ARKIT.pose][:, :3]) == pytest.approx(np.array([[0, 0, 0], [0, 25, 0], [5, 0, 0]]))
    assert not motion[:, ARKIT.pose].any()


def test_a_motion_shorter_than_the_turns_is_refused():
    with pytest.raises(ValueError, match="3 turns"):
        turned_motion(np.zeros((2, ARKIT.dim), np.float32), [(0, 0, 0)] * 3)
