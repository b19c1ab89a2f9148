"""Renders the head model itself: a 3-D face video of any identity (supplement, Fig. 3), shaded or textured from the photo."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.errors import ConfigError
from emotalker.face.appearance import part_colors
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.face.rasterizer import check_pytorch3d
from emotalker.face.texture import eye_textures, head_texture
from emotalker.render.mesh_raster import draw_triangles, smooth_normals
from emotalker.render.mesh_tensors import TensorMesh

#: What draws the triangles.
MeshBackend = Literal["auto", "numba", "torch", "pytorch3d"]

#: Pixels are averaged over squares of this side, against jagged edges.
_SUPERSAMPLING = 2
#: Distance of the head from the camera, cm, and height of the picture's centre relative to the eyes.
_DISTANCE, _CENTRE = 64.0, -3.0
#: Standard deviation of random identities; at 1, a mixture of so many directions looks like a caricature.
_VARIETY = 0.7
_BACKGROUND = (115, 120, 128)
#: Direction to the light, and fractions of ambient light for uniform colours and for photos, which contain light already.
_LIGHT, _AMBIENT, _PHOTO_AMBIENT = (-0.3, 0.5, 0.8), 0.45, 0.75


@dataclass(frozen=True)
class Head:
    """What is drawn.

    Attributes:
        rest: ``(V, 3)`` float32 the head at rest in model space, cm.
        textures: of head, left and right eye, ``(H, W, 3)`` uint8; empty for uniform colours.
        model: the head model.
    """

    rest: np.ndarray
    textures: tuple[np.ndarray, ...]
    model: FaceModel

    @classmethod
    def of(cls, portrait: Portrait, textured: bool = True) -> Head:
        """A portrait's head, with its colours or uniform ones."""
        model = portrait.model
        rest = model.deform(portrait.fit.identity, portrait.fit.blendshapes[0] - portrait.removed)
        return cls(rest.astype(np.float32), (head_texture(portrait), *eye_textures(portrait)) if textured else (), model)

    @classmethod
    def average(cls, model: FaceModel) -> Head:
        """The average adult's head."""
        return cls(model.vertices.astype(np.float32), (), model)

    @classmethod
    def random(cls, model: FaceModel, seed: int) -> Head:
        """The head of a random adult."""
        identity = np.random.default_rng(seed).normal(0, _VARIETY, model.num_identity)
        return cls(model.deform(identity).astype(np.float32), (), model)

    @classmethod
    def named(cls, name: str, portrait: Portrait) -> Head:
        """``photo``, ``plain`` (the portrait's shape), ``average``, or a number for a random person.

        Raises:
            ConfigError: it is none of these.
        """
        if name in ("photo", "plain"):
            return cls.of(portrait, textured=name == "photo")
        if name == "average":
            return cls.average(portrait.model)
        if name.isdecimal():
            return cls.random(portrait.model, int(name))
        raise ConfigError(f"a head is photo, plain, average or a number, not {name!r}")


class MeshRenderer:
    """Renders one head; see :class:`emotalker.render.base.Renderer`.

    Args:
        head: the head to draw.
        size: width and height of the frames, pixels.
        backend: "numba" draws with a compiled loop on the CPU, "pytorch3d" and "torch" with tensors; "auto" is PyTorch3D on a
            GPU where it is installed, and otherwise the compiled loop, which is faster on a CPU. All draw the same picture
            but for pixels on the edges of triangles.

    Raises:
        MissingExtraError: ``pytorch3d`` is requested and not installed.
    """

    def __init__(self, head: Head, size: int = 512, backend: MeshBackend = "auto"):
        self.size, self._head = size, head
        model = head.model
        self._basis = np.ascontiguousarray(model.blendshape_basis.reshape(len(model.blendshape_basis), -1), np.float32)
        self._triangles = np.ascontiguousarray(model.triangles, np.int32)
        self._uv = np.ascontiguousarray(model.uv, np.float32)
        self._colors = np.ascontiguousarray(part_colors(model) * 255, np.float32)
        self._texture_of = np.zeros(len(model.triangles), np.int32)
        self._texture_of[model.parts["left_eye"]], self._texture_of[model.parts["right_eye"]] = 1, 2
        self._one_sided = np.zeros(len(model.triangles), bool)
        for name in ("skin", "left_eye", "right_eye"):
            self._one_sided[model.parts[name]] = True
        self._textures = head.textures
        if not head.textures:
            self._texture_of[:] = -1
            self._textures = (np.zeros((2, 2, 3), np.uint8),) * 3
        side = _SUPERSAMPLING * size
        self._camera = Camera.default(side, side)
        self._picture, self._depth = np.empty((side, side, 3), np.uint8), np.empty((side, side), np.float32)
        self._tensors = None
        cuda = torch.cuda.is_available()
        if backend == "auto":
            backend = "pytorch3d" if cuda and importlib.util.find_spec("pytorch3d") else "numba"
        if backend != "numba":
            if backend == "pytorch3d":
                check_pytorch3d()
            mesh = (self._triangles, self._one_sided, self._uv, self._textures, self._texture_of, self._colors)
            self._tensors = TensorMesh(*mesh, _BACKGROUND, side, backend, "cuda" if cuda else "cpu")
        self._normals = np.empty_like(head.rest)
        self._light = np.array(_LIGHT, np.float32) / np.float32(np.linalg.norm(_LIGHT))

    def render(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render motion ``(T, 58)`` of ARKIT; yields ``(S, S, 3)`` uint8 RGB."""
        for vector in motion:
            yield self._frame(np.asarray(vector, np.float32))

    def _frame(self, vector: np.ndarray) -> np.ndarray:
        pose = vector[ARKIT.pose]
        shape = self._head.rest + (vector[ARKIT.expression] @ self._basis).reshape(-1, 3)
        placed = shape @ rotation_matrix(pose[:3]).T.astype(np.float32)
        placed += pose[3:] + np.array([0, -_CENTRE, -_DISTANCE], np.float32)
        smooth_normals(placed, self._triangles, self._normals)
        ambient = _PHOTO_AMBIENT if self._head.textures else _AMBIENT
        brightness = ambient + (1 - ambient) * np.clip(self._normals @ self._light, 0, None)
        projected = np.ascontiguousarray(self._camera.project_with_depth(placed), np.float32)
        if self._tensors is not None:
            picture = self._tensors.draw(projected, brightness)
            return cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA)
        self._picture[:], self._depth[:] = _BACKGROUND, np.inf
        draw_triangles(
            projected,
            self._triangles,
            self._one_sided,
            brightness.astype(np.float32),
            self._uv,
            self._textures,
            self._texture_of,
            self._colors,
            self._picture,
            self._depth,
        )
        return cv2.resize(self._picture, (self.size, self.size), interpolation=cv2.INTER_AREA)
