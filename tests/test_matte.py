"""The person's matte, and the separation of person and background, on a photo and on drawn pictures with a known matte."""

import cv2
import numpy as np
import pytest
from skimage import data

from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.matte import PersonSegmenter, person_matte
from emotalker.face.separation import separate
from emotalker.face.topology import FACE_OVAL

SIZE = 256
#: The drawn person, a disc, and the colours of the drawn pictures.
CENTRE, RADIUS = (128, 140), 60
PERSON, PLAIN = (60, 40, 30), (210, 215, 220)


@pytest.fixture(scope="module")
def photo():
    """The astronaut, her landmarks and her matte."""
    image = data.astronaut()
    points = FaceLandmarker().detect(image)[0].points[:, :2]
    return image, points, person_matte(image, points, PersonSegmenter())


def disc(centre=CENTRE, radius=RADIUS) -> np.ndarray:
    return cv2.circle(np.zeros((SIZE, SIZE), np.uint8), centre, radius, 1, -1) > 0


def landmarks() -> np.ndarray:
    """Landmarks whose face oval is a circle inside the disc."""
    points = np.tile(np.array(CENTRE, float), (478, 1))
    angle = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    points[FACE_OVAL] += 40 * np.stack([np.sin(angle), -np.cos(angle)], 1)
    return points


def drawn(person: np.ndarray, background=PLAIN) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1.5, (SIZE, SIZE, 3))
    return np.clip(np.where(person[..., None], PERSON, background) + noise, 0, 255).astype(np.uint8)


def network(person: np.ndarray):
    """A segmentation network that sees this, blurred."""
    return lambda image: cv2.GaussianBlur(person.astype(np.float32), (0, 0), 2)


def test_a_photo_is_divided_into_person_and_background(photo):
    image, points, matte = photo
    assert matte.shape == image.shape[:2] and matte.dtype == np.float32
    assert matte.min() >= 0 and matte.max() <= 1
    columns, rows = np.round(points[FACE_OVAL].mean(0)).astype(int)
    assert (matte[rows - 40 : rows + 40, columns - 25 : columns + 25] == 1).all()  # face
    assert matte[30, 220] > 0.9  # hair
    assert (matte[:, :60][:150] == 0).all() and (matte[:100, 350:] == 0).all()  # flag and rocket


def test_other_persons_are_background_and_holes_are_filled():
    neighbour, hole = disc((226, 140), 24), disc((128, 180), 6)
    person = (disc() & ~hole) | neighbour
    matte = person_matte(drawn(disc() | neighbour), landmarks(), network(person))
    assert (matte[neighbour] == 0).all()
    assert (matte[hole] == 1).all()


def test_touching_persons_are_divided_between_their_faces():
    neighbour = disc((228, 140), 56)
    other = landmarks() + [100.0, 0.0]
    person = disc() | neighbour
    matte = person_matte(drawn(person), landmarks(), network(person), [other])
    assert (matte[disc(radius=40)] == 1).all()
    assert (matte[disc((228, 140), 40)] == 0).all()


def test_hair_that_the_network_misses_is_found_on_a_plain_background_only():
    strand = cv2.line(np.zeros((SIZE, SIZE), np.uint8), (128, 84), (140, 68), 1, 2) > 0
    strand &= ~disc()
    matte = person_matte(drawn(disc() | strand), landmarks(), network(disc()))
    assert matte[strand].mean() > 0.6
    stripes = np.where((np.arange(SIZE) // 6 % 2)[None, :, None] > 0, PERSON, PLAIN) * np.ones((SIZE, 1, 1))
    matte = person_matte(drawn(disc(), stripes), landmarks(), network(disc()))
    assert matte[~disc(radius=RADIUS + 8)].max() < 0.05


def test_a_network_that_does_not_see_the_face_gives_no_matte():
    assert person_matte(drawn(disc()), landmarks(), network(np.zeros((SIZE, SIZE)))) is None


def test_person_and_background_add_up_to_the_picture(photo):
    image, _, matte = photo
    person, background = separate(image, matte)
    assert np.array_equal(background[matte == 0], image[matte == 0])
    assert np.array_equal(person[matte == 1], image[matte == 1])
    share = matte[..., None]
    together = share * person + (1 - share) * background
    assert np.abs(together - image).mean() < 0.1
    assert np.abs(together - image).max() < 40  # no colours in 0..255 explain a few pixels


def test_neither_layer_shows_the_other_beyond_the_edge():
    matte = cv2.GaussianBlur(disc().astype(np.float32), (0, 0), 1.5)
    matte[matte < 0.01], matte[matte > 0.99] = 0, 1
    image = np.rint(matte[..., None] * PERSON + (1 - matte[..., None]) * PLAIN).astype(np.uint8)
    person, background = separate(image, matte)
    assert np.abs(background.astype(int) - PLAIN).max() <= 12
    near = disc(radius=RADIUS + 10)
    assert np.abs(person[near].astype(int) - PERSON).max() <= 12
