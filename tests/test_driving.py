"""Driving frames: the first frames are given, the networks continue."""

from importlib.resources import files

import numpy as np
import pytest
import torch

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.coefficients.space import BFM
from emotalker.evaluation.driving import driving_report, measure_driving
from emotalker.inference.driving import continue_from, driving_codes, load_driving_frames
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.keyframes import ControlError
from emotalker.inference.performance import PERFORMANCE, STEPS
from emotalker.models.code_decoder import CodeDecoder

REFERENCE = np.zeros(ARKIT.dim, np.float32)
GIVEN = 26


@pytest.fixture(scope="module")
def generator() -> MotionGenerator:
    return MotionGenerator.from_pretrained()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return load_audio(files("emotalker") / "assets" / "demo.flac")[16000:80000]


@pytest.fixture(scope="module")
def driving() -> MotionTrack:
    """A head that turns, with a smile and raised brows."""
    motion, time = np.zeros((GIVEN, ARKIT.dim), np.float32), np.arange(GIVEN) / 25
    motion[:, ARKIT.index("yaw")] = 0.2 * np.sin(2 * time)
    motion[:, ARKIT.indices(["mouthSmileLeft", "mouthSmileRight", "browInnerUp"])] = 0.6
    motion[:, ARKIT.index("jawOpen")] = 0.2 + 0.1 * np.sin(12 * time)
    return MotionTrack(motion, ARKIT)


def test_a_motion_begins_with_the_given_frames_and_follows_the_voice_after_them(generator, samples, driving):
    free = generator.generate(samples, REFERENCE).coefficients
    motion = generator.generate(samples, REFERENCE, driving=driving).coefficients
    assert motion.shape == free.shape and np.array_equal(motion[:GIVEN], driving.coefficients)
    for entries in (ARKIT.lip, np.arange(ARKIT.dim)[ARKIT.pose], ARKIT.indices(["browInnerUp", "browOuterUpLeft"])):
        steps = np.abs(np.diff(motion[:, entries], axis=0)).max(1)
        usual = np.abs(np.diff(free[:, entries], axis=0)).max()
        assert steps[GIVEN - 1 : GIVEN + 1].max() < usual, "the joint is no larger step than others"
    turned = np.abs(motion[GIVEN:, ARKIT.indices(["pitch", "yaw", "roll"])]).max()
    assert turned < 0.25, "the head turns no further than it was given or than it does alone"
    jaw = ARKIT.index("jawOpen")
    assert np.corrcoef(motion[GIVEN + 10 :, jaw], free[GIVEN + 10 :, jaw])[0, 1] > 0.8


def test_the_measurement_of_joints(generator, samples, driving):
    score = measure_driving(generator, samples, ("turn", driving))
    assert score.equal and max(score.joint.values()) < 1 and score.jaw > 0.8
    assert "| turn" in driving_report([score])


def test_the_networks_continue_from_the_codes_of_the_given_frames(generator, samples, driving, monkeypatch):
    prefix = driving_codes(driving, generator.vqvae)
    assert prefix.shape == (GIVEN // 4,)
    decoded = []
    extend = CodeDecoder.extend
    monkeypatch.setattr(CodeDecoder, "extend", lambda *arguments: decoded.append(extend(*arguments)) or decoded[-1])
    published = {"performance": PERFORMANCE.without(*STEPS), "decoding": "continuous"}
    generator.generate(samples, REFERENCE, driving=driving, **published)
    generator.generate(samples, REFERENCE, **published)
    driven, free = decoded
    assert torch.equal(driven.codes[0, : len(prefix)], prefix)
    assert torch.equal(driven.features[0, : len(prefix)], generator.vqvae.quantizer.lookup(prefix))
    next_codes = slice(len(prefix), len(prefix) + 3)
    last = driven.features[0, len(prefix) - 1]
    assert (driven.features[0, next_codes] - last).norm() < (free.features[0, next_codes] - last).norm()


def test_the_joint_keeps_value_and_velocity():
    time = np.arange(100, dtype=np.float32)[:, None]
    generated = np.repeat(0.3 + 0 * time, ARKIT.dim, 1)
    given = np.repeat(0.5 + 0.002 * time[:20], ARKIT.dim, 1)
    motion = continue_from(given, generated, ARKIT)
    assert np.array_equal(motion[:20], given)
    step = motion[20] - motion[19]
    slow = np.setdiff1d(np.arange(ARKIT.dim), ARKIT.lip)
    brow = ARKIT.index("browInnerUp")
    assert brow in slow and abs(step[brow] - 0.002) < 0.004, "without correction the step would be -0.24"
    np.testing.assert_allclose(motion[60:, brow], 0.3, atol=0.01)
    np.testing.assert_allclose(motion[32:, ARKIT.index("jawOpen")], 0.3, atol=0.01)
    assert np.array_equal(continue_from(given, generated[:10], ARKIT), given[:10])


def test_driving_files_are_cut_and_wrong_ones_refused(tmp_path, generator, samples, driving):
    path = driving.save(tmp_path / "m.csv")
    assert np.array_equal(load_driving_frames(path, 0.4).coefficients, driving.coefficients[:10])
    with pytest.raises(ControlError, match="less than a frame"):
        load_driving_frames(path, 0.01)
    for wrong in (MotionTrack(np.zeros((5, BFM.dim), np.float32), BFM), MotionTrack(REFERENCE[None] * np.nan, ARKIT)):
        with pytest.raises(ControlError):
            generator.generate(samples[:8000], REFERENCE, driving=wrong)
    short = generator.generate(samples[:8000], REFERENCE, driving=MotionTrack(driving.coefficients[:3], ARKIT))
    assert np.array_equal(short.coefficients[:3], driving.coefficients[:3])
