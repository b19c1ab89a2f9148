"""Turns of a synthetic head: an ellipsoid with a nose, before a background."""

import cv2
import numpy as np
import pytest

from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.geometry import Camera
from emotalker.inference.performance import PERFORMANCE
from emotalker.render.relief import dominant_light
from emotalker.render.rigid import RigidWarp
from emotalker.render.warp import Region

SIZE, STEP, DISTANCE = 256, 4, 60.0
CAMERA = Camera.default(SIZE, SIZE)
REGION = Region(0, 0, SIZE, SIZE, STEP)
LIMITS = np.array(PERFORMANCE.pose_limits)
CHIN = np.array([128.0, 190.0])
FACE_HEIGHT = 110.0


def head_depth(nose: float = 0.0) -> np.ndarray:
    """Depth of an ellipsoid whose middle is 9 cm behind the origin, with a ridge of ``nose`` centimetres on it."""
    points = REGION.field_points().reshape(*REGION.field_shape, 2)
    x = (points[..., 0] - 128) / CAMERA.focal * (DISTANCE + 9)
    y = -(points[..., 1] - 128) / CAMERA.focal * (DISTANCE + 9)
    inside = (x / 8) ** 2 + (y / 10) ** 2
    height = 9 * np.sqrt(np.clip(1 - inside, 0, 1)) + nose * (np.abs(x) < 0.8) * (np.abs(y) < 4)
    return np.where(inside < 1, DISTANCE + 9 - height, np.nan)


def warp(**options) -> RigidWarp:
    depth = head_depth(options.pop("nose", 0.0))
    return RigidWarp(depth, REGION, CAMERA, np.array([0, 0, -DISTANCE]), CHIN, FACE_HEIGHT, **options)


@pytest.fixture(scope="module")
def head() -> RigidWarp:
    return warp()


