"""The warp renderer: landmarks detected in rendered frames are compared with the motion."""

import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.core.errors import FaceNotFoundError
from emotalker.evaluation.lipsync import lip_gap
from emotalker.face.crop import Crop
from emotalker.face.fit import fit_face
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
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
    """One frame ``(1, 58)``; names without a side set both sides."""
    vector = np.zeros((1, ARKIT.dim), np.float32)
    for name, value in entries.items():
        for full in [name] if name in ARKIT.names else [name + "Left", name + "Right"]:
            vector[0, ARKIT.index(full)] = value
    return vector


def render_frame(renderer, **entries: float) -> np.ndarray:
    return next(renderer.render(motion(**entries)))


def detect(landmarker, frame) -> np.ndarray:
    faces = landmarker.detect(frame)
    assert faces, "no face in the rendered frame"
    return faces[0].points[:, :2]


def opening(points: np.ndarray, eye) -> float:
    width = np.linalg.norm(points[eye.upper[-1]] - points[eye.upper[0]])
    return np.linalg.norm(points[eye.lower[1:-1]] - points[eye.upper[1:-1]], axis=1).mean() / width


def test_jaw_opens_the_mouth_and_zero_motion_closes_it(renderer, landmarker, portrait):
    gaps = [lip_gap(detect(landmarker, render_frame(renderer, jawOpen=v))) for v in (0.0, 0.15, 0.3, 0.5)]
    assert gaps == sorted(gaps)
    model = portrait.model.landmarks(portrait.fit.identity, motion(jawOpen=0.5)[0, ARKIT.expression])
    assert gaps[-1] == pytest.approx(lip_gap(model), rel=0.25)
    assert gaps[0] < 0.5 * lip_gap(portrait.landmarks)  # the mouth is open in the photo and closed in the motion


def test_blink_closes_the_eyes(renderer, landmarker):
    open_eyes, closed = detect(landmarker, render_frame(renderer)), detect(landmarker, render_frame(renderer, eyeBlink=1.0))
    for eye in (LEFT_EYE, RIGHT_EYE):
        # Detected lid points have some distance even in photos of closed eyes.
        assert opening(closed, eye) < 0.5 * opening(open_eyes, eye)


def test_gaze_moves_the_irises(renderer, landmarker):
    centre = LEFT_IRIS[0]
    inner, outer = (
        detect(landmarker, render_frame(renderer, **{f"eyeLook{a}Left": 0.8, f"eyeLook{b}Right": 0.8}))
        for a, b in (("In", "Out"), ("Out", "In"))
    )
    assert outer[centre, 0] - inner[centre, 0] > 1.0  # the subject's left is the viewer's right


def test_smile_and_pucker_change_the_width_of_the_mouth(renderer, landmarker):
    width = [
        np.linalg.norm(np.subtract(*detect(landmarker, render_frame(renderer, **m))[[61, 291]]))
        for m in ({"mouthPucker": 0.8}, {})
    ]
    wide = detect(landmarker, render_frame(renderer, mouthSmile=0.8))
    assert width[0] < 0.93 * width[1]
    assert np.linalg.norm(wide[291] - wide[61]) > 1.02 * width[1]


@pytest.mark.parametrize("angle", [-10, 10])
@pytest.mark.parametrize("axis", ["pitch", "yaw", "roll"])
def test_head_rotation_matches_the_pose(renderer, landmarker, portrait, axis, angle):
    frame = render_frame(renderer, **{axis: np.radians(angle)})
    points = detect(landmarker, frame)
    fit = fit_face(portrait.model, points, portrait.fit.camera, identity=portrait.fit.identity)
    turned = np.degrees(fit.angles[0] - portrait.fit.angles[0])[["pitch", "yaw", "roll"].index(axis)]
    assert turned == pytest.approx(angle, abs=4.0)


def test_zero_motion_does_not_change_the_picture_around_the_face(renderer, portrait):
    frame = render_frame(renderer)
    far = np.ones((SIZE, SIZE), bool)
    low, high = portrait.landmarks.min(0).astype(int), portrait.landmarks.max(0).astype(int)
    margin = int(0.5 * (high[1] - low[1]))
    far[max(0, low[1] - margin) : high[1] + margin, max(0, low[0] - margin) : high[0] + margin] = False
    assert np.array_equal(frame[far], portrait.image[far])


def test_frames_are_rendered_lazily(renderer):
    consumed = []

    def endless():
        while True:
            consumed.append(1)
            yield motion(jawOpen=0.2)[0]

    frames = renderer.render(endless())
    first = next(frames)
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8
    assert len(consumed) < 20


def test_picture_without_a_face_raises(landmarker):
    with pytest.raises(FaceNotFoundError, match="grass"):
        Portrait.from_image(data.grass()[..., None].repeat(3, -1), landmarker, FaceModel.load(), SIZE, "grass.png")


def test_crop_of_a_face_at_the_border():
    image = np.zeros((100, 80, 3), np.uint8)
    points = np.zeros((478, 2)) + [70.0, 50.0]
    points[10], points[152] = [70, 20], [70, 80]
    crop = Crop.around_head(points, 80, 100, 64).take(image)
    assert crop.shape == (64, 64, 3)
