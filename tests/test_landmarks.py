"""Face landmarks compared with MediaPipe's own output, and invariances."""

import cv2
import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.core.errors import CheckpointError
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.mediapipe_networks import SCORE_NAMES, SCORE_POINTS
from emotalker.face.window import Window

# Output of mediapipe 0.10.21's FaceLandmarker (image mode) for skimage's astronaut.
REFERENCE_POINTS = {
    1: (223.5, 131.1, -22.9), 10: (226.0, 72.2, -11.9), 33: (195.3, 100.6, 4.2), 61: (202.3, 139.2, 7.6),
    152: (221.4, 177.4, 9.6), 263: (255.3, 103.8, 3.5), 291: (244.5, 140.6, 7.1), 468: (203.5, 101.1, 0.1),
    473: (246.0, 103.5, -0.1), 234: (180.9, 109.9, 41.1), 454: (269.8, 114.4, 39.8), 13: (223.3, 143.2, -5.7),
    14: (223.0, 149.2, -2.9),
}  # fmt: skip
REFERENCE_SCORES = {
    "mouthSmileLeft": 0.899, "mouthSmileRight": 0.904, "mouthUpperUpLeft": 0.468, "eyeSquintLeft": 0.350,
    "eyeBlinkLeft": 0.040, "browInnerUp": 0.022, "jawOpen": 0.013, "mouthPucker": 0.003,
}  # fmt: skip


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


@pytest.fixture(scope="module")
def portrait():
    return data.astronaut()


@pytest.fixture(scope="module")
def face(landmarker, portrait):
    (face,) = landmarker.detect(portrait)
    return face


def warped(image, matrix, size=None):
    """The picture transformed by an affine map of continuous coordinates (pixel centres at +0.5)."""
    matrix = np.array(matrix, dtype=float)
    matrix[:, 2] += 0.5 * (matrix[:, 0] + matrix[:, 1]) - 0.5
    return cv2.warpAffine(image, matrix, size or image.shape[1::-1], flags=cv2.INTER_LINEAR)


def distance(points, expected):
    return np.linalg.norm(points[:, :2] - expected[:, :2], axis=1).mean()


def test_matches_mediapipe(face):
    assert face.points.shape == (478, 3) and face.points.dtype == np.float32
    expected = np.array(list(REFERENCE_POINTS.values()))
    found = face.points[list(REFERENCE_POINTS)]
    assert distance(found, expected) < 1  # the eyes are 60 pixels apart
    assert np.abs(found - expected).max() < 2.5
    for name, score in REFERENCE_SCORES.items():
        assert face.scores[ARKIT_BLENDSHAPES.index(name)] == pytest.approx(score, abs=0.13), name


def test_scores_are_in_arkit_order(face):
    assert face.scores.shape == (52,) and face.scores.dtype == np.float32
    assert face.scores[ARKIT_BLENDSHAPES.index("tongueOut")] == 0
    assert ((face.scores >= 0) & (face.scores <= 1)).all()
    assert {*SCORE_NAMES} - {"_neutral"} == {*ARKIT_BLENDSHAPES} - {"tongueOut"}
    assert len(SCORE_NAMES) == 52 and len(SCORE_POINTS) == len(set(SCORE_POINTS.tolist())) == 146


def test_box_and_confidence(face):
    left, top, right, bottom = face.box
    assert 170 < left < 190 and 60 < top < 80 and 260 < right < 280 and 170 < bottom < 190
    assert face.area == pytest.approx((right - left) * (bottom - top))
    assert face.contains(224, 131) and not face.contains(100, 131)
    assert face.confidence > 0.99


@pytest.mark.parametrize("degrees", [-30, 15, 45, 90, 180])
def test_landmarks_rotate_with_the_picture(landmarker, portrait, face, degrees):
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    shift = (256, 256) - turn @ (256, 256)
    (turned,) = landmarker.detect(warped(portrait, np.column_stack([turn, shift])))
    assert distance(turned.points, face.points[:, :2] @ turn.T + shift) < 1.5
    assert np.abs(turned.scores - face.scores).mean() < 0.02