def pose(pitch: float = 0, yaw: float = 0, roll: float = 0, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """A pose from degrees and centimetres."""
    return np.array([*np.radians([pitch, yaw, roll]), *shift], np.float32)


def sources(backward: np.ndarray) -> np.ndarray:
    return REGION.field_points().reshape(backward.shape) + backward


def test_zero_pose_changes_nothing(head):
    assert not head.backward(np.zeros(6)).any()


@pytest.mark.parametrize("matte", [False, True])
def test_no_pose_samples_outside_the_picture(matte):
    rng = np.random.default_rng(1)
    mask = rng.random((SIZE, SIZE)).astype(np.float32) if matte else None
    head = warp(matte=mask, picture=rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8))
    grid = head._region.pixel_grid()
    for _ in range(40):
        wild = (rng.uniform(-3, 3, 6) * LIMITS).astype(np.float32)
        backward = head.backward(wild)
        assert np.isfinite(backward).all()
        positions = grid + cv2.resize(backward, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        assert positions.min() >= -0.5 and positions.max() <= SIZE - 0.5
        light = head.light(wild, backward)
        assert np.isfinite(light).all() and light.min() > 0.8 and light.max() < 1.2


def test_absurd_poses_are_finite(head):
    for value in (5.0, -50.0, 500.0):
        assert np.isfinite(head.backward(np.full(6, value, np.float32))).all()


@pytest.mark.parametrize("angles", [(0, 25, 0), (0, -25, 0), (15, 0, 0), (-15, 0, 0), (0, 0, 20), (8, -12, 10)])
def test_the_front_moves_as_a_rigid_body(head, angles):
    turn = pose(*angles)
    for row, column in ((30, 32), (36, 30), (28, 35)):
        point = head.relief.surface[row, column].astype(float)
        moved = rotation_matrix(turn[:3]) @ (point - head._origin) + head._origin
        target = CAMERA.project(moved) / STEP - 0.5
        x, y = np.floor(target).astype(int)
        fx, fy = target - (x, y)
        cells = sources(head.backward(turn))[y : y + 2, x : x + 2]
        found = (1 - fy) * ((1 - fx) * cells[0, 0] + fx * cells[0, 1]) + fy * ((1 - fx) * cells[1, 0] + fx * cells[1, 1])
        assert found == pytest.approx(CAMERA.project(point), abs=1.0)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_nose_hides_what_is_behind_it(side):
    head = warp(nose=5.0)
    row = sources(head.backward(pose(yaw=25 * side)))[32, 16:48, 0]
    steps = np.diff(row)
    jump = np.argmax(steps)
    assert steps[jump] > 2 * STEP  # cells beside the nose are left out,
    assert np.sign(row[jump] - 128 + side * 4) == side  # on the side it turns to,
    assert steps.min() > -0.5  # and nothing is shown twice


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_frames_change_little_with_the_pose(head, axis):
    previous = None
    for degrees in np.arange(-25, 25.1, 0.5):
        angles = [0.0, 0.0, 0.0]
        angles[axis] = degrees
        backward = head.backward(pose(*angles))
        if previous is not None:
            change = np.abs(backward - previous).max(-1)
            assert np.percentile(change, 99) < STEP
            assert change.max() < 8 * STEP  # where something begins to be hidden
        previous = backward


def test_the_background_stays_and_the_torso_follows(head):
    backward = head.backward(pose(yaw=20, roll=10, shift=(3, 0, 0)))
    assert not backward[:6, :2].any()
    assert np.abs(backward[-1]).max() < 0.1
    chest = np.linalg.norm(backward[-10, 28:36], axis=-1)
    assert 0.5 < chest.mean() < 0.5 * np.linalg.norm(backward[32, 32])


def test_light_follows_the_turn():
    points = REGION.field_points().reshape(*REGION.field_shape, 2)
    brightness = np.clip(120 + 1.2 * (points[..., 0] - 128), 0, 255).astype(np.uint8)
    picture = np.repeat(np.repeat(brightness, STEP, 0), STEP, 1)[..., None].repeat(3, -1)
    head = warp(picture=picture)  # lit from the viewer's right
    right, left = (head.light(turn, head.backward(turn))[28:36, 28:36].mean() for turn in (pose(yaw=20), pose(yaw=-20)))
    assert left < 0.99 and right > 1.01
    assert (head.light(np.zeros(6), head.backward(np.zeros(6))) == 1).all()
    assert warp().light(np.zeros(6), head.backward(np.zeros(6))) is None


def test_the_dominant_light_is_found():
    rng = np.random.default_rng(2)
    normals = rng.normal(size=(40, 40, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[..., 2] = np.abs(normals[..., 2])
    luminance = 0.5 + normals @ np.array([0.2, 0.1, 0.3])
    found = dominant_light(luminance, normals, np.ones((40, 40), bool))
    direction = found[1:] / np.linalg.norm(found[1:])
    assert direction @ np.array([0.2, 0.1, 0.3]) / np.sqrt(0.14) > 0.97
    assert not dominant_light(luminance, normals, np.zeros((40, 40), bool)).any()


def test_a_lowered_chin_turns_as_a_chin():
    """A face that has moved down by four cells before the turn moves like the unmoved face four cells higher."""
    region = Region(64, 64, 128, 160, STEP)
    head = warp(face_region=region)
    lowered = np.zeros((*region.field_shape, 2), np.float32)
    lowered[..., 1] = -4 * STEP
    turn = pose(yaw=15)
    at_rest, moved = head.backward(turn), head.backward(turn, lowered)
    assert moved[30:40, 30:36] == pytest.approx(at_rest[26:36, 30:36], abs=1.5)
    assert np.abs(moved[30:40, 30:36] - at_rest[30:40, 30:36]).max() > 0.2
    assert np.array_equal(head.backward(turn, np.zeros_like(lowered)), at_rest)


def test_mobility_holds_the_picture_where_it_joins_another():
    mobility = np.ones((SIZE, SIZE), np.float32)
    mobility[:, :80] = 0
    backward = warp(mobility=mobility).backward(pose(pitch=5, roll=5))
    assert not backward[:, :12].any()
    assert np.abs(backward[:, 24:]).max() > 4


def test_a_turned_head_turns_less_towards_the_profile():
    frontal, turned = warp(), warp(source_yaw=np.radians(35))
    away, back = pose(yaw=25), pose(yaw=-25)
    assert np.array_equal(turned.backward(back), frontal.backward(back))
    assert np.abs(turned.backward(away)).max() < 0.6 * np.abs(frontal.backward(away)).max()
    assert not turned.backward(np.zeros(6)).any()
