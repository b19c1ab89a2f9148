"""The packaged head model, its landmarks, and the rasteriser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.coefficients.space import blendshape_vector
from emotalker.core.errors import CheckpointError
from emotalker.face.appearance import part_colors
from emotalker.face.geometry import Camera, align_rigid, vertex_normals
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import PARTS, FaceModel
from emotalker.face.rasterizer import interpolate, rasterize, shade
from emotalker.face.topology import FACE_OVAL, INNER_LIPS, LEFT_EYE, LEFT_IRIS, OUTER_LIPS, RIGHT_EYE, RIGHT_IRIS
from face_model.build import mirror_index
from face_model.embedding import meeting_points, nearest_on_triangles


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return FaceModel.load()


def posed(**values: float) -> np.ndarray:
    return blendshape_vector(values)


def both(name: str, value: float = 1.0) -> dict[str, float]:
    return {f"{name}Left": value, f"{name}Right": value}


def heights(points: np.ndarray, contours) -> np.ndarray:
    """Gap between the edges of an opening without its corners, cm."""
    return (points[contours.upper[1:-1]] - points[contours.lower[1:-1]])[:, 1]


def test_shapes_and_parts(model: FaceModel) -> None:
    count = len(model.vertices)
    assert model.identity_basis.shape == (model.num_identity, count, 3)
    assert model.blendshape_basis.shape == (52, count, 3)
    assert model.triangles.min() == 0 and model.triangles.max() == count - 1
    assert set(model.parts) == set(PARTS)
    owned = np.concatenate(list(model.parts.values()))
    assert np.array_equal(np.sort(owned), np.arange(len(model.triangles)))
    assert model.uv.min() >= 0 and model.uv.max() <= 1
    assert "CC0" in model.licence and "MakeHuman" in model.source
    identity, blendshapes = np.ones(model.num_identity), np.zeros((2, 3, 52))
    assert model.deform(identity, blendshapes).shape == (2, 3, count, 3)


def test_units_and_origin(model: FaceModel) -> None:
    eyes = [model.vertices[model.triangles[model.parts[f"{side}_eye"]]].reshape(-1, 3) for side in ("left", "right")]
    middles = [(eye.min(0) + eye.max(0)) / 2 for eye in eyes]
    assert np.allclose(np.mean(middles, 0), 0, atol=0.15)
    assert 5.5 < middles[0][0] - middles[1][0] < 7.0, "the subject's left eye is at positive x, pupils about 63 mm apart"
    nose = model.landmark_mean[1]
    assert nose[2] > max(eye[:, 2].max() for eye in eyes), "the nose points towards the viewer"


def test_triangles_face_outwards(model: FaceModel) -> None:
    normals = vertex_normals(model.vertices, model.triangles)
    front = model.triangles[model.landmark_triangles[[1, 10, 152, 50, 280, 468, 473]]].ravel()
    assert (normals[front, 2] > 0).all()


def test_mesh_and_blendshapes_are_symmetric(model: FaceModel) -> None:
    mirror = mirror_index(model.vertices)
    for left, name in enumerate(ARKIT_BLENDSHAPES):
        partner = name.replace("Left", "Right") if name.endswith("Left") else name
        if name.endswith("Right"):
            continue
        image = model.blendshape_basis[ARKIT.index(partner)][mirror] * [-1, 1, 1]
        assert np.abs(model.blendshape_basis[left] - image).max() < 0.01, name


def test_blendshapes_do_not_move_the_skull(model: FaceModel) -> None:
    skull = model.vertices[:, 1] > 9.0  # above the hairline; brows wrinkle the forehead below it
    assert np.abs(model.blendshape_basis[:, skull]).max() < 1e-3


def test_identity_keeps_size_and_pose(model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        head = model.landmarks(rng.normal(size=model.num_identity))
        rotation, _ = align_rigid(head, model.landmark_mean)
        assert np.degrees(np.abs(rotation_angles(rotation))).max() < 8
        ratio = np.linalg.norm(head - head.mean(0)) / np.linalg.norm(model.landmark_mean - model.landmark_mean.mean(0))
        assert 0.85 < ratio < 1.15


def test_landmarks_are_the_surface_points_of_the_deformed_mesh(model: FaceModel) -> None:
    rng = np.random.default_rng(1)
    identity, blendshapes = rng.normal(size=model.num_identity), rng.uniform(size=52)
    corners = model.deform(identity, blendshapes)[model.triangles[model.landmark_triangles]]
    expected = (corners * model.landmark_barycentric[..., None]).sum(1)
    assert np.allclose(model.landmarks(identity, blendshapes), expected, atol=1e-4)


def test_mouth_is_closed_at_rest_and_opens_with_the_jaw(model: FaceModel) -> None:
    assert np.abs(heights(model.landmarks(), INNER_LIPS)).max() < 0.08
    opened = heights(model.landmarks(blendshapes=posed(jawOpen=1)), INNER_LIPS)
    assert opened.min() > 1.0 and opened[4] > 3.0
    assert np.abs(heights(model.landmarks(blendshapes=posed(jawOpen=1, mouthClose=1)), INNER_LIPS)).max() < 0.1
    upper, lower = model.landmark_blendshapes[ARKIT.index("jawOpen")][[0, 17]]
    assert -lower[1] > 3 * abs(upper[1]), "outer lip points are on their own lip"


@pytest.mark.parametrize("eye", [RIGHT_EYE, LEFT_EYE])
def test_eyelids_meet_in_a_blink(model: FaceModel, eye) -> None:
    assert heights(model.landmarks(), eye)[3] > 0.6
    closed = heights(model.landmarks(blendshapes=posed(**both("eyeBlink"))), eye)
    assert np.abs(closed).max() < 0.15 and np.abs(closed[2:5]).max() < 0.08


def test_eyeballs_are_hidden_in_a_blink(model: FaceModel) -> None:
    camera = Camera(1500, 400, 200)
    balls = np.isin(np.arange(len(model.triangles)), np.concatenate([model.parts["left_eye"], model.parts["right_eye"]]))

    def visible(blendshapes: np.ndarray | None) -> int:
        placed = model.deform(blendshapes=blendshapes) + np.float32([0, 0, -60])
        ids, _ = rasterize(
            torch.from_numpy(camera.project_with_depth(placed)),
            torch.from_numpy(model.triangles),
            camera.height,
            camera.width,
        )
        return int(balls[ids[ids >= 0].numpy()].sum())

    opened = visible(None)
    assert opened > 1000 and visible(posed(**both("eyeBlink"))) < 0.02 * opened


def test_irises_follow_gaze(model: FaceModel) -> None:
    rest = model.landmarks()
    left = model.landmarks(blendshapes=posed(eyeLookOutLeft=1, eyeLookInRight=1)) - rest
    up = model.landmarks(blendshapes=posed(**both("eyeLookUp"))) - rest
    for iris in (RIGHT_IRIS, LEFT_IRIS):
        assert (left[iris, 0] > 0.2).all() and (up[iris, 1] > 0.1).all()
        assert 0.5 < np.linalg.norm(rest[iris[1]] - rest[iris[3]]) / 2 < 0.75, "iris radius, cm"


def test_landmark_layout(model: FaceModel) -> None:
    points = model.landmark_mean
    assert points[10, 1] > points[1, 1] > points[0, 1] > points[17, 1] > points[152, 1]
    for contours in (INNER_LIPS, OUTER_LIPS, RIGHT_EYE, LEFT_EYE):
        assert (np.diff(points[contours.upper, 0]) > 0).all() and (np.diff(points[contours.lower, 0]) > 0).all()
    oval = points[FACE_OVAL]
    assert points[:468, 0].max() <= oval[:, 0].max() + 0.3 and points[152, 1] <= oval[:, 1].min() + 0.3


def test_detected_landmarks_match_the_model_on_a_new_head(model: FaceModel) -> None:
    rng = np.random.default_rng(99)
    identity = rng.normal(0, 0.5, model.num_identity)
    camera = Camera.default(384, 384)
    rotation, translation = rotation_matrix(np.radians([5, -8, 3])).astype(np.float32), np.float32([0, 1.5, -45])
    blendshapes = posed(jawOpen=0.3)
    picture = shade(
        model.deform(identity, blendshapes) @ rotation.T + translation, model.triangles, part_colors(model), camera
    )
    (face,) = FaceLandmarker().detect(picture)
    expected = camera.project(model.landmarks(identity, blendshapes) @ rotation.T + translation)
    eye_distance = np.linalg.norm(expected[468] - expected[473])
    inside = np.setdiff1d(np.arange(478), FACE_OVAL)
    assert np.linalg.norm(face.points[inside, :2] - expected[inside], axis=1).mean() < 0.06 * eye_distance


def test_save_load(model: FaceModel, tmp_path) -> None:
    again = FaceModel.load(model.save(tmp_path / "model.npz"))
    assert np.allclose(again.blendshape_basis, model.blendshape_basis, atol=2e-3)
    assert np.array_equal(again.triangles, model.triangles)
    moved = replace(model, vertices=model.vertices + 1)
    assert np.allclose(moved.landmark_mean, model.landmark_mean + 1, atol=1e-4)


def test_load_of_invalid_files_raises(tmp_path) -> None:
    (tmp_path / "text.npz").write_text("no model")
    np.savez(tmp_path / "other.npz", vertices=np.zeros((1, 3)))
    for name in ("text.npz", "other.npz", "missing.npz"):
        with pytest.raises(CheckpointError, match=name):
            FaceModel.load(tmp_path / name)


def test_rotation_round_trip() -> None:
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, (20, 3))
    rotation = rotation_matrix(angles)
    assert np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(rotation_angles(rotation), angles)
    assert np.allclose(rotation_matrix([0, np.pi / 2, 0]) @ [0, 0, 1], [1, 0, 0]), (
        "positive yaw rotates to the viewer's right"
    )


def test_camera_convention() -> None:
    camera = Camera(1000, 640, 480)
    assert np.allclose(camera.project([[0, 0, -50], [5, 5, -50]]), [[320, 240], [420, 140]])


def test_rasterize_matches_point_in_triangle() -> None:
    rng = np.random.default_rng(3)
    vertices = torch.from_numpy(rng.uniform([0, 0, 5], [24, 20, 9], (30, 3)).astype(np.float32))
    triangles = torch.from_numpy(rng.permuted(np.tile(np.arange(30), (12, 1)), axis=1)[:, :3])
    ids, weights = rasterize(vertices, triangles, 20, 24)
    for y, x in ((3, 4), (10, 12), (15, 20), (19, 0)):
        depths = {}
        for t, (a, b, c) in enumerate(vertices[triangles].double().numpy()):
            basis = np.column_stack([b[:2] - a[:2], c[:2] - a[:2]])
            s, r = np.linalg.solve(basis, [x + 0.5 - a[0], y + 0.5 - a[1]])
            if s >= 0 and r >= 0 and s + r <= 1:
                depths[t] = 1 / ((1 - s - r) / a[2] + s / b[2] + r / c[2])
        assert ids[y, x] == (min(depths, key=depths.get) if depths else -1)
        if depths:
            corners = vertices[triangles[ids[y, x]]]
            assert torch.isclose(
                weights[y, x] @ corners[:, 2], torch.tensor(min(depths.values()), dtype=torch.float32), rtol=1e-4
            )
    depth = interpolate(ids, weights, triangles, vertices[:, 2:])
    assert (depth[ids < 0] == 0).all() and (depth[ids >= 0] >= 5).all()


def test_rasterize_culls_back_faces_and_skips_points_behind_the_camera() -> None:
    square = torch.tensor([[2.0, 2, 5], [8, 2, 5], [8, 8, 5]])
    clockwise = torch.tensor([[0, 1, 2]])  # on the screen, v down
    assert (rasterize(square, clockwise, 10, 10)[0] >= 0).any()
    assert (rasterize(square, clockwise, 10, 10, cull_back=True)[0] < 0).all()
    assert (rasterize(square, clockwise.flip(1), 10, 10, cull_back=True)[0] >= 0).any()
    assert (rasterize(square * torch.tensor([1, 1, -1]), clockwise, 10, 10)[0] < 0).all()
    assert (rasterize(square + 100, clockwise, 10, 10)[0] < 0).all()


def test_nearest_on_triangles() -> None:
    corners = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 5], [1, 0, 5], [0, 1, 5]]], float)
    for point, expected in (([0.2, 0.2, 1], [0.2, 0.2, 0]), ([2, -1, 0.1], [1, 0, 0]), ([0.3, -1, 4.9], [0.3, 0, 5])):
        triangle, weights = nearest_on_triangles(np.array(point), corners)
        assert np.allclose(weights @ corners[triangle], expected)


def test_meeting_points_close_the_opening() -> None:
    upper, lower = np.array([[0, 1.2, 0], [1, 1.2, 0], [0.5, 1, 0.0]]), np.array([[0, -0.2, 0], [1, -0.2, 0], [0.5, 0, 0.0]])
    opened = np.stack([upper, lower])
    closed = np.stack([upper - [0, 1, 0], lower])  # the tips touch
    pair = meeting_points(np.array([[0.45, 1.05, 0], [0.55, -0.05, 0]]), opened, closed)
    assert [triangle for triangle, _ in pair] == [0, 1]
    assert np.linalg.norm(pair[0][1] @ closed[0] - pair[1][1] @ closed[1]) < 0.05
