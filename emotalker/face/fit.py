"""Reading a head's identity, blendshapes and pose from landmarks.

Regularised nonlinear least squares. Gauss-Newton alternates between the identity, shared by all frames, and each frame's
blendshapes; the pose is solved along with both and eliminated (Schur complement), so that it never lags behind. Blendshapes are kept
in 0..1 by projected coordinate descent. All frames are handled at once.

Residuals are in centimetres at the head's distance, so strengths do not depend on the picture's resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.face.topology import EYE_CORNERS, FACE_OVAL, INNER_LIPS, LEFT_EYE, RIGHT_EYE

NUM_BLENDSHAPES = len(ARKIT_BLENDSHAPES)
CHUNK = 256  # frames solved at a time; bounds memory
IDENTITY_FRAMES = 64  # frames that an identity is fitted on, spread evenly


@dataclass(frozen=True)
class FitOptions:
    """Strengths of the fit: standard deviations, smaller is stronger.

    Attributes:
        point_cm: of a landmark around the model's point, mostly what a linear model of heads cannot follow.
        oval_cm: of the face's outline, which slides over the head as it turns.
        gap_cm: of the openings of lips and lids. Openings matter more than where the lips are.
        score: of an blendshape around the landmarker's score.
        blendshape: of an blendshape around 0 where there are no scores.
        identity: of an identity coefficient.
        num_points: so many landmarks count in full; more of them share that weight, as their errors are not independent.
        iterations: rounds of identity and blendshapes.
    """

    point_cm: float = 0.15
    oval_cm: float = 0.5
    gap_cm: float = 0.03
    score: float = 0.2
    blendshape: float = 0.5
    identity: float = 1.0
    num_points: int = 150
    iterations: int = 8


DEFAULT = FitOptions()


@dataclass
class FaceFit:
    """A head fitted to T frames.

    Attributes:
        identity: ``(I,)`` shared by the frames, standard deviations.
        blendshapes: ``(T, 52)`` in ARKIT_BLENDSHAPES order, 0..1.
        angles: ``(T, 3)`` pitch, yaw, roll in radians.
        translation: ``(T, 3)`` cm in camera space.
        camera: assumed view.
        landmarks_2d: ``(T, L, 2)`` pixels fitted to.
        landmark_index: ``(L,)`` which of the 478 they are.
        reprojection_error_px: ``(T,)`` mean distance of fitted and found landmarks.
        relative_error: ``(T,)`` the same as a share of the distance between the outer eye corners' midpoints.

    Frames whose landmarks are not finite are NaN in everything per frame.
    """

    identity: np.ndarray
    blendshapes: np.ndarray
    angles: np.ndarray
    translation: np.ndarray
    camera: Camera
    landmarks_2d: np.ndarray
    landmark_index: np.ndarray
    reprojection_error_px: np.ndarray
    relative_error: np.ndarray

    def place(self, points: np.ndarray, frame: int = 0) -> np.ndarray:
        """Model-space points ``(N, 3)`` in the camera space of one frame."""
        return points @ rotation_matrix(self.angles[frame]).T + self.translation[frame]


def fit_face(
    model: FaceModel,
    landmarks_xy: ArrayLike,
    camera: Camera,
    scores: ArrayLike | None = None,
    landmark_index: ArrayLike | None = None,
    identity: ArrayLike | None = None,
    options: FitOptions = DEFAULT,
) -> FaceFit:
    """Fit one picture; arguments as :func:`fit_sequence` without the frame axis, result with T = 1."""
    scores = None if scores is None else np.asarray(scores)[None]
    return fit_sequence(model, np.asarray(landmarks_xy)[None], camera, scores, landmark_index, identity, options)


def fit_sequence(
    model: FaceModel,
    landmarks_xy: ArrayLike,
    camera: Camera,
    scores: ArrayLike | None = None,
    landmark_index: ArrayLike | None = None,
    identity: ArrayLike | None = None,
    options: FitOptions = DEFAULT,
) -> FaceFit:
    """Fit a clip of one person. Frames are independent but for the identity: nothing is smoothed over time.

    Args:
        model: the head.
        landmarks_xy: ``(T, L, 2)`` pixels; frames that hold NaN are left out.
        camera: the view.
        scores: ``(T, 52)`` the landmarker's blendshape scores, towards which the blendshapes are drawn, or None.
        landmark_index: ``(L,)`` which of the 478 the landmarks are; None if they are all 478.
        identity: ``(I,)`` from :func:`fit_identity`, or None to fit it on this clip.
        options: strengths.

    Raises:
        ValueError: shapes do not agree.
    """
    problem = _Problem(model, camera, landmark_index, options)
    landmarks, scores = problem.check(landmarks_xy, scores)
    valid = np.isfinite(landmarks).all((1, 2)) & np.isfinite(scores if scores is not None else 0.0).all(-1)
    if identity is None:
        chosen = np.flatnonzero(valid)
        identity = problem.solve_identity(landmarks[chosen], None if scores is None else scores[chosen])
    identity = np.asarray(identity, np.float64)

    total = len(landmarks)
    blendshapes, angles, translation, error = (np.full((total, *s), np.nan) for s in ((NUM_BLENDSHAPES,), (3,), (3,), ()))
    for start in range(0, total, CHUNK):
        frames = np.flatnonzero(valid[start : start + CHUNK]) + start
        if len(frames):
            state = problem.start(landmarks[frames], None if scores is None else scores[frames], identity)
            for _ in range(options.iterations):
                problem.step_blendshapes(state)
            blendshapes[frames], angles[frames], translation[frames] = (
                state.blendshapes,
                rotation_angles(state.rotation),
                state.translation,
            )
            error[frames] = np.linalg.norm(problem.project(state) - state.landmarks, axis=-1).mean(1)
    scale = camera.focal / -translation[:, 2] * np.linalg.norm(_eye_distance(model, identity))
    return FaceFit(
        identity.astype(np.float32),
        blendshapes.astype(np.float32),
        angles.astype(np.float32),
        translation.astype(np.float32),
        camera,
        landmarks.astype(np.float32),
        problem.index,
        error.astype(np.float32),
        (error / scale).astype(np.float32),
    )


def fit_identity(
    model: FaceModel,
    landmarks_xy: ArrayLike,
    camera: Camera,
    scores: ArrayLike | None = None,
    landmark_index: ArrayLike | None = None,
    options: FitOptions = DEFAULT,
) -> np.ndarray:
    """Identity ``(I,)`` of one person seen in frames of any number of clips; arguments as :func:`fit_sequence`."""
    problem = _Problem(model, camera, landmark_index, options)
    landmarks, scores = problem.check(landmarks_xy, scores)
    valid = np.isfinite(landmarks).all((1, 2)) & np.isfinite(scores if scores is not None else 0.0).all(-1)
    return problem.solve_identity(landmarks[valid], None if scores is None else scores[valid]).astype(np.float32)


def _eye_distance(model: FaceModel, identity: np.ndarray) -> np.ndarray:
    """Vector between the midpoints of the two eyes' corners, cm."""
    right_outer, right_inner, left_inner, left_outer = model.landmarks(identity)[EYE_CORNERS]
    return (left_inner + left_outer - right_inner - right_outer) / 2


