"""Calibration of tracked actions, relative pose, and the preparation of GRID on a miniature of it."""

import json
import wave

import numpy as np
import pytest

from emotalker.coefficients import ARKIT, ARKIT_ACTIONS
from emotalker.errors import DataError
from emotalker.face.geometry import Camera, rotation_matrix
from emotalker.face.model import FaceModel
from emotalker.training.calibration import Calibration, blink_height, relative_pose, smooth
from emotalker.training.grid import HEIGHT, WIDTH, fill_gaps, prepare, usable_span

LANDMARKS = np.arange(0, 478, 5)


def blinking(frames: int, rest: float, shut: float) -> np.ndarray:
    """A blink every 40 frames."""
    phase = np.abs((np.arange(frames) % 40) - 20)
    return rest + (shut - rest) * np.clip(1 - phase / 4, 0, 1)


def test_calibration_takes_rest_to_zero_and_blinks_to_one():
    actions = np.zeros((400, 52))
    actions[:, ARKIT.index("eyeBlinkLeft")] = blinking(400, 0.15, 0.7)
    actions[:, ARKIT.index("eyeBlinkRight")] = blinking(400, 0.1, 0.6)
    actions[:, ARKIT.index("browDownLeft")] = 0.22
    actions[:, ARKIT.index("jawOpen")] = 0.3
    actions[:, ARKIT.index("eyeLookOutLeft")] = 0.2
    actions[300:, ARKIT.index("eyeLookOutLeft")] = 0.05
    calibrated = Calibration.measure(actions, ARKIT)(actions)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        blink = calibrated[:, ARKIT.index(name)]
        assert np.median(blink) == pytest.approx(0, abs=1e-6) and blink.max() == pytest.approx(1, abs=1e-6)
    assert np.abs(calibrated[:, ARKIT.index("browDownLeft")]).max() == 0
    assert np.all(calibrated[:, ARKIT.index("jawOpen")] == 0.3), "lip actions stay as they are"
    # less "out" than at rest is "in", though the tracker never said so
    assert calibrated[350, ARKIT.index("eyeLookInLeft")] == pytest.approx(0.15)
    assert calibrated[350, ARKIT.index("eyeLookOutLeft")] == 0 == calibrated[100, ARKIT.index("eyeLookInLeft")]
    assert blink_height(np.full(100, 0.1)) == pytest.approx(0.1)


def test_relative_pose_forgets_where_the_head_was():
    rng = np.random.default_rng(0)
    angles = rng.normal(0, 0.05, (50, 3))
    angles -= angles.mean(0)
    rest = rotation_matrix(np.array([0.3, -0.4, 0.1]))
    shift = rng.normal(0, 1, (50, 3))
    pose = relative_pose(rotation_matrix(angles) @ rest, shift + np.array([5, -3, -80]))
    np.testing.assert_allclose(pose[:, :3], angles, atol=0.01)
    np.testing.assert_allclose(pose[:, 3:], shift - np.median(shift, axis=0), atol=1e-6)


def test_smoothing_spares_lips_and_blinks():
    motion = np.random.default_rng(1).uniform(0, 1, (75, 58)).astype(np.float32)
    smoothed = smooth(motion, ARKIT)
    spared = [*ARKIT.lip, ARKIT.index("eyeBlinkLeft"), ARKIT.index("eyeBlinkRight")]
    np.testing.assert_array_equal(smoothed[:, spared], motion[:, spared])
    others = np.setdiff1d(np.arange(58), spared)
    assert (np.diff(smoothed[:, others], axis=0).std(0) < np.diff(motion[:, others], axis=0).std(0)).all()
    assert smoothed[:, :52].min() >= 0 and smoothed[:, :52].max() <= 1


def test_gaps_are_bridged_when_short_and_cut_when_long():
    found = np.ones(75, bool)
    found[[0, 1, 2, 40, 41, 74]] = False
    assert usable_span(found, 5) == (3, 74)
    found[10:20] = False
    assert usable_span(found, 5) == (20, 74)
    assert usable_span(np.zeros(10, bool), 5) == (0, 0)
    values = np.arange(10, dtype=float)[:, None, None] * np.ones((1, 2, 2))
    holed = values.copy()
    holed[4:6] = np.nan
    np.testing.assert_allclose(fill_gaps(holed), values)


def test_preparing_a_miniature_of_grid(tmp_path, capsys):
    """Landmarks of the face model itself, with known pose and jaw, come back as calibrated motion."""
    model, camera = FaceModel.load(), Camera.default(WIDTH, HEIGHT)
    names, frames, clips = ["_neutral", *ARKIT_ACTIONS[:-1]], 40, 3
    scores = np.zeros((clips, frames, 52), np.float32)
    scores[..., 1 + ARKIT_ACTIONS.index("jawOpen")] = 0.3 + 0.3 * np.sin(np.arange(frames) / 3)
    scores[..., 1 + ARKIT_ACTIONS.index("browDownLeft")] = 0.2
    actions = np.concatenate([scores[..., 1:], np.zeros((clips, frames, 1))], -1)
    yaw = 0.1 * np.sin(np.arange(frames) / 8)
    rotation = rotation_matrix(np.stack([np.zeros(frames), yaw, np.zeros(frames)], -1))
    points = model.landmarks(None, actions)[:, :, LANDMARKS] @ rotation.transpose(0, 2, 1) + np.array([0, 0, -90.0])
    landmarks = np.concatenate([camera.project(points) / [WIDTH, HEIGHT], points[..., 2:]], -1).astype(np.float32)
    scores[1, :4] = landmarks[1, :4] = np.nan
    scores[2, 5:35] = landmarks[2, 5:35] = np.nan
    (tmp_path / "audio").mkdir()
    np.savez(
        tmp_path / "motion.npz", clip=["a", "b", "c"], frames=[frames] * clips, blendshapes=scores,
        blendshape_names=names, landmarks=landmarks, landmark_index=LANDMARKS,
    )  # fmt: skip
    for name in "abc":
        with wave.open(str(tmp_path / "audio" / f"{name}.opus"), "wb") as file:  # the decoder goes by content
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(np.repeat(np.arange(frames, dtype=np.int16) * 100, 640).tobytes())

    corpus = prepare({"root": str(tmp_path), "out": str(tmp_path / "out"), "max_gap": 5, "min_frames": 25})
    assert "2 clips" in capsys.readouterr().out
    assert [(c.name, c.frames, c.first_frame, c.emotion) for c in corpus.clips] == [
        ("a", 40, 0, "neutral"),
        ("b", 36, 4, "neutral"),
    ]
    assert corpus.manifest["notes"]["dropped_clips"] == 1 and corpus.manifest["licence"] == "CC BY 4.0"
    motion = corpus.clips[0].motion
    np.testing.assert_allclose(motion[:, ARKIT.index("jawOpen")], actions[0, :, ARKIT.index("jawOpen")], atol=0.08)
    assert motion[:, ARKIT.index("browDownLeft")].max() < 0.05
    np.testing.assert_allclose(motion[:, ARKIT.index("yaw")], yaw - yaw.mean(), atol=0.03)
    np.testing.assert_allclose(corpus.clips[1].audio[:640], 400 / 32768, atol=1e-4)
    assert json.loads((tmp_path / "out" / "corpus.json").read_text())["fps"] == 25


def test_a_folder_that_is_not_grid_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"motion\.npz"):
        prepare({"root": str(tmp_path), "out": str(tmp_path / "out"), "max_gap": 5, "min_frames": 25})
