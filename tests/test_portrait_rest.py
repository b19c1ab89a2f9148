"""A portrait's own expression goes before it performs: smiles fall, mouths close, neutral faces stay as they are."""

import argparse
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.face import expression_lines
from emotalker.face.expression_lines import soften_lines
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.face.resting import ADDED, entries, lip_gap, shown_expression
from emotalker.face.topology import LEFT_EYE, RIGHT_EYE
from emotalker.inference.options import add_style_options
from emotalker.render.gains import blendshape_gains
from emotalker.render.layers import contact_line
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.synthetic.films import SyntheticPerson

SIZE = 384
PEOPLE = (2, 5)
SMILE = {"mouthSmile": 0.9, "mouthUpperUp": 0.4, "jawOpen": 0.2}


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


@pytest.fixture(scope="module")
def model():
    return FaceModel.load()


@pytest.fixture(scope="module")
def astronaut(landmarker, model):
    return Portrait.from_image(data.astronaut(), landmarker, model, SIZE)


def blendshapes(**amounts: float) -> np.ndarray:
    """``(52,)``; names without a side set both sides."""
    vector = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
    for name, amount in amounts.items():
        vector[entries(name)] = amount
    return vector


def picture(model: FaceModel, person: int, **amounts: float) -> np.ndarray:
    """A rendered person of the head model with an expression."""
    return SyntheticPerson(model, np.random.default_rng(person), 512).frame(
        blendshapes(**amounts), np.zeros(3), np.array([0.0, 0.0, -60.0])
    )


def at_rest(portrait: Portrait, **amounts: float) -> np.ndarray:
    """A frame of the portrait with motion zero but for ``amounts``."""
    motion = np.zeros((1, ARKIT.dim), np.float32)
    motion[0, ARKIT.expression] = blendshapes(**amounts)
    return next(WarpRenderer(portrait).render(motion))


def tracked(landmarker: FaceLandmarker, image: np.ndarray):
    faces = landmarker.detect(image)
    assert faces, "no face in the frame"
    return faces[0]


def score(face, name: str) -> float:
    return float(face.scores[entries(name)].mean())


def corner_lift(points: np.ndarray) -> float:
    """Height of the mouth's corners above its middle, over the distance of the outer corners of the eyes."""
    return float((points[[13, 14], 1].mean() - points[[61, 291], 1].mean()) / np.linalg.norm(points[33] - points[263]))


