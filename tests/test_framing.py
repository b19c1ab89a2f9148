"""Whole pictures, replaced backgrounds, and the choice of a face."""

import dataclasses

import cv2
import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.core.errors import FaceNotFoundError
from emotalker.face.crop import Crop
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.matte import PersonSegmenter
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.inference.framing import Background, Framing, FramingError, fit_picture
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.video.image import save_image

TURN = np.radians([6.0, 14.0, 5.0])


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


@pytest.fixture(scope="module")
def picture():
    return fit_picture(data.astronaut())


@pytest.fixture(scope="module")
def portrait(landmarker, picture):
    """The astronaut in a window of the whole picture, with a matte; the face keeps its expression."""
    segmenter = PersonSegmenter()
    return Portrait.from_image(picture, landmarker, FaceModel.load(), None, keep_expression=1.0, segmenter=segmenter)


def render(framing: Framing, **entries: float) -> np.ndarray:
    """One frame of a turned head."""
    motion = np.zeros((1, ARKIT.dim), np.float32)
    motion[:, ARKIT.pose][:, :3] = TURN
    for name, value in entries.items():
        motion[0, ARKIT.index(name)] = value
    return framing.place(next(WarpRenderer(framing.portrait).render(motion)))


def test_the_whole_picture_has_its_own_pixels_and_only_the_window_changes(portrait, picture):
    frame = render(Framing.of(portrait, picture), jawOpen=0.4)
    assert frame.shape == picture.shape
    rows, columns = portrait.crop.inside(*picture.shape[1::-1])[0]
    outside = np.ones(picture.shape[:2], bool)
    outside[rows, columns] = False
    assert outside.any()
    assert np.array_equal(frame[outside], picture[outside])
    changed = (frame != picture).any(-1)
    assert changed.sum() > 5000
    # No seam: the outermost pixels of the window do not move either.
    rim = np.ones(picture.shape[:2], bool)
    rim[rows.start : rows.stop - 5, columns.start + 5 : columns.stop - 5] = False  # its upper side is the picture's
    assert not changed[rim].any()


def test_the_background_stands_still(portrait, picture):
    frame = render(Framing.of(portrait, picture))
    changed = (frame != picture).any(-1)
    # Also within the window: only where the person was or is now.
    reach = cv2.dilate((portrait.whole_matte > 0).astype(np.uint8), np.ones((61, 61), np.uint8)) > 0
    assert not changed[~reach].any()
    assert (~reach[portrait.crop.inside(*picture.shape[1::-1])[0]]).mean() > 0.1


def test_at_rest_the_frame_is_the_picture(portrait, picture):
    frame = next(WarpRenderer(portrait).render(np.zeros((1, ARKIT.dim), np.float32)))
    face = np.zeros(frame.shape[:2], np.uint8)
    low, high = np.round(portrait.landmarks.min(0)).astype(int), np.round(portrait.landmarks.max(0)).astype(int)
    margin = int(0.5 * (high[1] - low[1]))
    face[low[1] - margin : high[1] + margin, low[0] - margin : high[0] + margin] = 1
    assert face.mean() < 0.6
    assert np.array_equal(frame[face == 0], portrait.crop.take(picture)[face == 0])


