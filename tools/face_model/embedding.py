"""Finding MediaPipe's 478 points on the head's surface.

The landmarker sees plain renders of many heads, poses and expressions; each point found is carried back to the surface that
the pixel shows. Votes are compared on a reference head with its mouth and eyes open, where the lips, and the lids, are far
apart: so the nearest surface is always that of the point's own side of the opening.
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
#: Expressions shown. Lips and lids are voted on only where they are apart.
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
    """Collects where on the reference head each landmark was seen."""

    def __init__(self, model: FaceModel):
        self.model = model
        self.reference = model.deform(blendshapes=blendshape_vector(REFERENCE))
        self.votes: list[list[np.ndarray]] = [[] for _ in range(478)]
        self.skin = np.zeros(len(model.triangles), bool)
        self.skin[model.parts["skin"]] = True
        self.skin[model.parts["eye_sockets"]] = True

    def add(self, points: np.ndarray, vertices_cam: np.ndarray, camera: Camera, chosen: np.ndarray) -> None:
        """Cast votes of one render.

        Args:
            points: ``(478, 2)`` landmarks found, pixels.
            vertices_cam: ``(V, 3)`` the head as it was drawn.
            camera: as it was drawn.
            chosen: ``(478,)`` bool, points whose votes count here.
        """
        projected = torch.from_numpy(camera.project_with_depth(vertices_cam).astype(np.float32))
        triangles = torch.from_numpy(self.model.triangles)
        ids, weights = (x.numpy() for x in rasterize(projected, triangles, camera.height, camera.width))
        normal = vertex_normals(vertices_cam, self.model.triangles)
        seen = (ids >= 0) & self.skin[ids]
        facing = np.zeros(ids.shape)
        corners = self.model.triangles[ids[seen]]
        facing[seen] = ((normal[corners] * weights[seen][..., None]).sum(1))[:, 2]
        _, labels = cv2.distanceTransformWithLabels(
            (~(seen & (facing > 0.1))).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        rows, columns = np.nonzero(seen & (facing > 0.1))
        nearest = np.zeros((labels.max() + 1, 2), int)
        nearest[labels[rows, columns]] = np.stack([rows, columns], 1)
        pixel = np.clip(points[:, ::-1].astype(int), 0, [camera.height - 1, camera.width - 1])
        row, column = nearest[labels[pixel[:, 0], pixel[:, 1]]].T
        place = (self.reference[self.model.triangles[ids[row, column]]] * weights[row, column][..., None]).sum(1)
        miss = np.hypot(row + 0.5 - points[:, 1], column + 0.5 - points[:, 0])
        for i in np.flatnonzero(chosen & (miss < 0.03 * camera.width)):
            self.votes[i].append(place[i])

    def medians(self) -> np.ndarray:
        """Geometric median of each point's votes on the reference head, ``(478, 3)``; NaN where nobody voted."""
        return np.stack([geometric_median(np.array(v)) if v else np.full(3, np.nan) for v in self.votes])


def geometric_median(points: np.ndarray, steps: int = 50) -> np.ndarray:
    """Point of least summed distance to ``(N, 3)`` (Weiszfeld's iteration)."""
    centre = np.median(points, 0)
    for _ in range(steps):
        weight = 1 / np.maximum(np.linalg.norm(points - centre, axis=1), 1e-3)
        centre = weight @ points / weight.sum()
    return centre


def nearest_on_triangles(point: np.ndarray, corners: np.ndarray) -> tuple[int, np.ndarray]:
    """The triangle of ``(F, 3, 3)`` nearest to ``point (3,)``, and barycentric coordinates of the nearest point in it."""
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
        share = ((point - corners[:, first]) * edge).sum(1) / np.maximum((edge**2).sum(1), 1e-12)
        weights = np.zeros((len(corners), 3))
        weights[:, second] = np.clip(share, 0, 1)
        weights[:, first] = 1 - weights[:, second]
        candidates.append(weights)
    weights = np.stack(candidates)
    distance = np.linalg.norm((weights[..., None] * corners).sum(2) - point, axis=-1)
    kind, triangle = np.unravel_index(np.nanargmin(distance), distance.shape)
    return int(triangle), weights[kind, triangle]


def symmetric_points(points: np.ndarray) -> np.ndarray:
    """Average points ``(N, 3)``, which come in left-right pairs or lie in the middle, with their mirror images."""
    mirrored = points * [-1, 1, 1]
    distance = np.linalg.norm(points[:, None] - mirrored[None], axis=-1)
    _, partner = linear_sum_assignment(distance**2)
    return (points + mirrored[partner]) / 2


def meeting_points(
    votes: np.ndarray, open_corners: np.ndarray, shut_corners: np.ndarray, reach: float = 0.5, pull: float = 4.0
) -> list[tuple[int, np.ndarray]]:
    """Two surface points on opposite edges of an opening, near their votes and such that they meet when it is shut.

    Args:
        votes: ``(2, 3)`` the upper and the lower point on the open head.
        open_corners, shut_corners: ``(F, 3, 3)`` triangles on the open head and with the opening shut.
        reach: how far, in cm, from its vote a point is looked for.
        pull: weight of the squared gap when shut against the squared distances from the votes.

    Returns:
        for each of the two, its triangle and barycentric coordinates.
    """
    steps = np.array([(i, j, 6 - i - j) for i in range(7) for j in range(7 - i)]) / 6
    candidates = []
    for vote in votes:
        near = np.flatnonzero((np.linalg.norm(open_corners - vote, axis=-1) < reach).any(1))
        place = np.einsum("sk,fkc->fsc", steps, open_corners[near]).reshape(-1, 3)
        shut = np.einsum("sk,fkc->fsc", steps, shut_corners[near]).reshape(-1, 3)
        candidates.append((near, shut, ((place - vote) ** 2).sum(-1)))
    (_, upper, upper_cost), (_, lower, lower_cost) = candidates
    gap = ((upper[:, None] - lower[None]) ** 2).sum(-1)
    best = np.unravel_index((pull * gap + upper_cost[:, None] + lower_cost[None]).argmin(), gap.shape)
    return [(int(near[b // len(steps)]), steps[b % len(steps)]) for b, (near, _, _) in zip(best, candidates, strict=True)]


def iris_points(model: FaceModel) -> dict[int, tuple[int, np.ndarray]]:
    """Triangle and barycentric coordinates of the ten iris points.

    MediaPipe orders the rim from the side at the viewer's right, over the top, to the left and the bottom.
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
    """Place the 478 points by votes of many renders.

    Args:
        model: its landmark arrays are replaced.
        landmarker: finds the points.
        rng: draws the identities.
        num_identities: heads shown; the first is the average.

    Returns:
        the model with its points, and what was seen: renders, faces found, median spread of the votes in cm.
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
    for contours, closed in ((INNER_LIPS, {}), (RIGHT_EYE, BLINK), (LEFT_EYE, BLINK)):
        shut = model.deform(blendshapes=blendshape_vector(closed))[model.triangles[allowed]].astype(np.float64)
        for pair in zip(contours.upper[1:-1], contours.lower[1:-1], strict=True):
            for i, (index, weights) in zip(pair, meeting_points(medians[list(pair)], corners, shut), strict=True):
                triangle[i], barycentric[i] = allowed[index], weights
    for i, (t, b) in iris_points(model).items():
        triangle[i], barycentric[i] = t, b
    report = {"renders": renders, "found": found, "spread": float(spread)}
    return replace(model, landmark_triangles=triangle, landmark_barycentric=barycentric), report