@pytest.mark.parametrize("scale", [0.5, 2.0, 5.0])
def test_landmarks_scale_with_the_picture(landmarker, portrait, face, scale):
    size = round(512 * scale)
    image = cv2.resize(portrait, (size, size), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    (scaled,) = landmarker.detect(image)
    assert distance(scaled.points / scale, face.points) < 0.8
    assert np.abs(scaled.points[:, 2] / scale - face.points[:, 2]).mean() < 1
    assert (scaled.points / scale - face.points)[:, :2].mean(0) == pytest.approx([0, 0], abs=0.4)


def test_flipping_swaps_left_and_right(landmarker, portrait, face):
    (flipped,) = landmarker.detect(np.ascontiguousarray(portrait[:, ::-1]))
    for left, right in ((33, 263), (61, 291), (234, 454), (468, 473)):
        assert np.linalg.norm(flipped.points[left, :2] - (512 - face.points[right, 0], face.points[right, 1])) < 2
    left = [i for i, name in enumerate(ARKIT_BLENDSHAPES) if name.endswith("Left")]
    right = [ARKIT_BLENDSHAPES.index(ARKIT_BLENDSHAPES[i][:-4] + "Right") for i in left]
    assert np.abs(flipped.scores[left] - face.scores[right]).mean() < 0.08
    assert np.corrcoef(flipped.scores[left], face.scores[right])[0, 1] > 0.9


def test_finds_small_faces_in_large_pictures(landmarker, portrait, face):
    canvas = np.full((1400, 900, 3), 120, np.uint8)
    small = cv2.resize(portrait, (180, 180), interpolation=cv2.INTER_AREA)
    canvas[40:220, 600:780] = small
    (found,) = landmarker.detect(canvas)
    assert distance(found.points, face.points[:, :2] * 180 / 512 + (600, 40)) < 1.5


def test_finds_faces_cut_by_the_border(landmarker, portrait, face):
    left, top, right, bottom = (int(v) for v in face.box)
    (found,) = landmarker.detect(np.ascontiguousarray(portrait[top:bottom, left:right]))
    assert distance(found.points, face.points[:, :2] - (left, top)) < 2.5


def test_several_faces_are_sorted_by_size(landmarker, portrait):
    canvas = np.full((512, 900, 3), 90, np.uint8)
    canvas[:320, :320] = cv2.resize(portrait, (320, 320), interpolation=cv2.INTER_AREA)
    canvas[:, 388:] = portrait
    faces = landmarker.detect(canvas)
    assert [f.contains(388 + 224, 131) for f in faces] == [True, False]
    assert faces[0].area > faces[1].area


@pytest.mark.parametrize("name", ["coffee", "rocket", "brick", "chelsea"])
def test_pictures_without_a_face(landmarker, name):
    image = getattr(data, name)()
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    assert landmarker.detect(image) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 700, 3), (64, 64, 3)])
def test_degenerate_pictures_contain_no_face(landmarker, shape):
    assert landmarker.detect(np.zeros(shape, np.uint8)) == []
    landmarker.reset()
    assert landmarker.track(np.zeros(shape, np.uint8)) is None


def test_wrong_arrays_raise(landmarker, portrait):
    for wrong in (portrait[..., 0], portrait.astype(np.float32), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match="RGB uint8"):
            landmarker.detect(wrong)


def test_tracking_recovers_a_lost_face(landmarker, portrait, face):
    landmarker.reset()
    for i in range(8):
        shift = np.array([6.0 * i, 4.0 * i])
        tracked = landmarker.track(warped(portrait, [[1, 0, shift[0]], [0, 1, shift[1]]]))
        assert distance(tracked.points, face.points[:, :2] + shift) < 1.2
    assert landmarker.track(np.zeros_like(portrait)) is None
    found = landmarker.track(warped(portrait, [[1, 0, 150], [0, 1, 200]]))  # far from its last position
    assert distance(found.points, face.points[:, :2] + (150, 200)) < 1.2


def test_tracking_matches_detection(landmarker, portrait, face):
    landmarker.reset()
    for _ in range(3):
        tracked = landmarker.track(portrait)
    assert distance(tracked.points, face.points) < 0.4
    assert np.abs(tracked.scores - face.scores).mean() < 0.02


@pytest.mark.parametrize("side", [128.0, 300.0, 1000.0])
def test_window_crop_and_points_agree(side):
    """The position of a blob in a rotated crop matches to_picture."""
    y, x = np.mgrid[:700, :900] + 0.5
    spot = np.array([430.0, 290.0])
    radius = side / 25
    image = (255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * radius**2))).astype(np.uint8)
    window = Window(410, 310, side, 0.4)
    crop = window.crop(np.repeat(image[..., None], 3, axis=2), 128, cv2.BORDER_CONSTANT)[..., 0].astype(float)
    cy, cx = np.mgrid[:128, :128] + 0.5
    center = np.array([(crop * cx).sum(), (crop * cy).sum()]) / crop.sum() / 128
    assert window.to_picture(center) == pytest.approx(spot, abs=0.02 * radius + 0.1)


def test_damaged_model_file_raises(tmp_path):
    (tmp_path / "other.task").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="SHA-256"):
        FaceLandmarker(tmp_path / "other.task")
