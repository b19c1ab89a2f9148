"""References and keyframes."""

import numpy as np
import pytest

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.coefficients.space import BFM
from emotalker.inference.control import PARTS, Control, Reference, load_reference, part_entries
from emotalker.inference.keyframes import (
    ANGLES,
    ControlError,
    Keyframes,
    apply_gaze_keyframes,
    apply_pose_keyframes,
    parse_keyframes,
)


def motion(frames, seed=0):
    times = np.arange(frames)[:, None] / 25
    phases = np.random.default_rng(seed).uniform(0, 6, ARKIT.dim)
    values = (0.4 + 0.3 * np.sin(2 * np.pi * times + phases)).astype(np.float32)
    values[:, ARKIT.pose] *= 0.3
    return values


def test_parts_are_disjoint_and_complete():
    entries = np.concatenate([part_entries(part, ARKIT) for part in PARTS])
    assert sorted(entries) == list(range(ARKIT.dim))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("ending", ["loop", "hold", "cut"])
def test_other_parts_stay_equal(part, ending):
    generated, reference = motion(60), MotionTrack(motion(35, 1), ARKIT)
    result = Reference(reference, part, ending=ending).apply(generated, ARKIT)
    entries = part_entries(part, ARKIT)
    others = np.setdiff1d(np.arange(ARKIT.dim), entries)
    assert np.array_equal(result[:, others], generated[:, others])
    kept = 35 - 8 if ending == "loop" else 35
    assert np.array_equal(result[:kept, entries], reference.coefficients[:kept, entries])
    if ending == "hold":
        assert np.array_equal(result[35:, entries], np.repeat(reference.coefficients[34:, entries], 25, 0))
    if ending == "cut":
        assert np.array_equal(result[43:, entries], generated[43:, entries])


def test_loops_and_cuts_do_not_jump():
    reference = MotionTrack(motion(37, 1), ARKIT)
    step = np.abs(np.diff(reference.coefficients, axis=0)).max()
    for ending in ("loop", "cut"):
        result = Reference(reference, "lips", ending=ending).apply(motion(200), ARKIT)
        assert np.abs(np.diff(result, axis=0)).max() < 2.5 * step


def test_relative_references_start_where_the_motion_is_at_rest():
    reference = motion(50, 2)
    result = Reference(MotionTrack(reference, ARKIT), "pose", relative=True, amplitude=0.5).apply(motion(50), ARKIT)
    np.testing.assert_allclose(result[0, ARKIT.pose], 0, atol=1e-6)
    expected = 0.5 * (reference[:, ARKIT.pose] - reference[:1, ARKIT.pose])
    np.testing.assert_allclose(result[:, ARKIT.pose], expected, atol=0.02)  # rotations of up to 10 degrees nearly add


def test_other_spaces_are_refused():
    with pytest.raises(ControlError, match="bfm"):
        Reference(MotionTrack(np.zeros((3, 70), np.float32), BFM), "pose").apply(motion(5), ARKIT)


def test_missing_frames_of_a_reference_take_the_nearest(tmp_path):
    values = motion(10)
    values[[0, 4, 5]] = np.nan
    track = load_reference(MotionTrack(values, ARKIT).save(tmp_path / "m.npz"))
    assert np.array_equal(track.coefficients[[0, 4, 5]], values[[1, 3, 6]])
    values[:] = np.nan
    with pytest.raises(ControlError, match="no face"):
        load_reference(MotionTrack(values, ARKIT).save(tmp_path / "m.npz"))


def test_keyframes():
    yaw, pitch = parse_keyframes("yaw=0:0,50:15; pitch=1s:-5", ANGLES)
    result = apply_pose_keyframes(motion(80), ARKIT, [yaw, pitch])
    degrees = np.degrees(result[:, ARKIT.index("yaw")])
    assert degrees[0] == 0 and degrees[50] == pytest.approx(15) and degrees[79] == pytest.approx(15)
    assert (np.diff(degrees) >= -1e-5).all()
    np.testing.assert_allclose(np.degrees(result[:, ARKIT.index("pitch")]), -5, rtol=1e-5)
    assert np.array_equal(result[:, ARKIT.index("roll")], motion(80)[:, ARKIT.index("roll")])
    (half,) = parse_keyframes("roll=0%:0,50%:10", ANGLES)
    assert half.frames(101, 25)[50] == pytest.approx(10)


def test_gaze_keyframes_turn_both_eyes_the_same_way():
    result = apply_gaze_keyframes(motion(30), [Keyframes("yaw", (0, 20), (-11.0, 11.0))])
    value = {name: result[:, ARKIT.index(name)] for name in ARKIT.names if name.startswith("eyeLook")}
    assert value["eyeLookInLeft"][0] == pytest.approx(0.5) and value["eyeLookOutRight"][0] == pytest.approx(0.5)
    assert value["eyeLookOutLeft"][0] == 0 and value["eyeLookOutLeft"][25] == pytest.approx(0.5)


@pytest.mark.parametrize("text", ["nod=0:1", "yaw", "yaw=a:1", "yaw=0:0,0:1", "yaw=0:0,1s:2", "yaw=-3:1", "yaw=0:nan"])
def test_bad_keyframes_are_refused(text):
    with pytest.raises(ControlError):
        parse_keyframes(text, ANGLES)


def test_motion_plot(tmp_path):
    from emotalker.inference.emotion_track import EmotionTrack
    from emotalker.inference.motion_plot import save_motion_plot
    from emotalker.video.image import load_image

    track = EmotionTrack.constant(np.eye(8)[2])
    path = save_motion_plot(tmp_path / "m.png", MotionTrack(motion(50), ARKIT), np.zeros(32000, np.float32), track)
    whole = load_image(path)
    without = load_image(save_motion_plot(tmp_path / "n.png", MotionTrack(motion(50), ARKIT)))
    assert whole.shape[0] > without.shape[0] and len(np.unique(whole.reshape(-1, 3), axis=0)) > 50


def test_control_applies_references_then_keyframes():
    generated, reference = motion(40), MotionTrack(motion(40, 1), ARKIT)
    yaw = tuple(parse_keyframes("yaw=0:5", ANGLES))
    result = Control((Reference(reference, "pose"), Reference(reference, "lips")), yaw).apply(generated, ARKIT)
    np.testing.assert_allclose(result[:, ARKIT.index("yaw")], np.radians(5), rtol=1e-6)
    assert np.array_equal(result[:, ARKIT.index("roll")], reference.coefficients[:, ARKIT.index("roll")])
    assert np.array_equal(result[:, ARKIT.lip], reference.coefficients[:, ARKIT.lip])
    assert Control().apply(generated, ARKIT) is generated