@dataclass
class _State:
    """What is known of a batch of T frames while it is being fitted."""

    landmarks: np.ndarray  # (T, L, 2)
    prior: np.ndarray  # (T, 52) centre of the blendshapes' prior
    precision: float  # of that prior
    identity: np.ndarray  # (I,)
    blendshapes: np.ndarray  # (T, 52)
    rotation: np.ndarray  # (T, 3, 3)
    translation: np.ndarray  # (T, 3)


class _Problem:
    def __init__(self, model: FaceModel, camera: Camera, landmark_index: ArrayLike | None, options: FitOptions):
        self.index = np.arange(478) if landmark_index is None else np.asarray(landmark_index, np.int64)
        self.camera, self.options = camera, options
        self.mean = model.landmark_mean[self.index].astype(np.float64)
        self.identity_basis = model.landmark_identity[:, self.index].astype(np.float64)
        self.blendshape_basis = model.landmark_blendshapes[:, self.index].astype(np.float64)
        share = min(1.0, options.num_points / len(self.index))
        deviation = np.where(np.isin(self.index, FACE_OVAL), options.oval_cm, options.point_cm)
        position = {int(i): n for n, i in enumerate(self.index)}
        pairs = [
            (position[int(u)], position[int(low)])
            for contours in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)
            for u, low in zip(contours.upper[1:-1], contours.lower[1:-1], strict=True)
            if int(u) in position and int(low) in position
        ]
        self.upper, self.lower = np.array(pairs, np.int64).reshape(-1, 2).T
        weights = np.concatenate([np.sqrt(share) / deviation, np.full(len(pairs), 1 / options.gap_cm)])
        self.row_weight = np.repeat(weights, 2)

    def check(self, landmarks_xy: ArrayLike, scores: ArrayLike | None) -> tuple[np.ndarray, np.ndarray | None]:
        landmarks = np.asarray(landmarks_xy, np.float64)
        if landmarks.ndim != 3 or landmarks.shape[1:] != (len(self.index), 2):
            raise ValueError(f"landmarks must be (T, {len(self.index)}, 2), not {landmarks.shape}")
        if scores is not None:
            scores = np.asarray(scores, np.float64)
            if scores.shape != (len(landmarks), NUM_BLENDSHAPES):
                raise ValueError(f"scores must be ({len(landmarks)}, {NUM_BLENDSHAPES}), not {scores.shape}")
        return landmarks, scores

    def start(self, landmarks: np.ndarray, scores: np.ndarray | None, identity: np.ndarray) -> _State:
        """First guess: blendshapes at their prior, pose from the best affine projection of the head."""
        count = len(landmarks)
        prior = np.zeros((count, NUM_BLENDSHAPES)) if scores is None else scores
        deviation = self.options.blendshape if scores is None else self.options.score
        shape = self.mean + np.tensordot(identity, self.identity_basis, 1)
        shape = shape + np.tensordot(prior, self.blendshape_basis, 1)
        solver = np.linalg.pinv(np.concatenate([shape, np.ones((*shape.shape[:2], 1))], -1))
        affine = solver @ landmarks  # (T, 4, 2): pixels per centimetre, and where the origin falls
        right, down = affine[:, :3, 0], affine[:, :3, 1]
        pixels = (np.linalg.norm(right, axis=1) + np.linalg.norm(down, axis=1)) / 2
        axis_x = right / np.linalg.norm(right, axis=1, keepdims=True)
        axis_z = np.cross(axis_x, -down)
        axis_z /= np.linalg.norm(axis_z, axis=1, keepdims=True)
        rotation = np.stack([axis_x, np.cross(axis_z, axis_x), axis_z], 1)
        offset = affine[:, 3] - [self.camera.width / 2, self.camera.height / 2]
        translation = np.concatenate([offset * [1, -1], np.full((count, 1), -self.camera.focal)], 1) / pixels[:, None]
        return _State(landmarks, prior, deviation**-2, identity, prior.copy(), rotation, translation)

    def solve_identity(self, landmarks: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
        identity = np.zeros(len(self.identity_basis))
        if len(landmarks) == 0:
            return identity
        chosen = np.unique(np.linspace(0, len(landmarks) - 1, IDENTITY_FRAMES).round().astype(int))
        state = self.start(landmarks[chosen], None if scores is None else scores[chosen], identity)
        for _ in range(self.options.iterations):
            self.step_identity(state)
            self.step_blendshapes(state)
        return state.identity

    def step_identity(self, state: _State) -> None:
        """Solve the shared identity, each frame's pose eliminated.

        The frames' evidence is averaged, not summed: what limits it is the model's misfit, which is the same in all of them.
        """
        residual, pose, directions = self._linearise(state)
        basis = self._rows(np.einsum("tlcx,klx->tlck", directions, self.identity_basis))
        hessian, gradient, _ = _eliminate(residual, pose, basis)
        precision = self.options.identity**-2
        hessian = hessian.mean(0) + precision * np.eye(len(state.identity))
        change = np.linalg.solve(hessian, gradient.mean(0) - precision * state.identity)
        state.identity = state.identity + change
        self._move(state, residual - basis @ change, pose)

    def step_blendshapes(self, state: _State) -> None:
        """Solve each frame's blendshapes within 0..1, its pose eliminated."""
        residual, pose, directions = self._linearise(state)
        basis = self._rows(np.einsum("tlcx,klx->tlck", directions, self.blendshape_basis))
        hessian, gradient, _ = _eliminate(residual, pose, basis)
        hessian += state.precision * np.eye(NUM_BLENDSHAPES)
        gradient += np.einsum("tij,tj->ti", hessian, state.blendshapes) + state.precision * (state.prior - state.blendshapes)
        before = state.blendshapes
        state.blendshapes = _box_quadratic(hessian, gradient, before)
        self._move(state, residual - np.einsum("trk,tk->tr", basis, state.blendshapes - before), pose)

    def project(self, state: _State) -> np.ndarray:
        """Fitted landmarks ``(T, L, 2)`` in pixels."""
        return self.camera.project(self._turned(state) + state.translation[:, None])

    def _turned(self, state: _State) -> np.ndarray:
        shape = self.mean + np.tensordot(state.identity, self.identity_basis, 1)
        shape = shape + np.tensordot(state.blendshapes, self.blendshape_basis, 1)
        return shape @ state.rotation.transpose(0, 2, 1)

    def _linearise(self, state: _State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weighted residuals ``(T, R)``, their derivatives to the six pose entries ``(T, R, 6)``, and the derivatives
        ``(T, L, 2, 3)`` of the landmarks to a shift of a point in model space."""
        turned = self._turned(state)
        placed = turned + state.translation[:, None]
        depth = -placed[..., 2]
        nominal = -state.translation[:, None, 2]
        to_pixels = np.zeros((*placed.shape[:2], 2, 3))  # du, dv by dx, dy, dz, times (nominal depth / focal)
        to_pixels[..., 0, 0] = nominal / depth
        to_pixels[..., 0, 2] = nominal * placed[..., 0] / depth**2
        to_pixels[..., 1, 1] = -nominal / depth
        to_pixels[..., 1, 2] = -nominal * placed[..., 1] / depth**2
        scale = (nominal / self.camera.focal)[..., None]
        residual = self._rows((state.landmarks - self.camera.project(placed))[..., None] * scale[..., None])[..., 0]
        x, y, z = np.moveaxis(turned, -1, 0)
        zero = np.zeros_like(x)
        by_turn = np.stack([np.stack(row, -1) for row in ((zero, z, -y), (-z, zero, x), (y, -x, zero))], -2)
        pose = self._rows(np.concatenate([to_pixels @ by_turn, to_pixels], -1))
        return residual, pose, to_pixels @ state.rotation[:, None]

    def _rows(self, values: np.ndarray) -> np.ndarray:
        """``(T, L, 2, K)`` per landmark to weighted rows ``(T, R, K)``: the landmarks, then the openings' differences."""
        gaps = values[:, self.upper] - values[:, self.lower]
        rows = np.concatenate([values, gaps], 1)
        return rows.reshape(len(rows), -1, rows.shape[-1]) * self.row_weight[:, None]

    def _move(self, state: _State, residual: np.ndarray, pose: np.ndarray) -> None:
        normal = pose.transpose(0, 2, 1) @ pose + 1e-6 * np.eye(6)
        step = np.linalg.solve(normal, pose.transpose(0, 2, 1) @ residual[..., None])[..., 0]
        state.rotation = rotation_matrix(np.clip(step[:, :3], -0.5, 0.5)) @ state.rotation
        state.translation = state.translation + step[:, 3:]
        state.translation[:, 2] = np.minimum(
            state.translation[:, 2], -5.0
        )  # in front of the camera, whatever the first guess


def _eliminate(residual: np.ndarray, pose: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal equations of ``basis (T, R, K)`` once the six pose entries ``(T, R, 6)`` are solved for: Schur complement.

    Returns:
        ``hessian (T, K, K)``, ``gradient (T, K)`` at no change, and ``basis`` less what the pose explains of it.
    """
    normal = pose.transpose(0, 2, 1) @ pose + 1e-6 * np.eye(6)
    reduced = basis - pose @ np.linalg.solve(normal, pose.transpose(0, 2, 1) @ basis)
    return reduced.transpose(0, 2, 1) @ reduced, (reduced.transpose(0, 2, 1) @ residual[..., None])[..., 0], reduced


def _box_quadratic(hessian: np.ndarray, gradient: np.ndarray, start: np.ndarray, sweeps: int = 12) -> np.ndarray:
    """Minimise ``x H x / 2 - g x`` within 0 <= x <= 1 for each frame, by coordinate descent.

    Args:
        hessian: ``(T, K, K)`` positive definite.
        gradient: ``(T, K)``.
        start: ``(T, K)``.
    """
    x = np.clip(start, 0, 1)
    slope = np.ascontiguousarray((gradient - np.einsum("tij,tj->ti", hessian, x)).T)
    columns = np.ascontiguousarray(hessian.transpose(2, 1, 0))  # frames last: each step then works on whole rows
    x = np.ascontiguousarray(x.T)
    inverse = 1 / np.einsum("tii->it", hessian)
    for _ in range(sweeps):
        largest = 0.0
        for k in range(len(x)):
            moved = np.minimum(np.maximum(x[k] + slope[k] * inverse[k], 0.0), 1.0)
            change = moved - x[k]
            if (size := np.abs(change).max()) > 1e-6:
                x[k] = moved
                slope -= columns[k] * change
                largest = max(largest, size)
        if largest < 1e-3:
            break
    return x.T.copy()
