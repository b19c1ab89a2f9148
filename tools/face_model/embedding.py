"""Places MediaPipe's 478 points on the head's surface.

Landmarks are detected in renders of several heads, poses and expressions, and each detected point is mapped back to the
visible surface at its pixel. These votes are combined on a reference head with open mouth and eyes, where upper and lower
lips and lids are far apart, so that the nearest surface is on the point's own side of the opening.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from emotalker.coefficients.rotation import rotation_matrix
from emotalker.coefficients.space import blendshape_vector
from emotalker.face.appearance import part_colors
from emotalker.face.geometry import Camera, vertex_normals
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.rasterizer import rasterize, shade
from emotalker.face.topology import INNER_LIPS, LEFT_EYE, LEFT_IRIS, OUTER_LIPS, RIGHT_EYE, RIGHT_IRIS

SIZE = 512
DISTANCE = 45.0  # cm; the head fills two thirds of the picture
#: Rendered expressions. Only those with an open mouth give votes of the lips.
EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.35},
    {"jawOpen": 0.7},
    {
        "jawOpen": 0.4,
        "mouthUpperUpLeft": 0.6,
        "mouthUpperUpRight": 0.6,
        "mouthLowerDownLeft": 0.6,
        "mouthLowerDownRight": 0.6,
    },
    {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5, "eyeSquintLeft": 0.3, "eyeSquintRight": 0.3},
    {"eyeWideLeft": 0.8, "eyeWideRight": 0.8, "browInnerUp": 0.7},
)
REFERENCE = {"jawOpen": 0.6, "eyeWideLeft": 0.6, "eyeWideRight": 0.6}
BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
POSES = np.radians([[0, 0, 0], [0, 18, 0], [0, -18, 0], [12, 0, 0], [-12, 0, 0]])  # pitch, yaw, roll


class SurfaceVotes:
    """Collects the detected positions of each landmark on the reference head."""

    def __init__(self, model: FaceModel):
        self.model = model
        self.reference = model.deform(blendshapes=blendshape_vector(REFERENCE))
        self.votes: list[list[np.ndarray]] = [[] for _ in range(478)]
        self.skin = np.zeros(len(model.triangles), bool)
        self.skin[model.parts["skin"]] = True
        self.skin[model.parts["eye_sockets"]] = True

    def add(self, points: np.ndarray, vertices_cam: np.ndarray, camera: Camera, chosen: np.ndarray) -> None:
        """Add the votes of one render.

        Args:
            points: ``(478, 2)`` detected landmarks, pixels.
            vertices_cam: ``(V, 3)`` rendered head in camera space, cm.
            camera: of the render.
            chosen: ``(478,)`` bool, points that give votes.
        """
        projected = torch.from_numpy(camera.project_with_depth(vertices_cam).astype(np.float32))
        triangles = torch.from_numpy(self.model.triangles)
        ids, weights = (x.numpy() for x in rasterize(projected, triangles, camera.height, camera.width))
        normal = vertex_normals(vertices_cam, self.model.triangles)
        visible = (ids >= 0) & self.skin[ids]
        facing = np.zeros(ids.shape)
        corners = self.model.triangles[ids[visible]]
        facing[visible] = ((normal[corners] * weights[visible][..., None]).sum(1))[:, 2]
        _, labels = cv2.distanceTransformWithLabels(
            (~(visible & (facing > 0.1))).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        rows, columns = np.nonzero(visible & (facing > 0.1))
        nearest = np.zeros((labels.max() + 1, 2), int)
        nearest[labels[rows, columns]] = np.stack([rows, columns], 1)
        pixel = np.clip(points[:, ::-1].astype(int), 0, [camera.height - 1, camera.width - 1])
        row, column = nearest[labels[pixel[:, 0], pixel[:, 1]]].T
        place = (self.reference[self.model.triangles[ids[row, column]]] * weights[row, column][..., None]).sum(1)
        miss = np.hypot(row + 0.5 - points[:, 1], column + 0.5 - points[:, 0])
        for i in np.flatnonzero(chosen & (miss < 0.03 * camera.width)):
            self.votes[i].append(place[i])

    def medians(self) -> np.ndarray:
        """Geometric median of each point's votes on the reference head, ``(478, 3)``; NaN without votes."""
        return np.stack([geometric_median(np.array(v)) if v else np.full(3, np.nan) for v in self.votes])


