"""The training-free renderer: warps the photo by the motion of the fitted head (docs/method.md 11).

The blendshapes displace the skin linearly in the portrait's pose, with lips and lids as layers over teeth and eyeballs, and
the picture is rotated with the head as a relief. Both are dense low-resolution fields, prepared once per portrait.
The photo is sampled once, at the composed displacement (:mod:`emotalker.render.drawing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from emotalker.coefficients import ARKIT, CoefficientSpace
from emotalker.face.portrait import Portrait
from emotalker.face.rasterizer import interpolate, rasterize
from emotalker.face.separation import moving_layers
from emotalker.face.topology import CHIN, FACE_OVAL, INNER_LIPS, LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from emotalker.render.compositor import Compositor, FrameInputs
from emotalker.render.controls import FaceControls
from emotalker.render.displacement_field import DisplacementField
from emotalker.render.eyelids import with_lit_lids
from emotalker.render.eyes import Eyeball
from emotalker.render.fields import mix
from emotalker.render.gains import blendshape_gains
from emotalker.render.mouth import MouthInterior
from emotalker.render.mouth_light import mouth_light
from emotalker.render.opening import OpeningWarp
from emotalker.render.rigid import RigidWarp
from emotalker.render.shading import PortraitShading, ShadingModel
from emotalker.render.warp import Inverter, Region, outside_polygon, smoothstep

#: Reciprocal of the control amount from which lips and lids are drawn in full.
_PRESENCE = 50.0


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
        still, transparent = portrait.image, portrait.transparent
        background = portrait.backdrop
        if portrait.matte is not None and portrait.backdrop is None and not transparent:
            matte, background = moving_layers(portrait.image, portrait.matte)
            portrait = replace(portrait, matte=matte)
        elif portrait.matte is not None:
            portrait = replace(portrait, image=portrait.foreground)
            still = portrait.image if transparent else None
        self._transparent = transparent
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
        values = controls.values
        self._only = None if portrait.only is None else controls(portrait.only[None])[0]
        if self._only is not None:  # a single control of the amount 1 takes the place of all
            values = np.einsum("ncd,c->nd", values, self._only)
        field = DisplacementField(
            controls.points,
            values.reshape(len(controls.points), -1),
            [edges.line for edges in controls.openings],
            controls.sides,
            face_height,
        )
        self._controls = controls
        self._prepare_face(field, face_height)
        self._prepare_openings(field, controls)
        self._shading = PortraitShading(portrait, with_lit_lids(ShadingModel.load(), portrait), shading)
        grid = picture_region(portrait.size).field_shape
        self._no_pose = np.zeros((*grid, 2), np.float32)
        self._compositor = Compositor(portrait.image, grid, portrait.matte, background, still)

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
        self._basis = np.ascontiguousarray(basis.transpose(1, 0, 2)).reshape(basis.shape[1], -1)
        self._inverter = Inverter(self._region, iterations=6, damping=0.7)
        self._face = np.zeros((*self._region.field_shape, 2), np.float32)  # forward displacement of the latest frame

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
            region = Region.around(outline, margin, size, step=max(1, size // 256))
            contact_gap = 0.04 * edges.line.width if index == 0 else None
            softness = max(1.0, size / 360)
            self._opening_warps.append(OpeningWarp(region, edges, field, index, softness, contact_gap))
            interiors.append((region, edges))
        light = mouth_light(portrait)
        self._mouth = MouthInterior(portrait, *interiors[0], light)
        irises = zip(interiors[1:], (RIGHT_IRIS, LEFT_IRIS), strict=True)
        self._eyes = [Eyeball(portrait, *eye, iris, light) for eye, iris in irises]

    @cached_property
    def _rigid(self) -> RigidWarp:
        """The warp for the head's pose, from the depth of the fitted head's skin; prepared when the head first turns."""
        portrait, vertices = self.portrait, self.portrait.vertices()
        region = picture_region(portrait.size)
        rows, columns = region.field_shape
        projected = portrait.fit.camera.project_with_depth(vertices)
        projected[:, :2] *= [columns / portrait.size, rows / portrait.size]
        triangles = torch.from_numpy(portrait.model.triangles[portrait.model.parts["skin"]].astype(np.int64))
        hit, weights = rasterize(torch.from_numpy(projected.astype(np.float32)), triangles, rows, columns)
        depth = interpolate(hit, weights, triangles, torch.from_numpy(projected[:, 2:].astype(np.float32)))[..., 0]
        depth = np.where((hit >= 0).numpy(), depth.numpy(), np.nan)
        return RigidWarp(
            depth,
            region,
            portrait.fit.camera,
            portrait.fit.translation[0],
            portrait.landmarks[CHIN],
            self._face_height(),
            matte=portrait.matte,
            picture=portrait.image,
            face_region=self._region,
            mobility=portrait.mobility,
            source_yaw=float(portrait.fit.angles[0, 1]),
        )

    def render(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render motion ``(T, 58)``; see :meth:`emotalker.render.base.Renderer.render`."""
        for frame in motion:
            draw = self._compositor.rgba if self._transparent else self._compositor.rgb
            yield draw(self._prepare_frame(frame))

    def render_planar(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render motion ``(T, 58)``; see :meth:`emotalker.render.base.PlanarRenderer.render_planar`."""
        for inputs in ahead(self._prepare_frame, motion):
            yield self._compositor.planar(inputs)

    def _prepare_frame(self, motion: np.ndarray) -> FrameInputs:
        """What the compositor draws for one frame of motion ``(58,)``.

        Raises:
            ValueError: the motion is not finite, or not the only one.
        """
        motion = np.asarray(motion, np.float32)
        if not np.isfinite(motion).all():  # compiled loops would read outside the photo
            raise ValueError("motion must be finite")
        blendshapes, pose = motion[self.space.expression], motion[self.space.pose]
        controls = self._controls(blendshapes[None])[0]
        change = controls[: len(blendshapes)]
        amounts = controls
        if self._only is not None:
            if not np.array_equal(controls, self._only):
                raise ValueError("the portrait was prepared for other blendshapes")
            amounts = np.ones(1, np.float32)
        mix(amounts, self._basis, self._face.reshape(-1))
        face, backward, light = self._inverter(self._face), self._no_pose, None
        if np.any(np.abs(pose) > 1e-6):
            backward = self._rigid.backward(pose, face)
            light = self._rigid.light(pose, backward)
        # An unchanged face is the photo; the first trace of a change fades in lips and lids over the drawn interiors.
        presence = float(np.clip(_PRESENCE * np.abs(controls).max(), 0, 1))
        interiors = [
            lambda upper_lip: self._mouth(blendshapes, upper_lip),
            lambda _: self._eyes[0](change),
            lambda _: self._eyes[1](change),
        ]
        region = self._region
        place = (region.x, region.y, region.width, region.height)
        openings = [
            warp(amounts, presence, draw, face, place) for warp, draw in zip(self._opening_warps, interiors, strict=True)
        ]
        return FrameInputs(backward, face, place, self._shading(change), openings, light)


def ahead(function: Callable[[np.ndarray], FrameInputs], frames: Iterable[np.ndarray]) -> Iterator[FrameInputs]:
    """``map(function, frames)``, where a thread computes the next result while the caller uses the last one."""
    source, end = iter(frames), object()

    def compute() -> object:
        frame = next(source, end)
        return end if frame is end else function(frame)

    executor = ThreadPoolExecutor(1, "prepare-frames")
    try:
        result = executor.submit(compute).result()
        while result is not end:
            coming = executor.submit(compute)
            yield result
            result = coming.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def picture_region(size: int) -> Region:
    """The whole picture of a side in pixels, with the resolution of the fields of the head's pose."""
    return Region(0, 0, size, size, step=max(1, size // 128))
