"""Fits of 68 landmarks: synthetic actors with detector noise, the prior, smoothing, and the RAVDESS reader."""

import numpy as np
import pytest
from helpers import save_wav

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.core.errors import CheckpointError, DataError
from emotalker.data.readers import make_reader
from emotalker.face import sparse
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.face.sparse import fit_landmarks, lip_gap_68, measure_speaker, smooth_landmarks
from emotalker.face.sparse_prior import SparsePrior
from emotalker.face.topology import IBUG_68

CAMERA = Camera.default(1280, 720)
MOVED = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "browDownLeft", "mouthPucker", "eyeBlinkLeft")


def synthetic_actor(frames: int, seed: int, talks: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rounded noisy landmarks ``(T, 68, 2)``, blendshapes ``(T, 52)`` and angles ``(T, 3)``.

    The actor's head is not in the face model's space: every point is displaced by some millimetres.
    """
    rng, model = np.random.default_rng(seed), FaceModel.load()
    own = np.random.default_rng(99)
    identity, displacement = own.normal(0, 1, model.num_identity) * 0.5, own.normal(0, 0.15, (478, 3))
    time = np.arange(frames) / 25
    blendshapes = np.zeros((frames, 52), np.float32)
    if talks:
        for i, name in enumerate(MOVED):
            level = np.sin(2 * np.pi * (0.4 + 0.15 * i) * time + rng.uniform(0, 6))
            blendshapes[:, ARKIT.index(name)] = np.clip(level, 0, 1) * 0.6
        blendshapes[-8:] = 0  # clips end at rest
    angles = 0.08 * np.sin(time[:, None] * [1.0, 0.7, 0.5] + rng.uniform(0, 6, 3))
    points = (model.landmarks(identity, blendshapes) + displacement)[:, IBUG_68] @ rotation_matrix(angles).transpose(0, 2, 1)
    pixels = CAMERA.project(points + np.array([1.0, -1.0, -110.0]))
    return np.round(pixels + rng.normal(0, 0.5, pixels.shape)), blendshapes, angles


@pytest.fixture(scope="module")
def speaker():
    clips = [synthetic_actor(40, 0, talks=False)[0], *(synthetic_actor(90, seed)[0] for seed in (1, 2))]
    return measure_speaker(clips, [True, False, False], CAMERA)


def test_motion_of_a_synthetic_actor_is_recovered(speaker):
    landmarks, blendshapes, angles = synthetic_actor(120, 5)
    fit = fit_landmarks(speaker, landmarks)
    found = speaker.calibration(fit.blendshapes)
    for name in MOVED:
        i = ARKIT.index(name)
        # lower than without the prior, because the blendshapes are independent here, unlike in tracked faces
        assert np.corrcoef(found[:, i], blendshapes[:, i])[0, 1] > 0.88, name
    still = [i for i, n in enumerate(ARKIT.expression_names) if n not in MOVED]
    assert np.abs(found[:, still]).mean() < 0.05
    pose = rotation_angles(rotation_matrix(fit.angles) @ speaker.rotation.T)
    error = (pose - pose.mean(0)) - (angles - angles.mean(0))
    assert np.degrees(np.sqrt(np.square(error).mean())) < 1.5
    assert fit.reprojection_error_px.mean() < 2


def test_a_resting_person_has_resting_blendshapes(speaker):
    landmarks, *_ = synthetic_actor(40, 7, talks=False)
    blendshapes = speaker.calibration(fit_landmarks(speaker, landmarks).blendshapes)
    opened = blendshapes[:, ARKIT.index("jawOpen")] - blendshapes[:, ARKIT.index("mouthClose")]
    assert blendshapes.mean() < 0.03 and opened.max() < 0.05


def test_unobserved_blendshapes_are_zero(speaker):
    blendshapes = fit_landmarks(speaker, synthetic_actor(60, 8)[0]).blendshapes
    assert not blendshapes[:, ARKIT.indices(sparse.UNOBSERVED)].any()


def test_smoothing_removes_noise_and_keeps_a_short_closure():
    rng = np.random.default_rng(0)
    still = rng.normal(0, 0.5, (200, 68, 2)) + rng.uniform(400, 800, (68, 2))
    noise = sparse._measure_noise([still])
    assert smooth_landmarks(still, noise)[5:-5].std(0).mean() < 0.8 * still.std(0).mean()

    points = synthetic_actor(60, 3)[0] * 1.0
    lower = [55, 56, 57, 58, 59, 65, 66, 67]
    open_, closed = points.copy(), slice(30, 32)
    open_[:, lower, 1] += 12
    open_[closed, :, :] = points[closed]
    quiet = dict.fromkeys(sparse.GROUPS, 0.3)
    before, after = lip_gap_68(open_), lip_gap_68(smooth_landmarks(open_, quiet))
    depth = np.median(before[20:28]) - before[closed].mean()
    assert np.median(after[20:28]) - after[closed].mean() > 0.9 * depth
    assert len(smooth_landmarks(points[:3], quiet)) == 3


def test_reader_of_a_small_ravdess_corpus(tmp_path):
    names = {"02-01-01-01-01-01-01": 0, "02-01-03-02-01-01-01": 1, "02-01-05-02-02-01-01": 2}
    clips = {name: synthetic_actor(60, seed, talks=seed > 0)[0].astype(np.int16) for name, seed in names.items()}
    (tmp_path / "ravdess_landmarks").mkdir()
    np.savez(tmp_path / "ravdess_landmarks" / "Actor_01.npz", **clips, **{"02-01-08-01-01-01-01": clips[next(iter(clips))]})
    for name in names:
        save_wav(tmp_path / "ravdess" / f"03{name[2:]}.wav", np.random.default_rng(0).normal(0, 0.1, 32032))
    reader = make_reader({"reader": "ravdess_landmarks", "root": tmp_path})
    found = reader.clips()
    assert [(c.id, c.emotion, c.level) for c in found] == [
        ("01-01-01-01-01-01", "neutral", 1), ("01-03-02-01-01-01", "happy", 2), ("01-05-02-02-01-01", "angry", 2),
    ]  # fmt: skip
    data = reader.load(found[1])
    assert data.motion.shape == (50, 58) and len(data.audio) == 32000 and 0 < data.confidence.min() <= 1
    assert data.motion[:, :52].min() >= 0 and data.motion[:, :52].max() <= 1

    del clips["02-01-01-01-01-01-01"]
    np.savez(tmp_path / "ravdess_landmarks" / "Actor_01.npz", **clips)
    reader = make_reader({"reader": "ravdess_landmarks", "root": tmp_path})
    with pytest.raises(DataError, match="no neutral clip"):
        reader.load(reader.clips()[0])


def test_prior_separates_ambiguous_blendshapes():
    """Pucker and funnel are equal on these synthetic faces; a fit without a prior distributes them over more blendshapes."""
    rng = np.random.default_rng(0)
    motion = np.zeros((400, 58), np.float32)
    pair = ARKIT.indices(["mouthPucker", "mouthFunnel"])
    motion[:, pair] = rng.uniform(0, 0.6, (400, 1))
    motion[:, ARKIT.index("jawOpen")] = rng.uniform(0, 0.5, 400)
    motion[:, ARKIT.pose][:, :3] = rng.normal(0, 0.05, (400, 3))
    fitted, tracked = sparse.project_and_fit(motion), motion[:, ARKIT.expression]
    prior = SparsePrior.fit(fitted[:300], tracked[:300])
    before, after = (np.square(a - tracked[300:]).mean() for a in (fitted[300:], prior(fitted[300:])))
    assert after < 0.3 * before
    assert prior(np.ones((1, 52))).max() <= 1 and prior(-np.ones((1, 52))).min() >= 0 and not prior(np.zeros((1, 52))).any()


def test_prior_file_round_trip(tmp_path):
    packaged = SparsePrior.load()
    again = SparsePrior.load(packaged.save(tmp_path / "prior.npz"))
    assert np.allclose(again.slopes, packaged.slopes)
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match=r"broken\.npz is not a sparse-landmark prior"):
        SparsePrior.load(tmp_path / "broken.npz")