def geometric_median(points: np.ndarray, steps: int = 50) -> np.ndarray:
    """Point ``(3,)`` of least summed distance to ``(N, 3)`` (Weiszfeld's algorithm)."""
    centre = np.median(points, 0)
    for _ in range(steps):
        weight = 1 / np.maximum(np.linalg.norm(points - centre, axis=1), 1e-3)
        centre = weight @ points / weight.sum()
    return centre


def nearest_on_triangles(point: np.ndarray, corners: np.ndarray) -> tuple[int, np.ndarray]:
    """The triangle of ``(F, 3, 3)`` nearest to ``point (3,)``, and barycentric coordinates of its nearest point."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    candidates = []
    u, v, w = b - a, c - a, point - a
    uu, uv, vv, wu, wv = ((x * y).sum(1) for x, y in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    determinant = np.maximum(uu * vv - uv**2, 1e-12)
    s, t = (vv * wu - uv * wv) / determinant, (uu * wv - uv * wu) / determinant
    inside = (s >= 0) & (t >= 0) & (s + t <= 1)
    candidates.append(np.where(inside[:, None], np.stack([1 - s - t, s, t], 1), np.nan))
    for first, second in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, second] - corners[:, first]
        fraction = ((point - corners[:, first]) * edge).sum(1) / np.maximum((edge**2).sum(1), 1e-12)
        weights = np.zeros((len(corners), 3))
        weights[:, second] = np.clip(fraction, 0, 1)
        weights[:, first] = 1 - weights[:, second]
        candidates.append(weights)
    weights = np.stack(candidates)
    distance = np.linalg.norm((weights[..., None] * corners).sum(2) - point, axis=-1)
    kind, triangle = np.unravel_index(np.nanargmin(distance), distance.shape)
    return int(triangle), weights[kind, triangle]


def symmetric_points(points: np.ndarray) -> np.ndarray:
    """Average points ``(N, 3)``, left-right pairs or points in the middle, with their mirror images."""
    mirrored = points * [-1, 1, 1]
    distance = np.linalg.norm(points[:, None] - mirrored[None], axis=-1)
    _, partner = linear_sum_assignment(distance**2)
    return (points + mirrored[partner]) / 2


def meeting_points(
    votes: np.ndarray, open_corners: np.ndarray, closed_corners: np.ndarray, reach: float = 0.5, pull: float = 4.0
) -> list[tuple[int, np.ndarray]]:
    """Two surface points on opposite edges of an opening, near their votes, that meet when the opening is closed.

    Args:
        votes: ``(2, 3)`` the upper and the lower point on the open head.
        open_corners, closed_corners: ``(F, 3, 3)`` triangles on the open head and with the opening closed.
        reach: search radius around a vote, cm.
        pull: weight of the squared gap when closed relative to the squared distances from the votes.

    Returns:
        triangle and barycentric coordinates of each of the two.
    """
    steps = np.array([(i, j, 6 - i - j) for i in range(7) for j in range(7 - i)]) / 6
    candidates = []
    for vote in votes:
        near = np.flatnonzero((np.linalg.norm(open_corners - vote, axis=-1) < reach).any(1))
        place = np.einsum("sk,fkc->fsc", steps, open_corners[near]).reshape(-1, 3)
        closed = np.einsum("sk,fkc->fsc", steps, closed_corners[near]).reshape(-1, 3)
        candidates.append((near, closed, ((place - vote) ** 2).sum(-1)))
    (_, upper, upper_cost), (_, lower, lower_cost) = candidates
    gap = ((upper[:, None] - lower[None]) ** 2).sum(-1)
    best = np.unravel_index((pull * gap + upper_cost[:, None] + lower_cost[None]).argmin(), gap.shape)
    return [(int(near[b // len(steps)]), steps[b % len(steps)]) for b, (near, _, _) in zip(best, candidates, strict=True)]


def iris_points(model: FaceModel) -> dict[int, tuple[int, np.ndarray]]:
    """Triangle and barycentric coordinates of the ten iris points.

    MediaPipe's order of the rim is right (of the viewer), top, left, bottom.
    """
    found = {}
    for indices, part in ((RIGHT_IRIS, "right_eye"), (LEFT_IRIS, "left_eye")):
        triangles = model.parts[part]
        uv = model.uv[triangles].astype(np.float64) - 0.5
        for index, target in zip(indices, ((0, 0), (0.25, 0), (0, 0.25), (-0.25, 0), (0, -0.25)), strict=True):
            distance = np.linalg.norm(uv - target, axis=2)
            triangle, corner = np.unravel_index(distance.argmin(), distance.shape)
            found[int(index)] = int(triangles[triangle]), np.eye(3)[corner]
    return found


def embed_landmarks(
    model: FaceModel, landmarker: FaceLandmarker, rng: np.random.Generator, num_identities: int = 10
) -> tuple[FaceModel, dict[str, float]]:
    """Place the 478 points by votes of renders.

    Args:
        model: its landmark arrays are replaced.
        landmarker: detects the points.
        rng: samples the identities.
        num_identities: number of heads; the first is the average.

    Returns:
        the model with its points, and counts: renders, faces found, and the median spread of the votes in cm.
    """
    camera = Camera.default(SIZE, SIZE)
    colors = part_colors(model)
    votes = SurfaceVotes(model)
    lips = np.unique(np.concatenate([*INNER_LIPS, *OUTER_LIPS]))
    renders = found = 0
    for head in range(num_identities):
        identity = rng.normal(0, 0.6 if head else 0.0, model.num_identity)
        for values in EXPRESSIONS:
            vertices = model.deform(identity, blendshape_vector(values))
            chosen = np.ones(478, bool)
            chosen[lips] = values.get("jawOpen", 0) >= 0.35
            for pose in POSES:
                placed = vertices @ rotation_matrix(pose).T.astype(np.float32) + np.float32([0, 1.5, -DISTANCE])
                faces = landmarker.detect(shade(placed, model.triangles, colors, camera))
                renders += 1
                if faces:
                    found += 1
                    votes.add(faces[0].points[:, :2], placed, camera, chosen)
    medians = votes.medians()
    spread = np.median(
        [np.median(np.linalg.norm(np.array(v) - m, axis=1)) for v, m in zip(votes.votes, medians, strict=True) if v]
    )
    medians[:468] = symmetric_points(medians[:468])
    allowed = np.flatnonzero(votes.skin)
    corners = votes.reference[model.triangles[allowed]].astype(np.float64)
    triangle, barycentric = np.zeros(478, np.int64), np.zeros((478, 3), np.float32)
    for i, point in enumerate(medians[:468]):
        index, barycentric[i] = nearest_on_triangles(point, corners)
        triangle[i] = allowed[index]
    for contours, expression in ((INNER_LIPS, {}), (RIGHT_EYE, BLINK), (LEFT_EYE, BLINK)):
        closed_head = model.deform(blendshapes=blendshape_vector(expression))[model.triangles[allowed]].astype(np.float64)
        for pair in zip(contours.upper[1:-1], contours.lower[1:-1], strict=True):
            for i, (index, weights) in zip(pair, meeting_points(medians[list(pair)], corners, closed_head), strict=True):
                triangle[i], barycentric[i] = allowed[index], weights
    for i, (t, b) in iris_points(model).items():
        triangle[i], barycentric[i] = t, b
    report = {"renders": renders, "found": found, "spread": float(spread)}
    return replace(model, landmark_triangles=triangle, landmark_barycentric=barycentric), report
