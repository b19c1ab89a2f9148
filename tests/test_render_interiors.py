"""Teeth, tongue and eyeballs of the warp renderer: their light, what moves with what, and what stays in its place."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.lip_rims import clean_lip_rims
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.face.topology import INNER_LIPS, LEFT_EYE, LEFT_IRIS, OUTER_LIPS, RIGHT_EYE, RIGHT_IRIS
from emotalker.render.eyelids import with_lit_lids
from emotalker.render.eyes import Eyeball
from emotalker.render.mouth import MouthInterior
from emotalker.render.mouth_light import mouth_light
from emotalker.render.opening_line import opening_edges
from emotalker.render.photo_interior import _end_of_upper_teeth, _start_of_lower_teeth
from emotalker.render.shading import ShadingModel
from emotalker.render.warp import Region
from emotalker.render.warp_renderer import WarpRenderer

#: The colour of an interior that a test looks for.
GREEN = np.array([0, 255, 0], np.uint8)


@pytest.fixture(scope="module")
def portrait():
    """Smiles with teeth, eyes with catchlights."""
    return Portrait.from_image(data.astronaut(), FaceLandmarker(), FaceModel.load(), 384)


@pytest.fixture(scope="module")
def renderer(portrait):
    return WarpRenderer(portrait)


@pytest.fixture(scope="module")
def mouth(portrait) -> MouthInterior:
    return MouthInterior(portrait, *opening(portrait, INNER_LIPS))


def opening(portrait, contours):
    points = portrait.landmarks[np.concatenate([contours.upper, contours.lower])]
    region = Region.around(points, (0.2 * np.ptp(points[:, 0]), 0.8 * np.ptp(points[:, 0])), portrait.size, step=1)
    return region, opening_edges(portrait.landmarks, contours)


def eyeball(portrait, contours=LEFT_EYE, iris=LEFT_IRIS) -> tuple[Eyeball, np.ndarray, float]:
    """The eyeball, the centre of its iris in its region, and the radius."""
    region, edges = opening(portrait, contours)
    centre = portrait.landmarks[iris[0]]
    radius = np.linalg.norm(portrait.landmarks[iris[1:]] - centre, axis=1).mean()
    return Eyeball(portrait, region, edges, iris), centre - [region.x, region.y], radius


def blendshapes(**entries: float) -> np.ndarray:
    """``(52,)``; names without a side set both sides."""
    values = np.zeros(ARKIT.dim, np.float32)
    for name, value in entries.items():
        for full in [name] if name in ARKIT.names else [name + "Left", name + "Right"]:
            values[ARKIT.index(full)] = value
    return values[ARKIT.expression]


def frame(renderer, **entries: float) -> np.ndarray:
    motion = np.zeros((1, ARKIT.dim), np.float32)
    motion[0, ARKIT.expression] = blendshapes(**entries)
    return next(renderer.render(motion)).astype(np.float64)


def visible_interior(monkeypatch, renderer, **entries: float) -> tuple[np.ndarray, np.ndarray]:
    """A frame ``(S, S, 3)``, and how much of each pixel ``(S, S)`` is the interior of the mouth."""
    usual = frame(renderer, **entries)
    region = renderer._mouth._region
    patch = np.broadcast_to(GREEN, (region.height, region.width, 3)).copy()
    monkeypatch.setattr(MouthInterior, "__call__", lambda *_: patch)
    green = frame(renderer, **entries)
    monkeypatch.setattr(MouthInterior, "__call__", lambda *_: 0 * patch)
    return usual, (green - frame(renderer, **entries))[..., 1] / 255


@pytest.mark.parametrize("gains", [(1.0, 0.88, 0.7), (0.78, 0.9, 1.0)])
@pytest.mark.parametrize("teeth_show", [True, False])
def test_teeth_follow_a_cast_of_the_photo(portrait, gains, teeth_show):
    if not teeth_show:
        landmarks = portrait.landmarks.copy()
        landmarks[INNER_LIPS.lower] = landmarks[INNER_LIPS.upper]
        portrait = replace(portrait, landmarks=landmarks)
    tinted = replace(portrait, image=np.clip(portrait.image * np.array(gains), 0, 255).astype(np.uint8))
    change = np.log(mouth_light(tinted).enamel / mouth_light(portrait).enamel)
    asked = np.log(gains)
    assert change - change.mean() == pytest.approx(asked - asked.mean(), abs=0.08)


def test_teeth_are_whiter_than_skin_and_no_brighter_than_the_picture_allows(portrait):
    enamel = mouth_light(portrait).enamel
    skin = portrait.image[tuple(portrait.landmarks[[205, 425]].round().astype(int).T[::-1])].mean(0)
    assert enamel[2] / enamel[0] > skin[2] / skin[0] and skin.mean() < enamel.mean() <= 250


def test_upper_teeth_stay_and_lower_teeth_follow_the_jaw(mouth):
    still = np.zeros((*mouth._region.field_shape, 2), np.float32)
    less, more = (mouth(blendshapes(jawOpen=jaw), still).astype(int) for jaw in (0.3, 0.7))
    upper = (mouth._seen < 0.01).all(-1)
    assert upper.sum() > 100 and np.abs(less - more)[upper].max() <= 1
    column = less.shape[1] // 2 + np.arange(-2, 3)
    below = np.flatnonzero(~upper[:, column[2]] & (np.arange(len(less)) > np.flatnonzero(upper[:, column[2]])[-1]))
    edges = [np.argmax(np.diff(picture[below][:, column].mean((1, 2)))) for picture in (less, more)]
    assert edges[1] - edges[0] > 0.15 * mouth._width  # the biting edge, the steepest rise of brightness


def test_a_mouth_that_is_open_in_the_photo_closes_completely(monkeypatch, renderer):
    _, interior = visible_interior(monkeypatch, renderer)
    assert interior.max() < 0.1
    monkeypatch.undo()
    _, interior = visible_interior(monkeypatch, renderer, jawOpen=0.4)
    assert interior.max() > 0.95


def test_no_black_wedge_in_a_smile(monkeypatch, renderer):
    smile = {"mouthSmile": 0.9, "mouthUpperUp": 0.35, "mouthLowerDown": 0.35, "cheekSquint": 0.4, "jawOpen": 0.15}
    usual, interior = visible_interior(monkeypatch, renderer, **smile)
    inside = usual[cv2.erode(interior.astype(np.float32), np.ones((3, 3))) > 0.95].mean(-1)
    skin = np.median(renderer.portrait.image[interior.shape[0] // 2 :].mean(-1))
    assert len(inside) > 100
    assert np.percentile(inside, 2) > 0.2 * skin and np.median(inside) > 0.6 * skin


def test_an_unchanged_eye_is_the_photos(portrait):
    eye, centre, radius = eyeball(portrait)
    region, _ = opening(portrait, LEFT_EYE)
    photo, ball = portrait.image[region.slices].astype(float), eye(blendshapes()).astype(float)
    rows, columns = np.mgrid[: region.height, : region.width] + 0.5
    inside = np.hypot(columns - centre[0], rows - centre[1]) < 0.6 * radius
    assert np.abs(photo - ball)[inside].mean() < 6


def test_the_catchlight_stays_while_the_iris_moves(portrait):
    eye, centre, radius = eyeball(portrait)
    looks = [{f"eyeLook{a}Left": 0.25, f"eyeLook{b}Right": 0.25} for a, b in (("In", "Out"), ("Out", "In"))]
    rest, left, right = (eye(blendshapes(**look)).astype(float).mean(-1) for look in ({}, *looks))
    rows, columns = np.mgrid[: len(left), : left.shape[1]] + 0.5
    from_centre = np.hypot(columns - centre[0], rows - centre[1])
    row, column = np.unravel_index(np.argmax(np.where(from_centre < 0.6 * radius, rest, 0)), rest.shape)
    from_light = np.hypot(columns - column - 0.5, rows - row - 0.5)
    around = (from_light > 0.25 * radius) & (from_light < 0.45 * radius)
    for picture in (rest, left, right):
        assert picture[row, column] > picture[around].mean() + 30

    def dark_column(picture: np.ndarray) -> float:
        weight = (from_centre < 1.6 * radius) * np.clip(
            np.percentile(picture[from_centre < 1.6 * radius], 40) - picture, 0, None
        )
        return (columns * weight).sum() / weight.sum()

    assert dark_column(right) - dark_column(left) > 1.0


def test_both_eyes_turn_by_the_same_angle(portrait):
    for names in ((LEFT_EYE, LEFT_IRIS), (RIGHT_EYE, RIGHT_IRIS)):
        eye = eyeball(portrait, *names)[0]
        own, other, still = (
            eye(blendshapes(**look)).astype(float) for look in ({"eyeLookOutLeft": 0.8}, {"eyeLookInRight": 0.8}, {})
        )
        assert np.abs(own - other).mean() < 0.2 * np.abs(own - still).mean()


def test_wide_eyes_show_white_above_a_whole_iris(renderer, portrait):
    wide = frame(renderer, eyeWide=1.0, browInnerUp=0.5).mean(-1)
    for iris in (LEFT_IRIS, RIGHT_IRIS):
        centre = portrait.landmarks[iris[0]]
        radius = np.linalg.norm(portrait.landmarks[iris[1:]] - centre, axis=1).mean()
        column = wide[:, int(centre[0])]
        above, rim = column[int(centre[1] - 1.2 * radius)], column[int(centre[1] - 0.8 * radius)]
        assert above > 1.25 * rim


def test_lids_are_lightened_only_around_the_eyes(portrait):
    model = ShadingModel.load()
    lit = with_lit_lids(model, portrait)
    added = lit.log_ratios[len(model.names) :]
    assert lit.names[-2:] == ("eyeBlinkLeft", "eyeBlinkRight") and np.array_equal(lit.log_ratios[:-2], model.log_ratios)
    assert added.min() >= 0 and added.max() < 0.5
    rows = np.nonzero(added.max(0) > 0.02)[0]
    eyes = model.landmarks[np.concatenate([LEFT_EYE.upper, RIGHT_EYE.upper])]
    height = np.ptp(model.landmarks[:, 1])
    assert (np.abs(rows - eyes[:, 1].mean()) < 0.15 * height).all()


def test_teeth_in_the_rims_of_open_lips_become_lips(portrait):
    points, image = portrait.landmarks, portrait.image.copy()
    inner, outer = points[INNER_LIPS.lower[3:8]], points[OUTER_LIPS.lower[3:8]]
    rim = np.round(16 * (inner + 0.12 * (outer - inner))).astype(np.int32)
    cv2.polylines(image, [rim], False, (240, 236, 228), 1, cv2.LINE_AA, shift=4)
    cleaned = clean_lip_rims(image, points)
    places = tuple(np.round(inner + 0.12 * (outer - inner)).astype(int).T[::-1])
    lip = portrait.image[tuple(np.round(inner + 0.5 * (outer - inner)).astype(int).T[::-1])].astype(float)
    whiteness = [(p.min(-1) / p[:, 0]).mean() for p in (image[places].astype(float), cleaned[places].astype(float), lip)]
    assert whiteness[0] - whiteness[2] > 0.1 and abs(whiteness[1] - whiteness[2]) < 0.05
    mouth = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mouth, cv2.convexHull(points[np.concatenate(OUTER_LIPS)].round().astype(np.int32)), 1)
    assert np.array_equal(cleaned[mouth == 0], image[mouth == 0])
    closed = points.copy()
    closed[INNER_LIPS.lower] = closed[INNER_LIPS.upper]
    assert clean_lip_rims(image, closed) is image


def test_tongue_and_lower_teeth_of_the_photo_are_told_from_its_upper_teeth():
    upper, tongue, lower = np.full(7, 200.0), np.full(6, 60.0), np.full(6, 190.0)
    rows = np.concatenate([upper, tongue, lower])
    end = _end_of_upper_teeth(rows)
    assert 0.35 < end < 0.7 and _start_of_lower_teeth(rows, end, 100.0) == pytest.approx(0.7, abs=0.06)
    assert _end_of_upper_teeth(np.full(19, 200.0)) == 1.0  # only upper teeth
    assert _start_of_lower_teeth(np.concatenate([upper, tongue, tongue]), end, 100.0) is None
