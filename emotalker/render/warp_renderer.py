"""The training-free renderer: warps the photo by the motion of the fitted head (docs/method.md 11).

Each frame is rendered in two steps. First the blendshapes displace the skin linearly in the portrait's pose, with lips and
lids as layers over teeth and eyeballs. Then the picture is rotated with the head as a relief. Both steps use dense
low-resolution fields that are prepared once per portrait, and a few image samplings per frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from emotalker.coefficients import ARKIT, CoefficientSpace
from emotalker.face.portrait import Portrait
from emotalker.face.rasterizer import interpolate, rasterize
from emotalker.face.topology import CHIN, FACE_OVAL, INNER_LIPS, LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from emotalker.render.composite import over
from emotalker.render.controls import FaceControls
from emotalker.render.displacement_field import DisplacementField
from emotalker.render.eyes import Eyeball
from emotalker.render.gains import blendshape_gains
from emotalker.render.mouth import MouthInterior
from emotalker.render.opening import OpeningWarp
from emotalker.render.rigid import RigidWarp
from emotalker.render.shading import PortraitShading, ShadingModel
from emotalker.render.warp import Inverter, Region, outside_polygon, sample, smoothstep

#: Number of frames whose fields are computed in one matrix product.
_BATCH = 8


class WarpRenderer:
    """Renders one portrait; see :class:`emotalker.render.base.Renderer`.

    Args:
        portrait: the picture and its fit.
        space: layout of the motion.
        shading: strength of the shading of expressions: 1 as measured on people, 0 none.

    Raises:
        ValueError: the space is not arkit.
    """

    def __init__(self, portrait: Portrait, space: CoefficientSpace = ARKIT, shading: float = 1.5):
        if space != ARKIT:
            raise ValueError(f"the warp renderer takes {ARKIT.name} motion, not {space.name}")
        self._background, self._transparent, self._matte = portrait.background, portrait.transparent, None
        if portrait.matte is not None:
            self._matte = np.rint(255 * portrait.matte).astype(np.uint8)
            portrait = replace(portrait, image=portrait.foreground)
        self.portrait, self.space = portrait, space
        vertices = portrait.vertices()
        extra_points, extra_values = self._surroundings(vertices)
        gains = blendshape_gains()
        controls = FaceControls(
            portrait.landmarks,
            portrait.landmark_displacement() * gains[:, None],
            extra_points,
            extra_values * gains[:, None],
            portrait.fit.blendshapes[0] / gains,  # the fit is in units of the head model
            portrait.removed / gains,
        )
        face_height = self._face_height()
        field = DisplacementField(
            controls.points,
            controls.values.reshape(len(controls.points), -1),
            [edges.line for edges in controls.openings],
            controls.sides,
            face_height,
        )
        self._controls = controls
        self._prepare_face(field, face_height)
        self._prepare_openings(field, controls)
        self._rigid = self._prepare_rigid(vertices, face_height)
        self._shading = PortraitShading(portrait, ShadingModel.load(), shading)

    def _face_height(self) -> float:
        """Height of the face oval, pixels."""
        oval = self.portrait.landmarks[FACE_OVAL]
        return float(np.linalg.norm(oval[0] - oval[18]))

    def _surroundings(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points beyond the 478: the rest of the head, which hardly moves, and the picture's border, which is static.

        Returns:
            ``(M, 2)`` pixels, ``(M, 52, 2)`` pixels per unit of each blendshape.
        """
        portrait, model = self.portrait, self.portrait.model
        skin = np.unique(model.triangles[model.parts["skin"]])
        pixels = portrait.fit.camera.project(vertices[skin])
        cell = self._face_height() / 14
        oval = portrait.landmarks[FACE_OVAL]
        distance = outside_polygon(pixels, oval)
        front = vertices[skin, 2] > np.median(vertices[skin, 2])
        candidates = np.flatnonzero((distance > cell) & front & (np.abs(pixels - portrait.size / 2) < portrait.size).all(1))
        # One point per cell; the mesh is much denser, e.g. at the ears.
        _, chosen = np.unique(np.floor(pixels[candidates] / cell).astype(int), axis=0, return_index=True)
        chosen = candidates[chosen]
        ticks = np.linspace(0, portrait.size, 9)
        border = np.array([(x, y) for x in ticks for y in ticks if x in (0, portrait.size) or y in (0, portrait.size)])
        border = border[outside_polygon(border, oval) > 2 * cell]
        moved = portrait.displacement(vertices[skin[chosen]], model.blendshape_basis[:, skin[chosen]])
        still = np.zeros((len(border), *moved.shape[1:]))
        return np.concatenate([pixels[chosen], border]), np.concatenate([moved, still])

    def _prepare_face(self, field: DisplacementField, face_height: float) -> None:
        """The coarse field of the whole face; the openings have finer fields."""
        margin = 0.45 * face_height
        size = self.portrait.size
        oval = self.portrait.landmarks[FACE_OVAL]
        self._region = Region.around(oval, (margin, margin), size, step=max(1, size // 128))
        points = self._region.field_points()
        basis = field(points).reshape(len(points), -1, 2)
        basis *= self._fade(points, oval, margin)[:, None, None]
        self._basis = np.ascontiguousarray(basis.transpose(1, 0, 2))
        self._inverter = Inverter(self._region, iterations=6, damping=0.7)
        self._grid = self._region.pixel_grid()

    @staticmethod
    def _fade(points: np.ndarray, oval: np.ndarray, margin: float) -> np.ndarray:
        """Weights ``(N,)`` of points ``(N, 2)``: 1 on the face, 0 from 0.9 ``margin`` pixels outside it."""
        return (1 - smoothstep(outside_polygon(points, oval) / (0.9 * margin))).astype(np.float32)

    def _prepare_openings(self, field: DisplacementField, controls: FaceControls) -> None:
        """The warps of mouth and eyes, and what is visible through them."""
        portrait, size = self.portrait, self.portrait.size
        points = portrait.landmarks
        self._opening_warps, interiors = [], []
        for index, contours in enumerate((INNER_LIPS, RIGHT_EYE, LEFT_EYE)):
            edges = controls.openings[index]
            half = edges.line.half_width
            outline = points[np.concatenate([contours.upper, contours.lower])]
            margin = (0.35 * half, 1.5 * half)
            region = Region.around(outline, margin, size, step=2 if index == 0 else 1)
            contact_gap = 0.04 * edges.line.width if index == 0 else None
            softness = max(1.0, size / 360)
            self._opening_warps.append(OpeningWarp(region, edges, field, index, softness, contact_gap))
            interiors.append((region, edges))
        self._mouth = MouthInterior(portrait, *interiors[0])
        self._eyes = [Eyeball(portrait, *interiors[1], RIGHT_IRIS), Eyeball(portrait, *interiors[2], LEFT_IRIS)]

    def _prepare_rigid(self, vertices: np.ndarray, face_height: float) -> RigidWarp:
        """The warp for the head's pose, from the depth of the fitted head's skin."""
        portrait = self.portrait
        region = Region(0, 0, portrait.size, portrait.size, step=max(1, portrait.size // 128))
        rows, columns = region.field_shape
        projected = portrait.fit.camera.project_with_depth(vertices)
        projected[:, :2] *= [columns / portrait.size, rows / portrait.size]
        triangles = torch.from_numpy(portrait.model.triangles[portrait.model.parts["skin"]].astype(np.int64))
        hit, weights = rasterize(torch.from_numpy(projected.astype(np.float32)), triangles, rows, columns)
        depth = interpolate(hit, weights, triangles, torch.from_numpy(projected[:, 2:].astype(np.float32)))[..., 0]
        depth = np.where((hit >= 0).numpy(), depth.numpy(), np.nan)
        origin = portrait.fit.translation[0]
        return RigidWarp(depth, region, portrait.fit.camera, origin, portrait.landmarks[CHIN], face_height)

    def render(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render motion ``(T, 58)``; see :meth:`emotalker.render.base.Renderer.render`."""
        frames = iter(motion)
        while batch := list(islice(frames, _BATCH)):
            yield from self._render_batch(np.asarray(batch, np.float32))

    def _render_batch(self, motion: np.ndarray) -> Iterator[np.ndarray]:
        blendshapes = motion[:, self.space.expression]
        controls = self._controls(blendshapes)
        rows, columns = self._region.field_shape
        face = (controls @ self._basis.reshape(len(self._basis), -1)).reshape(len(motion), rows, columns, 2)
        opening_fields = [warp.fields(controls) for warp in self._opening_warps]
        for t, pose in enumerate(motion[:, self.space.pose]):
            change = controls[t, : blendshapes.shape[1]]
            image = self._shading(change)
            canvas = image.copy()
            backward = self._region.upsample(self._inverter(face[t]))
            canvas[self._region.slices] = sample(image, self._grid + backward)
            interiors = [self._mouth(blendshapes[t], opening_fields[0][t, 0]), self._eyes[0](change), self._eyes[1](change)]
            for warp, fields, interior in zip(self._opening_warps, opening_fields, interiors, strict=True):
                warp.compose(canvas, image, fields[t], interior)
            if self._matte is None:
                yield self._rigid(canvas, pose)
                continue
            share = self._matte.copy()
            share[self._region.slices] = sample(self._matte, self._grid + backward)
            person = self._rigid(np.dstack([canvas, share]), pose)
            yield person if self._transparent else over(person, self._background)
