"""The warp renderer in closed loop: draw the astronaut in motion, track the drawn frames, compare."""

import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.core.errors import FaceNotFoundError
from emotalker.evaluation.lipsync import lip_gap
from emotalker.face.fit import fit_face
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait, crop_face
from emotalker.face.topology import LEFT_EYE, LEFT_IRIS, RIGHT_EYE
from emotalker.render.warp_renderer import WarpRenderer

SIZE = 256


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


@pytest.fixture(scope="module")
def portrait(landmarker):
    return Portrait.from_image(data.astronaut(), landmarker, FaceModel.load(), SIZE)


@pytest.fixture(scope="module")
def renderer(portrait):
    return WarpRenderer(portrait)


def motion(**entries: float) -> np.ndarray:
    """One frame ``(1, 58)``; names without a side mean both."""
    vector = np.zeros((1, ARKIT.dim), np.float32)
    for name, value in entries.items():
        for full in [name] if name in ARKIT.names else [name + "Left", name + "Right"]:
            vector[0, ARKIT.index(full)] = value
    return vector


def draw(renderer, **entries: float) -> np.ndarray:
    return next(renderer.render(motion(**entries)))


def track(landmarker, frame) -> np.ndarray:
    faces = landmarker.detect(frame)
    assert faces, "the drawn frame shows no face"
    return faces[0].points[:, :2]


def opening(points: np.ndarray, eye) -> float:
    width = np.linalg.norm(points[eye.upper[-1]] - points[eye.upper[0]])
    return np.linalg.norm(points[eye.lower[1:-1]] - points[eye.upper[1:-1]], axis=1).mean() / width


def test_the_jaw_opens_the_mouth_and_its_absence_closes_a_smile(renderer, landmarker, portrait):
    gaps = [lip_gap(track(landmarker, draw(renderer, jawOpen=v))) for v in (0.0, 0.15, 0.3, 0.5)]
    assert gaps == sorted(gaps)
    model = portrait.model.landmarks(portrait.fit.identity, motion(jawOpen=0.5)[0, ARKIT.expression])
    assert gaps[-1] == pytest.approx(lip_gap(model), rel=0.25)
    assert gaps[0] < 0.5 * lip_gap(portrait.landmarks)  # the photo shows teeth, the motion says closed lips


def test_eyes_close(renderer, landmarker):
    open_eyes, closed = track(landmarker, draw(renderer)), track(landmarker, draw(renderer, eyeBlink=1.0))
    for eye in (LEFT_EYE, RIGHT_EYE):
        # The tracker's lid points keep some distance even on photos of closed eyes.
        assert opening(closed, eye) < 0.5 * opening(open_eyes, eye)


def test_the_gaze_moves(renderer, landmarker):
    centre = LEFT_IRIS[0]
    inner, outer = (
        track(landmarker, draw(renderer, **{f"eyeLook{a}Left": 0.8, f"eyeLook{b}Right": 0.8}))
        for a, b in (("In", "Out"), ("Out", "In"))
    )
    assert outer[centre, 0] - inner[centre, 0] > 1.0  # the subject's left is the viewer's right


def test_smile_and_pucker_change_the_mouths_width(renderer, landmarker):
    width = [
        np.linalg.norm(np.subtract(*track(landmarker, draw(renderer, **m))[[61, 291]])) for m in ({"mouthPucker": 0.8}, {})
    ]
    wide = track(landmarker, draw(renderer, mouthSmile=0.8))
    assert width[0] < 0.93 * width[1]
    assert np.linalg.norm(wide[291] - wide[61]) > 1.02 * width[1]


@pytest.mark.parametrize("angle", [-10, 10])
@pytest.mark.parametrize("axis", ["pitch", "yaw", "roll"])
def test_the_head_turns_as_told(renderer, landmarker, portrait, axis, angle):
    frame = draw(renderer, **{axis: np.radians(angle)})
    points = track(landmarker, frame)
    fit = fit_face(portrait.model, points, portrait.fit.camera, identity=portrait.fit.identity)
    turned = np.degrees(fit.angles[0] - portrait.fit.angles[0])[["pitch", "yaw", "roll"].index(axis)]
    assert turned == pytest.approx(angle, abs=4.0)


def test_stillness_leaves_the_picture_around_the_face_alone(renderer, portrait):
    frame = draw(renderer)
    far = np.ones((SIZE, SIZE), bool)
    low, high = portrait.landmarks.min(0).astype(int), portrait.landmarks.max(0).astype(int)
    margin = int(0.5 * (high[1] - low[1]))
    far[max(0, low[1] - margin) : high[1] + margin, max(0, low[0] - margin) : high[0] + margin] = False
    assert np.array_equal(frame[far], portrait.image[far])


def test_frames_are_drawn_as_they_are_asked_for(renderer):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield motion(jawOpen=0.2)[0]

    frames = renderer.render(endless())
    first = next(frames)
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8
    assert len(asked) < 20


def test_a_picture_without_a_face_is_refused(landmarker):
    with pytest.raises(FaceNotFoundError, match="grass"):
        Portrait.from_image(data.grass()[..., None].repeat(3, -1), landmarker, FaceModel.load(), SIZE, "grass.png")


def test_the_crop_holds_the_face_even_at_the_border():
    image = np.zeros((100, 80, 3), np.uint8)
    points = np.zeros((478, 2)) + [70.0, 50.0]
    points[10], points[152] = [70, 20], [70, 80]
    crop = crop_face(image, points, 64)
    assert crop.shape == (64, 64, 3)