def test_planar_frames_are_placed_plane_by_plane(portrait, picture):
    framing = Framing.of(portrait, picture)
    height, width = picture.shape[:2]
    size, rng = portrait.size, np.random.default_rng(0)

    def planar(luma, blue, red):
        return np.concatenate([plane.ravel() for plane in (luma, blue, red)]).reshape(-1, luma.shape[1])

    whole = [rng.integers(0, 255, shape, np.uint8) for shape in ((height, width), *[(height // 2, width // 2)] * 2)]
    frame = [rng.integers(0, 255, shape, np.uint8) for shape in ((size, size), *[(size // 2, size // 2)] * 2)]
    buffer = planar(*whole)
    framing.place_planar(planar(*frame), buffer)
    for target, source, step in zip(whole, frame, (1, 2, 2), strict=True):
        x, y, side = portrait.crop.x // step, portrait.crop.y // step, size // step
        target[y : y + side, x : x + side] = source
    assert np.array_equal(buffer, planar(*whole))


def test_a_colour_replaces_the_background_without_a_seam(portrait, picture):
    framing = Framing.of(portrait, picture, Background.parse("#2040c0"))
    frame = render(framing)
    away = portrait.whole_matte == 0
    rows, columns = portrait.crop.inside(*picture.shape[1::-1])[0]
    away[rows, columns] = False
    assert (frame[away] == (0x20, 0x40, 0xC0)).all()
    corner = frame[rows.start : rows.start + 10, columns.start : columns.start + 10]
    assert (corner == (0x20, 0x40, 0xC0)).all()
    # Rendered at rest, the window is what surrounds it.
    rest = next(WarpRenderer(framing.portrait).render(np.zeros((1, ARKIT.dim), np.float32)))
    window = portrait.crop.take(framing.still)
    difference = np.abs(rest.astype(int) - window)
    border = np.ones(rest.shape[:2], bool)
    border[4:-4, 4:-4] = False
    mixed = (portrait.matte > 0) & (portrait.matte < 1)
    assert difference[border & ~mixed].max() == 0
    assert difference[border & mixed].mean() < 4  # the person's colours at its edge are estimates


def test_a_transparent_background_gives_rgba(portrait, picture):
    framing = Framing.of(portrait, picture, Background.parse("transparent"))
    frame = render(framing)
    assert framing.transparent and frame.shape == (*picture.shape[:2], 4)
    assert (frame[:100, 350:, 3] == 0).all()
    middle = np.round(portrait.landmarks.mean(0) + [portrait.crop.x, portrait.crop.y]).astype(int)
    assert (frame[middle[1] - 10 : middle[1] + 10, middle[0] - 10 : middle[0] + 10, 3] == 255).all()
    assert ((frame[..., 3] > 0) & (frame[..., 3] < 255)).any()


def test_another_background_needs_a_matte(portrait, picture):
    bare = dataclasses.replace(portrait, matte=None, whole_matte=None)
    assert bare.foreground is None
    with pytest.raises(FramingError, match="selfie_segmentation"):
        Framing.of(bare, picture, Background.parse("white"))


def test_backgrounds_are_colours_pictures_or_transparent(tmp_path):
    assert Background.parse("White").picture.tolist() == [[[255, 255, 255]]]
    assert Background.parse("#0a0B0c").picture.tolist() == [[[10, 11, 12]]]
    assert Background.parse("transparent").transparent
    for wrong in ("#12345", "#12345g", "no/such.png", "mauve", "x" * 5000):
        with pytest.raises(FramingError, match=wrong[:20]):
            Background.parse(wrong)
    stripes = np.zeros((40, 120, 3), np.uint8)
    stripes[:, 40:80] = 200
    cover = Background.parse(save_image(tmp_path / "b.png", stripes)).cover(60, 60)
    assert cover.shape == (60, 60, 3) and (cover[:, 4:-4] == 200).all()  # its middle, as high as the video


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((301, 200), None, (300, 200)),
        ((200, 300), 600, (400, 600)),
        ((4000, 3000), None, (3840, 2880)),
        ((2160, 3840), None, (2160, 3840)),
        ((2500, 7680), None, (1250, 3840)),
    ],
)
def test_whole_pictures_are_even_and_at_most_4k(shape, size, expected):
    if shape == (4000, 3000):
        expected = (2880, 2160)  # both sides have limits
    assert fit_picture(np.zeros((*shape, 3), np.uint8), size).shape == (*expected, 3)


def test_a_window_is_even_and_keeps_the_pixels():
    points = np.zeros((478, 2)) + [60.0, 70.0]
    points[10], points[152] = [60, 40], [60, 101]
    image = np.random.default_rng(0).integers(0, 255, (300, 260, 3), np.uint8)
    crop = Crop.window(points, 260, 300)
    assert crop.exact and not (crop.x % 2 or crop.y % 2 or crop.size % 2)
    assert np.array_equal(crop.take(image), image[crop.y : crop.y + crop.size, crop.x : crop.x + crop.size])
    points[10], points[152] = [60, -60], [60, 340]  # a face larger than the picture
    crop = Crop.window(points, 260, 300)
    (rows, columns), inside = crop.inside(260, 300)
    taken = crop.take(image)
    assert taken.shape == (crop.size, crop.size, 3)
    assert np.array_equal(taken[inside], image[rows, columns])


def test_faces_are_counted_from_the_left(landmarker):
    person = data.astronaut()[:256, 96:352]
    small = np.full_like(person, 200)
    small[100:200, 80:180] = cv2.resize(person, (100, 100), interpolation=cv2.INTER_AREA)
    image = np.hstack([small, person, small])
    model = FaceModel.load()

    def centre(number):
        portrait = Portrait.from_image(image, landmarker, model, 128, "three.png", face=number)
        return portrait.crop.x + portrait.crop.side / 2

    assert 80 < centre(1) < 180
    assert 256 < centre(2) < 512 and centre(2) == pytest.approx(centre(None), abs=2)
    assert 592 < centre(3) < 692
    with pytest.raises(FaceNotFoundError, match=r"no face 4 in three\.png: 3 faces found"):
        centre(4)
