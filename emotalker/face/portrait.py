"""A portrait prepared for rendering: the crop, its landmarks and the fitted head."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, CoefficientSpace
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.errors import FaceNotFoundError
from emotalker.face.expression_lines import soften_lines
from emotalker.face.fit import FaceFit, fit_face
from emotalker.face.geometry import Camera
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.lip_rims import clean_lip_rims
from emotalker.face.model import FaceModel
from emotalker.face.resting import ADDED, entries, lip_gap, shown_expression
from emotalker.face.topology import FACE_OVAL

#: Side of the crop in face heights (top of the face oval to the chin); includes hair and shoulders.
CROP_SCALE = 2.2

#: Level of a blendshape from which its lines in the skin are softened in full when it is removed.
FULL = 0.6


@dataclass
class Portrait:
    """One person's picture with the data that a renderer takes.

    Attributes:
        image: ``(S, S, 3)`` uint8 RGB crop, with softer lines where an expression is removed, and lips without teeth at their
            rims.
        landmarks: ``(478, 2)`` pixels of the crop.
        fit: identity, blendshapes, pose and camera of the crop, one frame.
        model: the head model of the fit.
        expression: ``(52,)`` the part of the fitted blendshapes that is the picture's own expression.
        keep_expression: the share of it that the face at rest keeps, 0..1.
    """

    image: np.ndarray
    landmarks: np.ndarray
    fit: FaceFit
    model: FaceModel
    expression: np.ndarray = field(default_factory=lambda: np.zeros(len(ARKIT_BLENDSHAPES), np.float32))
    keep_expression: float = 0.0

    @classmethod
    def from_image(
        cls,
        image: np.ndarray,
        landmarker: FaceLandmarker,
        model: FaceModel,
        size: int = 512,
        name: str = "the image",
        keep_expression: float = 0.0,
    ) -> Portrait:
        """Find the largest face in ``(H, W, 3)`` uint8 RGB, crop around it and fit the head.

        ``keep_expression`` is the share of the picture's own expression that the face at rest keeps, 0..1; see
        :func:`emotalker.face.resting.shown_expression`.

        Raises:
            FaceNotFoundError: there is no face; the message contains ``name``.
        """
        faces = landmarker.detect(image)
        if not faces:
            raise FaceNotFoundError(f"no face found in {name}: give a picture with one clearly visible, roughly frontal face")
        crop = crop_face(image, faces[0].points[:, :2], size)
        # Landmarks of small faces are more accurate at the crop's resolution.
        in_crop = landmarker.detect(crop)
        if not in_crop:
            raise FaceNotFoundError(f"the face in {name} is too small or too blurred: give a sharper or larger picture")
        landmarks = in_crop[0].points[:, :2].astype(np.float64)
        fit = fit_face(model, landmarks, Camera.default(size, size), in_crop[0].scores)
        shown = shown_expression(fit.blendshapes[0], in_crop[0].scores, lip_gap(landmarks), model)
        smile, brows = ((1 - keep_expression) * shown[entries(name)].mean() for name in ("mouthSmile", "browInnerUp"))
        image = soften_lines(crop, landmarks, min(smile / FULL, 1.0), min(brows / FULL, 1.0))
        image = clean_lip_rims(image, landmarks)
        return cls(image, landmarks, fit, model, shown, keep_expression)

    @property
    def size(self) -> int:
        """Side of the crop, pixels."""
        return self.image.shape[0]

    @property
    def removed(self) -> np.ndarray:
        """``(52,)`` the part of the fitted blendshapes that the face at rest is rendered without.

        With the whole expression kept, this is the lips' shape, which the motion replaces.
        """
        replaced = np.where(ADDED, 0, self.fit.blendshapes[0])
        return (self.expression + self.keep_expression * (replaced - self.expression)).astype(np.float32)

    def reference(self, space: CoefficientSpace = ARKIT) -> np.ndarray:
        """The person's coefficients at rest, ``(D,)``: the fitted lip blendshapes without expression, and zero elsewhere.

        As in training, all other coefficients are relative to the person's resting face and pose.
        """
        reference = np.zeros(space.dim, np.float32)
        lips = [n for n in space.lip_names if n in ARKIT_BLENDSHAPES]
        at_rest = self.fit.blendshapes[0] - (1 - self.keep_expression) * self.expression
        reference[space.indices(lips)] = at_rest[ARKIT.indices(lips)]
        return reference

    def vertices(self) -> np.ndarray:
        """The fitted head in camera space, ``(V, 3)`` centimetres."""
        return self.fit.place(self.model.deform(self.fit.identity, self.fit.blendshapes[0]))

    def surface_landmarks(self) -> np.ndarray:
        """The 478 points of the fitted head in camera space, ``(478, 3)`` centimetres."""
        return self.fit.place(self.model.landmarks(self.fit.identity, self.fit.blendshapes[0]))

    def displacement(self, points: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """First-order displacement in the picture of points of the head by blendshapes.

        Args:
            points: ``(N, 3)`` camera space, centimetres.
            basis: ``(52, N, 3)`` model space, centimetres per unit of each blendshape.

        Returns:
            ``(N, 52, 2)`` pixels per unit of each blendshape.
        """
        moved = (basis @ rotation_matrix(self.fit.angles[0]).T).transpose(1, 0, 2)
        depth = -points[:, None, 2]
        camera = self.fit.camera
        du = camera.focal * (moved[..., 0] / depth + points[:, None, 0] * moved[..., 2] / depth**2)
        dv = -camera.focal * (moved[..., 1] / depth + points[:, None, 1] * moved[..., 2] / depth**2)
        return np.stack([du, dv], -1)

    def landmark_displacement(self) -> np.ndarray:
        """:meth:`displacement` of the 478 landmarks, ``(478, 52, 2)``."""
        return self.displacement(self.surface_landmarks(), self.model.landmark_blendshapes)

    def landmark_residual(self, indices: np.ndarray) -> np.ndarray:
        """Mean offset ``(2,)`` in pixels from the fitted to the detected points, for the given landmark indices."""
        fitted = self.fit.camera.project(self.surface_landmarks()[indices])
        return (self.landmarks[indices] - fitted).mean(0)


def crop_face(image: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """Crop the square ``(size, size, 3)`` around a face; where it exceeds the picture, the border is replicated.

    Args:
        image: ``(H, W, 3)`` uint8.
        points: ``(478, 2)`` landmarks, pixels.
        size: side of the result, pixels.
    """
    height, width = image.shape[:2]
    oval = points[FACE_OVAL]
    face_height = np.ptp(oval[:, 1])
    centre = (oval.min(0) + oval.max(0)) / 2
    # The head with its hair, limited to the picture unless the face itself is larger.
    side = max(min(CROP_SCALE * face_height, min(height, width)), 1.5 * max(face_height, np.ptp(oval[:, 0])))
    low = centre - [side / 2, 0.5 * side]
    for axis, extent in enumerate((width, height)):
        if side <= extent:
            low[axis] = np.clip(low[axis], 0, extent - side)
    scale = size / side
    matrix = np.array([[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale]])
    # Pixel centres are at +0.5 in these coordinates and at integers in OpenCV's.
    matrix[:, 2] += 0.5 * (scale - 1)
    if scale < 1:
        # warpAffine has no low-pass filter for downscaling.
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    flags = cv2.INTER_CUBIC
    return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
