"""Style settings: emotions, amplitudes and blinks."""

import argparse

import numpy as np
import pytest

from emotalker.coefficients import ARKIT
from emotalker.core.cli import fraction
from emotalker.core.emotions import EMOTIONS
from emotalker.inference.gestures import BlinkTimes
from emotalker.inference.hearing import emotion_probabilities
from emotalker.inference.style import Style, StyleError, apply_amplitudes, emotion_weights, parse_emotion, set_blinks


def test_emotions_are_parsed_and_invalid_ones_raise_style_errors():
    assert parse_emotion("happy") == {"happy": 1.0}
    assert parse_emotion("joy:0.5, angry:0.25") == {"happy": 0.5, "angry": 0.25}
    assert sum(parse_emotion("happy,sad").values()) == pytest.approx(1.0)
    with pytest.raises(StyleError, match="bored"):
        parse_emotion("bored")
    with pytest.raises(StyleError, match="0 to 1"):
        parse_emotion("happy:much")


def test_a_requested_emotion_reduces_the_weight_of_the_recognized_one():
    recognized = emotion_probabilities({"angry": 0.75, "calm": 0.25})
    weights = emotion_weights(recognized, None, 3)
    assert weights[EMOTIONS.index("angry")] == pytest.approx(27 / 28), "an exponent above 1 favours the most probable emotion"
    assert weights[EMOTIONS.index("neutral")] == pytest.approx(1 / 28)
    weights = emotion_weights(recognized, 0.5 * np.eye(8)[EMOTIONS.index("happy")], 3)
    assert weights[EMOTIONS.index("happy")] == 0.5 and weights[EMOTIONS.index("angry")] == pytest.approx(27 / 56)
    assert emotion_weights(emotion_probabilities({})).sum() == 0


def some_motion(frames: int = 50) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(0.1, 0.4, (frames, ARKIT.dim)).astype(np.float32)


def test_amplitudes_scale_only_their_part():
    motion = some_motion()
    still = apply_amplitudes(motion, ARKIT, Style(head=0.0))
    assert not still[:, ARKIT.pose].any()
    assert np.array_equal(still[:, ARKIT.expression], motion[:, ARKIT.expression])
    lips = apply_amplitudes(motion, ARKIT, Style(lips=2.0))
    np.testing.assert_allclose(lips[:, ARKIT.lip], 2 * motion[:, ARKIT.lip])
    brows = apply_amplitudes(motion, ARKIT, Style(expression=0.0))
    assert not brows[:, ARKIT.index("browInnerUp")].any()
    assert np.array_equal(brows[:, ARKIT.lip], motion[:, ARKIT.lip])
    assert apply_amplitudes(motion, ARKIT, Style(lips=9.0))[:, ARKIT.expression].max() <= 1


def test_blinks_have_the_requested_rate():
    minutes = 10
    times = BlinkTimes.irregular(17, 25, np.random.default_rng(1))
    lids = set_blinks(np.full((25 * 60 * minutes, 2), 0.1, np.float32), times)
    starts = np.flatnonzero((lids[1:, 0] >= 1) & (lids[:-1, 0] < 1))
    assert len(starts) / minutes == pytest.approx(17, rel=0.15)
    assert np.diff(starts).min() >= 6
    assert np.array_equal(lids[:, 0], lids[:, 1])
    assert set_blinks(np.ones((10, 2), np.float32), BlinkTimes.irregular(0, 25, np.random.default_rng(0))).max() < 0.5


@pytest.mark.parametrize(("text", "allowed"), [("0", True), ("0.5", True), ("1", True), ("-0.1", False), ("1.01", False)])
def test_fractions_are_from_0_to_1(text: str, allowed: bool):
    if allowed:
        assert fraction(text) == float(text)
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="0 to 1"):
            fraction(text)
