"""A portrait prepared for rendering: the crop, its landmarks and the fitted head."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, CoefficientSpace
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.errors import FaceNotFoundError
from emotalker.face.crop import Crop
from emotalker.face.expression_lines import soften_lines
from emotalker.face.fit import FaceFit, fit_face
from emotalker.face.geometry import Camera
from emotalker.face.landmarks import Face, FaceLandmarker
from emotalker.face.lip_rims import clean_lip_rims
from emotalker.face.matte import PersonSegmenter, person_matte
from emotalker.face.model import FaceModel
from emotalker.face.resting import ADDED, entries, lip_gap, shown_expression
from emotalker.face.separation import separate

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
        crop: which part of the picture the crop is; None if unknown.
        matte: ``(S, S)`` float32, the person's share of every pixel, 0..1; None without a segmenter.
        whole_matte: the matte ``(H, W)`` of the whole picture, if the crop has the picture's own pixels.
        mobility: ``(S, S)`` float32, factor of the head's displacement in a window of a picture; see :meth:`Crop.mobility`.
        backdrop: ``(S, S, 3)`` uint8 that replaces the background.
        transparent: whether rendered frames are RGBA without a background.
        only: ``(52,)`` float32, the only blendshapes that will be rendered, with any pose, as for a frame of a dubbed video;
            renderers may prepare themselves for them alone.
    """

    image: np.ndarray
    landmarks: np.ndarray
    fit: FaceFit
    model: FaceModel
    expression: np.ndarray = field(default_factory=lambda: np.zeros(len(ARKIT_BLENDSHAPES), np.float32))
    keep_expression: float = 0.0
    crop: Crop | None = None
    matte: np.ndarray | None = None
    whole_matte: np.ndarray | None = None
    mobility: np.ndarray | None = None
    backdrop: np.ndarray | None = None
    transparent: bool = False
    only: np.ndarray | None = None

    @classmethod
    def from_image(
        cls,
        image: np.ndarray,
        landmarker: FaceLandmarker,
        model: FaceModel,
        size: int | None = 512,
        name: str = "the image",
        keep_expression: float = 0.0,
        face: int | None = None,
        segmenter: PersonSegmenter | None = None,
    ) -> Portrait:
        """Find a face in a picture, crop around it and fit the head.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            landmarker, model: of faces.
            size: side of the crop; None takes the pixels of the picture as they are (:meth:`Crop.window`).
            name: of the picture, for messages.
            keep_expression: share of the picture's own expression that the face at rest keeps, 0..1; see
                :func:`emotalker.face.resting.shown_expression`.
            face: which one, counted from 1 at the left; the largest by default.
            segmenter: finds the matte; None makes a portrait without.

        Raises:
            FaceNotFoundError: there is no such face; the message contains ``name``.
        """
        height, width = image.shape[:2]
        faces = landmarker.detect(image) if face is None else landmarker.detect(image, everywhere=True)
        chosen = _choose(faces, face, name)
        points = chosen.points[:, :2]
        # A much smaller face is printed on something, or far behind.
        others = [other.points[:, :2] for other in faces if other is not chosen and other.area > chosen.area / 6]
        crop = Crop.window(points, width, height) if size is None else Crop.around_head(points, width, height, size)
        pixels = crop.take(image)
        # Landmarks of small faces are more accurate at the crop's resolution.
        in_crop = landmarker.detect(pixels)
        if not in_crop:
            raise FaceNotFoundError(f"the face in {name} is too small or too blurred: give a sharper or larger picture")
        expected = crop.points_in(points).mean(0)
        found = min(in_crop, key=lambda other: float(np.linalg.norm(other.points[:, :2].mean(0) - expected)))
        landmarks = found.points[:, :2].astype(np.float64)
        fit = fit_face(model, landmarks, Camera.default(crop.size, crop.size), found.scores)
        shown = shown_expression(fit.blendshapes[0], found.scores, lip_gap(landmarks), model)
        smile, brows = ((1 - keep_expression) * shown[entries(name)].mean() for name in ("mouthSmile", "browInnerUp"))
        mobility = crop.mobility(width, height) if size is None else None
        whole = matte = None
        if segmenter and size is None:
            whole = person_matte(image, points, segmenter, others)
            matte = None if whole is None else crop.take(whole)
        elif segmenter:
            matte = person_matte(pixels, landmarks, segmenter, [crop.points_in(other) for other in others])
        pixels = soften_lines(pixels, landmarks, min(smile / FULL, 1.0), min(brows / FULL, 1.0))
        pixels = clean_lip_rims(pixels, landmarks)
        return cls(pixels, landmarks, fit, model, shown, keep_expression, crop, matte, whole, mobility)

    @property
    def size(self) -> int:
        """Side of the crop, pixels."""
        return self.image.shape[0]

    @cached_property
    def foreground(self) -> np.ndarray | None:
        """``(S, S, 3)`` uint8: the person's colours, which continue beyond its edge; None without a matte."""
        return None if self.matte is None else separate(self.image, self.matte)[0]

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


def _choose(faces: list[Face], number: int | None, name: str) -> Face:
    """The face with this number from the left, counted from 1, or the largest of faces sorted by size."""
    if not faces:
        raise FaceNotFoundError(f"no face found in {name}: give a picture with one clearly visible, roughly frontal face")
    if number is None:
        return faces[0]
    if not 1 <= number <= len(faces):
        count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
        raise FaceNotFoundError(f"there is no face {number} in {name}: {count} found, counted from 1 at the left")
    return sorted(faces, key=lambda face: face.box[0] + face.box[2])[number - 1]
