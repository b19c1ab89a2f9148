"""The linear head model: mesh, identity space, 52 blendshapes, and MediaPipe's 478 points on its surface."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.core.errors import CheckpointError
from emotalker.core.files import replace_on_success

#: Names of the mesh's parts, in the order of their numbers in the file.
PARTS = ("skin", "eye_sockets", "mouth_cavity", "upper_teeth", "lower_teeth", "tongue", "left_eye", "right_eye")

#: Licence of the packaged asset.
LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class FaceModel:
    """A linear head model: ``vertices + identity @ identity_basis + blendshapes @ blendshape_basis``, in cm (float32).

    Attributes:
        vertices: ``(V, 3)`` the neutral average adult; origin midway between the eyeballs' centres.
        triangles: ``(F, 3)`` int32, counter-clockwise seen from outside.
        uv: ``(F, 3, 2)`` texture coordinates of each triangle's corners, 0..1, v up. Skin, sockets, cavity, teeth and tongue
            share MakeHuman's layout; each eye has a polar one: pupil at (0.5, 0.5), iris border at radius 0.25.
        parts: triangle indices of each of PARTS. "left" is the subject's.
        identity_basis: ``(I, V, 3)``; a coefficient of 1 is one standard deviation among adults.
        blendshape_basis: ``(52, V, 3)`` in ARKIT_BLENDSHAPES order. None of them moves the skull.
        landmark_triangles, landmark_barycentric: ``(478,)`` int64 and ``(478, 3)``: MediaPipe's points on the surface. Lip
            and lid points lie on their own side of the opening; 468..477 are the irises and rotate with the eyes.
        source, licence: origin and licence of the data.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    parts: dict[str, np.ndarray]
    identity_basis: np.ndarray
    blendshape_basis: np.ndarray
    landmark_triangles: np.ndarray
    landmark_barycentric: np.ndarray
    source: str
    licence: str = LICENCE

    @property
    def num_identity(self) -> int:
        """I, the number of identity coefficients."""
        return len(self.identity_basis)

    def deform(self, identity: np.ndarray | None = None, blendshapes: np.ndarray | None = None) -> np.ndarray:
        """Vertices ``(..., V, 3)`` of a head, without pose.

        Args:
            identity: ``(I,)``, or None for the average head.
            blendshapes: ``(..., 52)`` in ARKIT_BLENDSHAPES order, 0..1, or None for the neutral face ``(V, 3)``.
        """
        return _linear(self.vertices, self.identity_basis, self.blendshape_basis, identity, blendshapes)

    def landmarks(self, identity: np.ndarray | None = None, blendshapes: np.ndarray | None = None) -> np.ndarray:
        """MediaPipe's points ``(..., 478, 3)`` on the head of :meth:`deform`, without pose."""
        return _linear(self.landmark_mean, self.landmark_identity, self.landmark_blendshapes, identity, blendshapes)

    @cached_property
    def landmark_mean(self) -> np.ndarray:
        """``(478, 3)`` points on the average neutral head."""
        return self._at_landmarks(self.vertices)

    @cached_property
    def landmark_identity(self) -> np.ndarray:
        """``(I, 478, 3)`` displacement of the points per identity coefficient."""
        return self._at_landmarks(self.identity_basis)

    @cached_property
    def landmark_blendshapes(self) -> np.ndarray:
        """``(52, 478, 3)`` displacement of the points per blendshape."""
        return self._at_landmarks(self.blendshape_basis)

    def _at_landmarks(self, field: np.ndarray) -> np.ndarray:
        corners = field[..., self.triangles[self.landmark_triangles], :]
        return (corners * self.landmark_barycentric[..., None]).sum(-2)

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> FaceModel:
        """Read a model file, by default the packaged one; CheckpointError if it is not a face model."""
        path = Path(path) if path is not None else Path(str(files("emotalker") / "assets" / "face_model.npz"))
        try:
            with np.load(path, allow_pickle=False) as file:
                if tuple(file["blendshape_names"]) != ARKIT_BLENDSHAPES:
                    raise ValueError("its blendshapes are not the 52 of ARKit in order")
                part = file["triangle_part"]
                return cls(
                    vertices=file["vertices"],
                    triangles=file["triangles"].astype(np.int32),
                    uv=file["uv"].astype(np.float32),
                    parts={name: np.flatnonzero(part == i) for i, name in enumerate(PARTS)},
                    identity_basis=file["identity_basis"].astype(np.float32),
                    blendshape_basis=file["blendshape_basis"].astype(np.float32),
                    landmark_triangles=file["landmark_triangles"].astype(np.int64),
                    landmark_barycentric=file["landmark_barycentric"],
                    source=str(file["source"]),
                    licence=str(file["licence"]),
                )
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise CheckpointError(f"{path} is not an EmoTalker face model: {error}; reinstall or rebuild it") from error

    def save(self, path: str | os.PathLike) -> Path:
        """Write the ``.npz`` of :meth:`load`, with displacements in half precision (0.01 mm); OutputError if that fails."""
        part = np.zeros(len(self.triangles), np.uint8)
        for i, name in enumerate(PARTS):
            part[self.parts[name]] = i
        with replace_on_success(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                vertices=self.vertices.astype(np.float32),
                triangles=self.triangles.astype(np.uint16),
                uv=self.uv.astype(np.float16),
                triangle_part=part,
                identity_basis=self.identity_basis.astype(np.float16),
                blendshape_basis=self.blendshape_basis.astype(np.float16),
                blendshape_names=np.array(ARKIT_BLENDSHAPES),
                landmark_triangles=self.landmark_triangles.astype(np.uint16),
                landmark_barycentric=self.landmark_barycentric.astype(np.float32),
                source=np.array(self.source),
                licence=np.array(self.licence),
            )
        return Path(path)


def _linear(
    mean: np.ndarray,
    identity_basis: np.ndarray,
    blendshape_basis: np.ndarray,
    identity: np.ndarray | None,
    blendshapes: np.ndarray | None,
) -> np.ndarray:
    shape = mean
    if identity is not None:
        shape = shape + np.tensordot(np.asarray(identity, np.float32), identity_basis, 1)
    if blendshapes is not None:
        shape = shape + np.tensordot(np.asarray(blendshapes, np.float32), blendshape_basis, 1)
    return shape
