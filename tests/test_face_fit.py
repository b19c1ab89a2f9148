"""Fits of the head model to landmarks of synthetic faces and of a photograph, and edge cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.fit import FitOptions, fit_face, fit_identity, fit_sequence
from emotalker.face.geometry import Camera
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.topology import INNER_LIPS

CAMERA = Camera.default(512, 512)
SUBSET = np.unique(
    np.concatenate([np.arange(0, 468, 6), *INNER_LIPS, [33, 133, 159, 145, 362, 263, 386, 374, 468, 473, 152]])
)


@dataclass
class Clip:
    identity: np.ndarray
    blendshapes: np.ndarray
    angles: np.ndarray
    exact: np.ndarray
    landmarks: np.ndarray


def synthetic(model: FaceModel, seed: int, frames: int = 60, noise: float = 0.5) -> Clip:
    """Projected landmarks of random faces, with noise of ``noise`` pixels."""
    rng = np.random.default_rng(seed)
    identity = rng.normal(size=model.num_identity)
    blendshapes = rng.uniform(size=(frames, 52)) * (rng.uniform(size=(frames, 52)) < 0.3)
    angles = rng.normal(0, 0.12, (frames, 3))
    translation = rng.normal([0, 0, -45], [1, 1, 2], (frames, 3))
    placed = model.landmarks(identity, blendshapes) @ rotation_matrix(angles).transpose(0, 2, 1) + translation[:, None]
    exact = CAMERA.project(placed)
    return Clip(identity, blendshapes, angles, exact, exact + rng.normal(0, noise, exact.shape))


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return FaceModel.load()


@pytest.mark.parametrize("index", [None, SUBSET], ids=["all points", "some points"])
def test_closed_loop_without_scores(model: FaceModel, index: np.ndarray | None) -> None:
    clip = synthetic(model, seed=0)
    points = slice(None) if index is None else index
    fit = fit_sequence(model, clip.landmarks[:, points], CAMERA, landmark_index=index)
    fitted = np.stack([CAMERA.project(fit.place(model.landmarks(fit.identity, a), i)) for i, a in enumerate(fit.blendshapes)])
    assert np.linalg.norm(fitted - clip.exact, axis=-1)[:, points].mean() < 1.2, (
        "mean distance from the noiseless landmarks, pixels"
    )
    assert fit.reprojection_error_px.max() < 2.5 and fit.relative_error.mean() < 0.012
    assert fit.blendshapes.min() >= 0 and fit.blendshapes.max() <= 1
    for name in (
        "jawOpen",
        "eyeBlinkLeft",
        "eyeBlinkRight",
        "mouthSmileLeft",
        "mouthSmileRight",
        "browInnerUp",
        "browDownLeft",
    ):
        column = ARKIT.index(name)
        assert np.corrcoef(fit.blendshapes[:, column], clip.blendshapes[:, column])[0, 1] > 0.9, name
    # The mean angles are ambiguous with the identity, so only motion is compared.
    error = np.degrees(fit.angles - clip.angles)
    assert np.sqrt(((error - error.mean(0)) ** 2).mean(0)).max() < 1.5


def test_lip_gap_is_accurate(model: FaceModel) -> None:
    clip = synthetic(model, seed=1)
    fit = fit_sequence(model, clip.landmarks, CAMERA)
    fitted = np.stack([CAMERA.project(fit.place(model.landmarks(fit.identity, a), i)) for i, a in enumerate(fit.blendshapes)])
    gap = np.linalg.norm(fitted[:, 13] - fitted[:, 14], axis=1)
    exact = np.linalg.norm(clip.exact[:, 13] - clip.exact[:, 14], axis=1)
    assert np.abs(gap - exact).mean() < 1.0 and np.corrcoef(gap, exact)[0, 1] > 0.99


def test_identity_of_one_clip_fits_another(model: FaceModel) -> None:
    clip = synthetic(model, seed=2, frames=60)
    identity = fit_identity(model, clip.landmarks[:40], CAMERA)
    shape = model.landmarks(identity) - model.landmarks(identity).mean(0)
    truth = model.landmarks(clip.identity) - model.landmarks(clip.identity).mean(0)
    average = model.landmark_mean - model.landmark_mean.mean(0)
    assert np.linalg.norm((shape - truth)[:, :2]) < 0.6 * np.linalg.norm((average - truth)[:, :2])
    fit = fit_sequence(model, clip.landmarks[40:], CAMERA, identity=identity)
    assert np.array_equal(fit.identity, identity) and fit.relative_error.mean() < 0.015


def test_scores_determine_unobservable_blendshapes(model: FaceModel) -> None:
    clip = synthetic(model, seed=3, frames=10, noise=0)
    scores = clip.blendshapes.copy()
    scores[:, ARKIT.index("tongueOut")] = 0.6
    with_scores = fit_sequence(model, clip.landmarks, CAMERA, scores)
    without = fit_sequence(model, clip.landmarks, CAMERA)
    assert np.allclose(with_scores.blendshapes[:, ARKIT.index("tongueOut")], 0.6, atol=0.01)
    # all but tongueOut, which is last
    error, error_without = (np.abs(f.blendshapes - scores)[:, :51].mean() for f in (with_scores, without))
    assert error < error_without
    tight = fit_sequence(model, clip.landmarks, CAMERA, scores, options=FitOptions(score=0.01))
    assert np.abs(tight.blendshapes - scores).max() < 0.1


def test_result_does_not_depend_on_resolution(model: FaceModel) -> None:
    clip = synthetic(model, seed=4, frames=5)
    small = fit_sequence(model, clip.landmarks, CAMERA)
    large = fit_sequence(model, clip.landmarks * 2, Camera.default(1024, 1024))
    assert np.allclose(small.blendshapes, large.blendshapes, atol=1e-4)
    assert np.allclose(large.reprojection_error_px, 2 * small.reprojection_error_px, rtol=1e-3)


def test_frames_without_a_face_are_nan(model: FaceModel) -> None:
    clip = synthetic(model, seed=5, frames=6)
    clip.landmarks[2] = np.nan
    fit = fit_sequence(model, clip.landmarks, CAMERA)
    assert np.isnan(fit.blendshapes[2]).all() and np.isnan(fit.angles[2]).all() and np.isnan(fit.reprojection_error_px[2])
    assert np.isfinite(np.delete(fit.blendshapes, 2, axis=0)).all() and np.isfinite(fit.identity).all()
    empty = fit_sequence(model, np.full((2, 478, 2), np.nan), CAMERA)
    assert np.isnan(empty.blendshapes).all() and (empty.identity == 0).all()


def test_wrong_shapes_raise(model: FaceModel) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        fit_sequence(model, np.zeros((3, 84, 2)), CAMERA)
    with pytest.raises(ValueError, match="scores"):
        fit_sequence(model, np.zeros((3, 478, 2)), CAMERA, np.zeros((2, 52)))


def test_photograph(model: FaceModel) -> None:
    photo = data.astronaut()
    (face,) = FaceLandmarker().detect(photo)[:1]
    camera = Camera.default(photo.shape[1], photo.shape[0])
    fit = fit_face(model, face.points[:, :2], camera, face.scores)
    assert fit.blendshapes.shape == (1, 52) and fit.relative_error[0] < 0.035
    assert np.abs(np.degrees(fit.angles)).max() < 12 and fit.translation[0, 2] < -20
    smile = fit.blendshapes[0, [ARKIT.index("mouthSmileLeft"), ARKIT.index("mouthSmileRight")]]
    assert smile.min() > 0.3
