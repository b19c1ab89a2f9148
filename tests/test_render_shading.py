"""Expression shading and the gains of blendshapes: folds appear where they belong, and rendered actions are read again."""

import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES
from emotalker.core.errors import CheckpointError
from emotalker.evaluation.renderer import LEVELS, responses, slope_and_correlation
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.face.topology import INNER_LIPS
from emotalker.render.compositor import Compositor, FrameInputs
from emotalker.render.gains import GAINS, blendshape_gains
from emotalker.render.shading import PortraitShading, ShadingModel, skin_detail
from emotalker.render.warp_renderer import WarpRenderer


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


@pytest.fixture(scope="module")
def portrait(landmarker):
    return Portrait.from_image(data.astronaut(), landmarker, FaceModel.load(), 256)


def change(**amounts: float) -> np.ndarray:
    """``(52,)``; names without a side set both sides."""
    vector = np.zeros(52, np.float32)
    for i, name in enumerate(ARKIT_BLENDSHAPES):
        vector[i] = amounts.get(name, amounts.get(name.removesuffix("Left").removesuffix("Right"), 0.0))
    return vector


def brightness(picture: np.ndarray, centre: np.ndarray, radius: float) -> float:
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    near = np.hypot(columns - centre[0], rows - centre[1]) < radius
    return float(picture[near].mean())


def shaded(portrait, amounts: np.ndarray, strength: float = 1.5) -> np.ndarray:
    """The photo shaded for a change of blendshapes, without a displacement."""
    shade = PortraitShading(portrait, ShadingModel.load(), strength)(amounts)
    still = np.zeros((64, 64, 2), np.float32)
    return Compositor(portrait.image, (64, 64)).rgb(
        FrameInputs(still, still, (0, 0, portrait.size, portrait.size), shade, [])
    )


def test_no_change_and_no_strength_return_the_photo(portrait):
    np.testing.assert_array_equal(shaded(portrait, change()), portrait.image)
    np.testing.assert_array_equal(shaded(portrait, change(browDown=1.0), strength=0.0), portrait.image)


def test_a_frown_darkens_the_skin_between_the_brows(portrait):
    between = portrait.landmarks[[55, 285, 9]].mean(0)  # inner ends of the brows, and the skin above the nose
    radius = 0.12 * np.linalg.norm(portrait.landmarks[33] - portrait.landmarks[263])
    photo, frowned = portrait.image, shaded(portrait, change(browDown=1.0, noseSneer=0.6))
    assert brightness(frowned, between, radius) < brightness(photo, between, radius) - 1


def test_shading_stays_on_the_skin_of_the_face(portrait):
    difference = np.abs(shaded(portrait, change(mouthSmile=1.0, browInnerUp=1.0)).astype(int) - portrait.image).max(-1)
    assert difference.max() > 3
    low, high = portrait.landmarks[:468].min(0), portrait.landmarks[:468].max(0)
    rows, columns = np.nonzero(difference > 1)
    assert columns.min() >= low[0] - 2 and columns.max() <= high[0] + 2
    assert rows.min() >= low[1] - 2 and rows.max() <= high[1] + 2
    mouth = np.round(portrait.landmarks[np.concatenate([INNER_LIPS.upper, INNER_LIPS.lower])].mean(0)).astype(int)
    assert difference[mouth[1], mouth[0]] <= 1


def test_shading_of_both_sides_is_mirrored():
    model = ShadingModel.load()
    for name, ratio in zip(model.names, model.log_ratios, strict=True):
        partner = ARKIT_BLENDSHAPES[MIRRORED_BLENDSHAPES[ARKIT.index(name)]]
        mirrored = model.log_ratios[model.names.index(partner)][:, ::-1]
        assert np.abs(ratio - mirrored).max() < 0.15, name


def test_smooth_skin_is_shaded_less_than_wrinkled_skin():
    rng, skin = np.random.default_rng(0), np.ones((64, 64), np.float32)
    smooth = np.full((64, 64, 3), 128, np.float32)
    wrinkled = smooth + rng.normal(0, 30, (64, 64, 1)).astype(np.float32)
    assert skin_detail(smooth, skin) < skin_detail(wrinkled, skin)


def test_the_model_survives_a_file_and_a_damaged_file_is_named(tmp_path):
    model = ShadingModel.load()
    again = ShadingModel.load(model.save(tmp_path / "shading.npz"))
    assert again.names == model.names and again.licence == model.licence
    np.testing.assert_allclose(again.log_ratios, model.log_ratios, atol=1e-3)
    (tmp_path / "damaged.npz").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match=r"damaged\.npz is no shading model"):
        ShadingModel.load(tmp_path / "damaged.npz")


def test_gains_are_equal_on_both_sides_and_name_existing_blendshapes():
    gains = blendshape_gains()
    np.testing.assert_array_equal(gains, gains[MIRRORED_BLENDSHAPES])
    assert all(any(name.startswith(prefix) for name in ARKIT_BLENDSHAPES) for prefix in GAINS)


def test_rendered_actions_are_read_again(portrait, landmarker):
    actions = ("browInnerUp", "mouthSmile", "jawOpen")
    response = responses(WarpRenderer(portrait), landmarker, actions)
    assert response.shape == (3, len(LEVELS))
    for action, row in zip(actions, response, strict=True):
        slope, correlation = slope_and_correlation(row[None])
        assert slope > 0.25 and correlation > 0.85, (action, row)


def test_slope_and_correlation_of_known_responses():
    assert slope_and_correlation(0.5 * LEVELS[None]) == pytest.approx((0.5, 1.0))
    missing = np.where(LEVELS == 1, np.nan, 2 * LEVELS)
    assert slope_and_correlation(missing[None]) == pytest.approx((2.0, 1.0))
    assert slope_and_correlation(np.zeros((1, len(LEVELS)))) == (0.0, 0.0)