def signal_to_noise(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR of two uint8 pictures, dB."""
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9)))


@pytest.mark.parametrize("person", PEOPLE)
def test_a_smile_falls_to_where_the_neutral_face_has_its_mouth_corners(landmarker, model, person):
    portrait = Portrait.from_image(picture(model, person, **SMILE), landmarker, model, SIZE)
    neutral = corner_lift(tracked(landmarker, picture(model, person)).points)
    smiling = corner_lift(portrait.landmarks)
    face = tracked(landmarker, at_rest(portrait))
    assert smiling > neutral + 0.03
    assert abs(corner_lift(face.points) - neutral) < 0.5 * (smiling - neutral)
    assert score(face, "mouthSmile") < 0.2


@pytest.mark.parametrize("person", PEOPLE)
def test_an_open_mouth_closes_and_opens_again(landmarker, model, person):
    portrait = Portrait.from_image(picture(model, person, jawOpen=0.35), landmarker, model, SIZE)
    assert lip_gap(portrait.landmarks) > 0.1
    assert lip_gap(tracked(landmarker, at_rest(portrait)).points[:, :2]) < 0.03
    assert lip_gap(tracked(landmarker, at_rest(portrait, jawOpen=0.4)).points[:, :2]) > 0.1


@pytest.mark.parametrize("person", PEOPLE)
def test_a_neutral_face_stays_as_it_is(landmarker, model, person):
    portrait = Portrait.from_image(picture(model, person), landmarker, model, SIZE)
    assert not portrait.expression.any()
    frame = at_rest(portrait)
    assert signal_to_noise(frame, portrait.image) > 42
    assert np.abs(tracked(landmarker, frame).points[:, :2] - portrait.landmarks).max() < 0.01 * SIZE


def test_a_photo_with_a_toothy_smile_comes_to_rest(landmarker, astronaut):
    photo, rest = tracked(landmarker, data.astronaut()), tracked(landmarker, at_rest(astronaut))
    assert score(photo, "mouthSmile") > 0.8 and lip_gap(photo.points[:, :2]) > 0.12
    assert score(rest, "mouthSmile") < 0.35 and lip_gap(rest.points[:, :2]) < 0.04


def test_the_share_that_is_kept_lies_between_rest_and_the_photo(landmarker, astronaut):
    smiles = [
        score(tracked(landmarker, at_rest(replace(astronaut, keep_expression=share))), "mouthSmile") for share in (0, 0.5, 1)
    ]
    assert smiles[0] < smiles[1] - 0.1 and smiles[2] > 0.7


def test_keeping_everything_replaces_the_lips_and_adds_the_rest(landmarker, model):
    """The controls of the renderer before expressions were removed: a photo's smile stays, its lips follow the motion."""
    portrait = Portrait.from_image(data.astronaut(), landmarker, model, SIZE, keep_expression=1.0)
    np.testing.assert_array_equal(portrait.removed, np.where(ADDED, 0, portrait.fit.blendshapes[0]))
    rest = np.where(ADDED, 0, portrait.fit.blendshapes[0])
    motion = blendshapes(browInnerUp=0.3, jawOpen=0.2, mouthSmile=0.1)
    controls = WarpRenderer(portrait)._controls(motion[None])[0, : len(motion)]
    np.testing.assert_allclose(controls, motion - rest / blendshape_gains(), atol=1e-6)
    lips = ARKIT.indices([name for name in ARKIT.lip_names if name in ARKIT_BLENDSHAPES])
    np.testing.assert_array_equal(portrait.reference()[lips], portrait.fit.blendshapes[0][lips])


def test_the_reference_of_a_smiling_portrait_does_not_smile(astronaut):
    smile = ARKIT.indices(["mouthSmileLeft", "mouthSmileRight", "mouthUpperUpLeft"])
    assert astronaut.fit.blendshapes[0][smile].min() > 0.4
    assert np.abs(astronaut.reference()[smile]).max() < 0.1


def test_a_blink_closes_eyes_that_a_smile_had_narrowed(landmarker, astronaut):
    def opening(points: np.ndarray, eye) -> float:
        return float(np.linalg.norm(points[eye.lower[1:-1]] - points[eye.upper[1:-1]], axis=1).mean())

    assert astronaut.removed[entries("eyeSquint")].min() > 0.05
    open_eyes, closed = (tracked(landmarker, at_rest(astronaut, eyeBlink=v)).points[:, :2] for v in (0.0, 1.0))
    for eye in (LEFT_EYE, RIGHT_EYE):
        assert opening(closed, eye) < 0.5 * opening(open_eyes, eye)


def test_what_neutral_faces_are_fitted_with_is_no_expression(model):
    fitted = blendshapes(eyeSquint=0.7, browDown=0.6, mouthSmile=0.3, mouthShrugLower=0.5, jawOpen=0.2)
    scores = blendshapes(eyeSquint=0.6, browDown=0.65, mouthSmile=0.33)
    assert not shown_expression(fitted, scores, 0.01, model).any()


def test_a_smile_brings_the_narrow_eyes_with_it(model):
    fitted = blendshapes(eyeSquint=0.7, mouthSmile=0.8)
    shown = shown_expression(fitted, blendshapes(mouthSmile=0.9), 0.01, model)
    assert shown[entries("mouthSmile")].min() >= 0.8
    assert 0 < shown[entries("eyeSquint")].max() < 0.7
    half = shown_expression(fitted, blendshapes(mouthSmile=0.5), 0.01, model)
    assert 0 < half[entries("mouthSmile")][0] < shown[entries("mouthSmile")][0]


def test_parted_lips_are_expression_and_a_jaw_behind_closed_lips_is_not(model):
    fitted = blendshapes(jawOpen=0.3, mouthClose=0.3, mouthSmile=0.3)
    parted = shown_expression(fitted, blendshapes(mouthSmile=0.9), 0.2, model)[entries("jawOpen")]
    behind = shown_expression(fitted, blendshapes(mouthSmile=0.9), 0.01, model)[entries("jawOpen")]
    assert parted > 0.2 and behind < 0.03


def test_lines_are_softened_near_the_mouth_only(astronaut, landmarker, model):
    photo = Portrait.from_image(data.astronaut(), landmarker, model, SIZE, keep_expression=1.0).image
    assert soften_lines(photo, astronaut.landmarks, 0.0, 0.0) is photo
    softer = soften_lines(photo, astronaut.landmarks, 1.0, 0.0)
    change = np.abs(softer.astype(int) - photo).max(-1)
    x, y = astronaut.landmarks[206].astype(int)
    assert change[y - 8 : y + 8, x - 8 : x + 8].max() > 3
    assert change[: int(astronaut.landmarks[10, 1])].max() == 0 and change[int(astronaut.landmarks[152, 1]) + 20 :].max() == 0


def test_the_line_of_contact_is_where_both_edges_are():
    assert contact_line(np.float32(0), np.float32(0), 1.5, 1.0) == 1
    assert contact_line(np.float32(4), np.float32(-4), 1.5, 1.0) < 0.01  # on one lip
    assert contact_line(np.float32(-2), np.float32(-2), 1.5, 1.0) == 0  # between lips that are apart


@pytest.mark.parametrize("value", ["-0.1", "1.5", "some"])
def test_the_option_takes_a_share(value):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_style_options(parser)
    assert parser.parse_args(["--keep-expression", "0.25"]).keep_expression == 0.25
    with pytest.raises(argparse.ArgumentError):
        parser.parse_args([f"--keep-expression={value}"])


def test_wide_blurs_are_gaussian():
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.uniform(0, 255, (12, 12, 3)).astype(np.float32), (480, 480))
    exact = cv2.GaussianBlur(image, (0, 0), 40)
    difference = np.abs(expression_lines._blur(image, 40) - exact)
    assert difference.max() < 3 and difference[60:-60, 60:-60].max() < 0.5  # borders are mirrored at another resolution
