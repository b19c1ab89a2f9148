"""The tracker on known motion: timing, smoothing, gaps, shots, files."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.coefficients.resample import resample_motion
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.core.errors import DataError, MissingExtraError, VideoError
from emotalker.face.fit import fit_sequence
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.face.topology import IBUG_68
from emotalker.tracking import TrackedVideo, Tracker
from emotalker.tracking.backends import FIT_POINTS, Detection, FaceAlignment, choose
from emotalker.tracking.shots import CutDetector, is_jump
from emotalker.tracking.smoothing import smooth_fast

SIZE = 256
CAMERA = Camera.default(SIZE, SIZE)
JAW, BLINK = ARKIT.index("jawOpen"), ARKIT.indices(["eyeBlinkLeft", "eyeBlinkRight"])
MODEL = FaceModel.load()


class SyntheticBackend:
    """A backend that returns noisy landmarks of the moving head model."""

    name, prior, landmark_index = "synthetic", "none", np.arange(478)

    def __init__(self, blendshapes: np.ndarray, noise: float = 0.2, angles: np.ndarray | None = None, hidden: tuple = ()):
        rng = np.random.default_rng(0)
        angles = np.zeros((len(blendshapes), 3)) if angles is None else angles
        identity = 0.5 * rng.normal(size=MODEL.num_identity)
        placed = MODEL.landmarks(identity, blendshapes) @ rotation_matrix(angles).transpose(0, 2, 1) + [0, 0, -45]
        exact = CAMERA.project(placed)
        self.points = exact + rng.normal(0, noise, exact.shape)
        self.hidden, self.resets, self.frame = set(hidden), [], -1

    def reset(self, choice=None):
        self.resets.append(self.frame + 1)

    def follow(self, image):
        self.frame += 1
        return None if self.frame in self.hidden else Detection(self.points[self.frame].astype(np.float32), None, 1.0)


def still(count: int, fps: float = 25.0, value: int = 90):
    """Times, durations and grey pictures."""
    return [(i / fps, 1 / fps, np.full((SIZE, SIZE, 3), value, np.uint8)) for i in range(count)]


def track(blendshapes: np.ndarray, fps: float = 25.0, smoothing: bool = True, **options) -> TrackedVideo:
    return Tracker(backend=SyntheticBackend(blendshapes, **options), smoothing=smoothing).track_frames(
        still(len(blendshapes), fps)
    )


def test_smoothing_keeps_closures_and_blinks() -> None:
    blendshapes = np.zeros((80, 52))
    blendshapes[:, JAW] = 0.3
    blendshapes[30:32, JAW] = 0.0  # lips closed for two frames
    blendshapes[50:53, BLINK] = [[0.6], [1.0], [0.6]]
    smoothed, raw = (track(blendshapes, smoothing=s).motion.coefficients for s in (True, False))
    rest = np.r_[5:25, 60:75]
    depth = [np.median(m[rest, JAW]) - m[30:32, JAW].mean() for m in (smoothed, raw)]
    assert depth[0] >= 0.9 * depth[1] and depth[0] >= 0.2
    for i in BLINK:
        height = [m[51, i] - np.median(m[rest, i]) for m in (smoothed, raw)]
        assert height[0] >= 0.9 * height[1] and height[0] >= 0.85, "of a blink of three frames"
    assert np.argmin(smoothed[20:45, JAW]) in (10, 11) and np.argmax(smoothed[40:65, BLINK[0]]) == 11, "no lag"
    for entries, ratio in (([JAW], 0.75), (range(52, 55), 0.6)):
        noise = [np.diff(m[rest][:, entries], axis=0).std() for m in (smoothed, raw)]
        assert noise[0] < ratio * noise[1]


def test_smoothing_reduces_noise_without_lag() -> None:
    rng = np.random.default_rng(1)
    clean = np.full((200, 1), 0.4)
    clean[60:62] = 0.05
    noisy = clean + rng.normal(0, 0.01, clean.shape)
    smoothed = smooth_fast(noisy)
    assert np.abs(smoothed - clean)[100:].mean() < 0.7 * np.abs(noisy - clean)[100:].mean()
    assert (0.4 - smoothed[60:62]).min() > 0.9 * 0.35
    assert np.allclose(smooth_fast(noisy[::-1])[::-1], smoothed), "same result backwards: zero phase"
    assert np.array_equal(smooth_fast(clean), clean)


def test_pose_and_blendshapes_are_recovered() -> None:
    time = np.arange(75)
    blendshapes = np.zeros((75, 52))
    blendshapes[:, JAW] = 0.25 - 0.25 * np.cos(time / 4)
    angles = np.radians(10) * np.stack([np.sin(time / 12), np.sin(time / 9), np.sin(time / 15)], 1)
    tracked = track(blendshapes, angles=angles)
    motion = tracked.motion.coefficients
    assert np.corrcoef(motion[:, JAW], blendshapes[:, JAW])[0, 1] > 0.9
    expected = angles - angles.mean(0)
    error = np.degrees(motion[:, 52:55] - expected)
    assert np.sqrt((error**2).mean()) < 1.0
    assert tracked.valid.all() and tracked.confidence.min() > 0.7 and tracked.shots.tolist() == [[0, 75]]
    # The result suffices to project the head to the picture.
    identity, blendshapes_40, angles_40, translation = tracked.placed(40)
    projected = CAMERA.project(MODEL.landmarks(identity, blendshapes_40) @ rotation_matrix(angles_40).T + translation)
    assert np.linalg.norm(projected - SyntheticBackend(blendshapes, 0, angles).points[40], axis=1).mean() < 2.0, "pixels"


def test_frames_without_a_face_are_invalid() -> None:
    tracked = track(np.zeros((40, 52)), hidden=range(15, 22))
    assert np.flatnonzero(~tracked.valid).tolist() == list(range(15, 22))
    assert np.isnan(tracked.motion.coefficients[15:22]).all() and (tracked.confidence[15:22] == 0).all()
    assert np.isfinite(tracked.motion.coefficients[tracked.valid]).all()
    empty = track(np.zeros((10, 52)), hidden=range(10))
    assert not empty.valid.any() and np.isnan(empty.motion.coefficients).all() and (empty.confidence == 0).all()


def test_lasting_expression_is_not_calibrated_away() -> None:
    blendshapes = np.zeros((60, 52))
    brow = ARKIT.indices(["browInnerUp", "browOuterUpLeft", "browOuterUpRight"])
    blendshapes[20:, brow] = 0.9
    raised = track(blendshapes, noise=0.05).motion.coefficients[30:, brow]
    assert raised.mean() > 0.4


def test_open_eyes_do_not_blink() -> None:
    tracked = track(np.zeros((60, 52)))
    assert tracked.motion.coefficients[:, BLINK].max() < 0.3


def test_fitted_landmarks_are_discarded() -> None:
    from emotalker.tracking import shot_fit

    fitter = shot_fit.ShotFitter(MODEL, CAMERA, FIT_POINTS, Tracker(backend=SyntheticBackend(np.zeros((1, 52)))).options)
    points = SyntheticBackend(np.zeros((1, 52))).points[0, FIT_POINTS]
    most = 0
    for _ in range(shot_fit.IDENTITY_FRAMES + 2 * shot_fit.CHUNK + 5):
        fitter.add(points, None)
        most = max(most, len(fitter._points))
    assert most < shot_fit.IDENTITY_FRAMES and len(fitter._points) == 5
    fit = fitter.finish()
    assert len(fit.blendshapes) == shot_fit.IDENTITY_FRAMES + 2 * shot_fit.CHUNK + 5 and np.isfinite(fit.blendshapes).all()


def test_each_shot_has_its_own_identity_and_rest() -> None:
    blendshapes = np.zeros((60, 52))
    angles = np.zeros((60, 3))
    angles[30:, 1] = np.radians(12)
    backend = SyntheticBackend(blendshapes, angles=angles)
    other = SyntheticBackend(blendshapes, angles=angles)
    backend.points[30:] = other.points[30:] + [0.0, 6.0]
    frames = still(30) + [(i / 25, 1 / 25, np.full((SIZE, SIZE, 3), 220, np.uint8)) for i in range(30, 60)]
    tracked = Tracker(backend=backend).track_frames(frames)
    assert tracked.shots.tolist() == [[0, 30], [30, 60]] and backend.resets == [0, 30]
    assert tracked.identities.shape == (2, MODEL.num_identity)
    turned = np.degrees(tracked.rest_poses[:, 1])
    assert turned[1] - turned[0] == pytest.approx(12, abs=2)
    assert np.abs(np.degrees(tracked.motion.coefficients[:, 52:55])).max() < 3, "each relative to its own rest"
    assert [tracked.shot_of(frame) for frame in (0, 29, 30, 59)] == [0, 0, 1, 1]


def test_cuts_are_detected_and_motion_is_not_a_cut() -> None:
    rng = np.random.default_rng(0)
    scenes = [np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8) for _ in range(2)]
    frames = [np.roll(scenes[i // 20], 3 * (i % 20), 1) for i in range(40)]
    detect = CutDetector()
    assert [i for i, frame in enumerate(frames) if detect(frame)] == [20]
    face = rng.uniform(0, 100, (478, 2))
    assert is_jump(face, face + [70, 0]) and is_jump(face, face * 2) and not is_jump(face, face * 1.1 + 20)


def test_choice_of_a_face() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 60, 40], [70, 0, 90, 20]], float)
    assert [choose(boxes, c) for c in (None, 1, 2, 3, 4)] == [1, 1, 2, 0, None]
    assert choose(boxes, (75.0, 5.0)) == 2 and choose(boxes, (15.0, 5.0)) is None
    assert choose(np.zeros((0, 4)), None) is None


class TestResampling:
    def track(self, times: np.ndarray) -> np.ndarray:
        return np.zeros((len(times), ARKIT.dim))

    @pytest.mark.parametrize("fps", [23.976, 25, 29.97, 50, 60])
    def test_slow_motion_at_any_rate(self, fps: float) -> None:
        times = np.arange(int(3 * fps)) / fps
        values = self.track(times)
        values[:, JAW], values[:, 53] = 0.5 + 0.4 * np.sin(3 * times), 0.3 * np.sin(2 * times)
        out = resample_motion(times, values, ARKIT, 25)
        k = np.arange(len(out)) / 25
        assert len(out) == round(len(times) / fps * 25) and np.isfinite(out).all()
        assert np.abs(out[:-2, JAW] - 0.5 - 0.4 * np.sin(3 * k[:-2])).max() < 0.03
        assert np.abs(out[:-2, 53] - 0.3 * np.sin(2 * k[:-2])).max() < 2e-3

    def test_same_rate_does_not_change_motion(self) -> None:
        values = np.random.default_rng(0).uniform(0, 0.3, (40, ARKIT.dim))
        assert np.allclose(resample_motion(np.arange(40) / 25, values, ARKIT, 25), values, atol=1e-6)

    @pytest.mark.parametrize("phase", np.linspace(0, 0.04, 7))
    def test_blink_between_two_frames_keeps_its_height(self, phase: float) -> None:
        times = np.arange(180) / 60 + phase
        values = self.track(times)
        values[90:93, BLINK] = [[0.5], [1.0], [0.5]]
        values[:, JAW] = 0.4
        values[120:122, JAW] = 0.0
        out = resample_motion(times, values, ARKIT, 25)
        assert np.nanmax(out[:, BLINK]) >= 0.99 and np.nanmin(out[:, JAW]) <= 0.01
        assert abs(np.nanargmax(out[:, BLINK[0]]) / 25 - times[91]) <= 0.021

    def test_angles_are_interpolated_along_the_shorter_arc(self) -> None:
        ends = np.array([[0.2, 0.1, np.pi - 0.1], [0.2, 0.1, -np.pi + 0.1]])
        values = self.track(np.zeros(2))
        values[:, 52:55] = ends
        out = resample_motion(np.array([0.0, 0.08]), values, ARKIT, 25, duration=0.12)
        middle = rotation_matrix(out[1, 52:55].astype(float))
        relative = [np.linalg.norm(rotation_angles(rotation_matrix(end).T @ middle)) for end in ends]
        assert relative[0] == pytest.approx(relative[1], abs=1e-3) and max(relative) < 0.11

    def test_variable_frame_rate_uses_timestamps(self) -> None:
        rng = np.random.default_rng(0)
        times = np.cumsum(rng.uniform(0.015, 0.06, 100)) - 0.015
        values = self.track(times)
        values[:, 53] = 0.2 * times
        out = resample_motion(times, values, ARKIT, 25)
        k = np.arange(len(out)) / 25
        inner = (k > times[0]) & (k < times[-1])
        assert np.abs(out[inner, 53] - 0.2 * k[inner]).max() < 1e-5

    def test_frozen_picture(self) -> None:
        values = self.track(np.zeros(4))
        values[:, 53] = [0, 0.1, 0.2, 0.3]
        out = resample_motion(np.array([0, 0.04, 1.0, 1.04]), values, ARKIT, 25)
        assert np.allclose(out[1:25, 53], 0.1, atol=1e-6) and out[25, 53] == pytest.approx(0.2)

    def test_gaps_are_kept(self) -> None:
        times = np.arange(60) / 30
        values = self.track(times)
        values[20:30] = np.nan
        out = resample_motion(times, values, ARKIT, 25)
        lost = np.flatnonzero(np.isnan(out).any(1)) / 25
        assert times[20] - 0.02 <= lost.min() and lost.max() <= times[29] + 0.02 and len(lost) >= 7


def test_file_round_trip(tmp_path) -> None:
    tracked = Tracker(backend=SyntheticBackend(np.zeros((12, 52)))).track_frames(still(12), keep_landmarks=True)
    again = TrackedVideo.load(tracked.save(tmp_path / "c.npz"))
    for name in ("confidence", "valid", "shots", "identities", "rest_poses", "rest_blendshapes", "shut_lids", "landmarks"):
        assert np.array_equal(getattr(again, name), getattr(tracked, name)), name
    assert np.array_equal(again.motion.coefficients, tracked.motion.coefficients)
    assert (again.size, again.backend, again.prior) == ((SIZE, SIZE), "synthetic", "none")
    assert again.source_fps == pytest.approx(25)
    assert again.landmarks.shape == (12, 478, 2) and len(again.landmark_times) == 12
    assert np.array_equal(MotionTrack.load(tmp_path / "c.npz").coefficients, tracked.motion.coefficients)
    tracked.motion.save(tmp_path / "plain.npz")
    with pytest.raises(DataError, match="not a tracked video"):
        TrackedVideo.load(tmp_path / "plain.npz")


def test_no_frames_raises() -> None:
    with pytest.raises(VideoError, match="no frames"):
        Tracker(backend=SyntheticBackend(np.zeros((1, 52)))).track_frames([])


def test_68_points_suffice_for_the_jaw() -> None:
    blendshapes = np.zeros((50, 52))
    blendshapes[:, JAW] = 0.3 - 0.3 * np.cos(np.arange(50) / 5)
    points = SyntheticBackend(blendshapes).points[:, IBUG_68]
    fit = fit_sequence(MODEL, points, CAMERA, landmark_index=IBUG_68)
    assert np.corrcoef(fit.blendshapes[:, JAW], blendshapes[:, JAW])[0, 1] > 0.95


def test_missing_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emotalker\[face-alignment\]'"):
        FaceAlignment()
