"""The mouth interior: the head model's teeth and tongue in a dark cavity, lit like the photo, and the photo's own interior
where it is visible."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emotalker.face.geometry import vertex_normals
from emotalker.face.portrait import Portrait
from emotalker.face.rasterizer import interpolate, rasterize
from emotalker.face.topology import OUTER_LIPS
from emotalker.render.opening_line import OpeningEdges
from emotalker.render.teeth import tooth_colors
from emotalker.render.warp import Region, sample, smoothstep

#: Colours relative to the bright skin of the lower face, so that they match the photo's light and white balance.
_TONGUE = np.array([0.62, 0.42, 0.42])
_CAVITY = np.array([0.16, 0.09, 0.085])

#: Real upper incisors reach below the line of the closed lips, cm; the model's upper and lower teeth meet edge to edge.
_OVERBITE = 0.22


@dataclass(frozen=True)
class _Layer:
    """A layer over the region: ``color (H, W, 3)`` in 0..255 and opacity ``cover (H, W, 1)`` in 0..1, float32."""

    color: np.ndarray
    cover: np.ndarray

    def over(self, below: np.ndarray) -> np.ndarray:
        """Composite over a picture ``(H, W, 3)``."""
        return below + self.cover * (self.color - below)

    def shifted(self, shift: np.ndarray) -> _Layer:
        """Shifted by ``(2,)`` pixels."""
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        size = self.cover.shape[1::-1]
        cover = cv2.warpAffine(self.cover, matrix, size, flags=cv2.INTER_LINEAR)
        color = cv2.warpAffine(self.color, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return _Layer(color, cover[..., None])


class MouthInterior:
    """Renders the mouth interior of one portrait.

    Args:
        portrait: the picture and its fit.
        region: the rectangle to render.
        edges: inner lip edges in the photo.
    """

    def __init__(self, portrait: Portrait, region: Region, edges: OpeningEdges):
        self._region = region
        self._light = self._skin_light(portrait)
        vertices = portrait.vertices()
        shift = portrait.landmark_residual(np.concatenate([OUTER_LIPS.upper, OUTER_LIPS.lower[1:-1]]))
        pixels_per_cm = portrait.fit.camera.focal / -portrait.fit.translation[0, 2]
        self._upper = self._render_part(portrait, vertices, "upper_teeth", shift + np.array([0, _OVERBITE * pixels_per_cm]))
        self._lower = self._render_part(portrait, vertices, "lower_teeth", shift)
        self._tongue = self._render_part(portrait, vertices, "tongue", shift)
        jaw = np.unique(portrait.model.triangles[portrait.model.parts["lower_teeth"]])
        self._jaw_values = portrait.displacement(vertices[jaw], portrait.model.blendshape_basis[:, jaw]).mean(0)  # (52, 2)
        self._upper_edge = edges.upper
        self._photo = self._photo_interior(portrait, np.concatenate([edges.upper, edges.lower[::-1]]))
        self._rest = portrait.fit.blendshapes[0].astype(np.float32)
        self._shade = self._shading(edges.upper)

    @staticmethod
    def _skin_light(portrait: Portrait) -> np.ndarray:
        """Colour of well-lit skin around the mouth, ``(3,)`` 0..255."""
        mask = np.zeros(portrait.image.shape[:2], np.uint8)
        around = portrait.landmarks[[205, 425, 200, 192, 416]]
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(around).astype(np.int32)), 1)
        lips = portrait.landmarks[np.concatenate([OUTER_LIPS.upper, OUTER_LIPS.lower[::-1]])]
        cv2.fillPoly(mask, [np.round(lips).astype(np.int32)], 0)
        return np.percentile(portrait.image[mask > 0], 65, axis=0)

    def _render_part(self, portrait: Portrait, vertices: np.ndarray, part: str, shift: np.ndarray) -> _Layer:
        """Rasterise a part of the head over the region at twice its resolution, shifted by ``shift`` pixels."""
        model, region = portrait.model, self._region
        triangles = model.triangles[model.parts[part]]
        projected = portrait.fit.camera.project_with_depth(vertices)
        projected[:, :2] = (projected[:, :2] + shift - [region.x, region.y]) * 2
        faces = torch.from_numpy(triangles.astype(np.int64))
        hit, weights = rasterize(torch.from_numpy(projected.astype(np.float32)), faces, 2 * region.height, 2 * region.width)

        def at_pixels(values: np.ndarray) -> np.ndarray:
            return interpolate(hit, weights, faces, torch.from_numpy(values.astype(np.float32))).numpy()

        if part == "tongue":
            relative_color = _TONGUE * (0.35 + 0.65 * np.abs(at_pixels(vertex_normals(vertices, triangles))[..., 2:]))
        else:
            heights = model.vertices[np.unique(triangles), 1]
            upper = part == "upper_teeth"
            relative_color = tooth_colors(at_pixels(model.vertices), upper, heights.min() if upper else heights.max())
        cover = (hit >= 0).numpy().astype(np.float32)[..., None]
        size = (region.width, region.height)
        small_cover = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)[..., None]
        color = cv2.resize((relative_color * self._light).astype(np.float32) * cover, size, interpolation=cv2.INTER_AREA)
        return _Layer(color / np.maximum(small_cover, 1e-3), small_cover)

    def _photo_interior(self, portrait: Portrait, mouth: np.ndarray) -> _Layer | None:
        """The photo's own mouth interior inside the outline ``(P, 2)``, or None if the lips are closed."""
        region = self._region
        mask = np.zeros((region.height, region.width), np.uint8)
        outline = np.round((mouth - [region.x, region.y]) * 16).astype(np.int32)
        cv2.fillPoly(mask, [outline], 255, shift=4)
        if (mask > 0).sum() < 0.01 * mask.size:
            return None
        mask = cv2.erode(mask, np.ones((3, 3), np.uint8))  # remove the rim, which is blended with the lips
        cover = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.0)[..., None]
        return _Layer(portrait.image[region.slices].astype(np.float32), cover)

    def _shading(self, upper_edge: np.ndarray) -> np.ndarray:
        """Brightness of each pixel ``(H, W, 1)``, which decreases towards the corners of the mouth."""
        region = self._region
        first, last = upper_edge[0], upper_edge[-1]
        along = (region.pixel_grid() + 0.5 - (first + last) / 2) @ (last - first) / (np.sum((last - first) ** 2) / 2)
        return (0.55 + 0.45 * (1 - smoothstep((np.abs(along) - 0.35) / 0.65))).astype(np.float32)[..., None]

    def __call__(self, blendshapes: np.ndarray, upper_lip: np.ndarray) -> np.ndarray:
        """Render one frame.

        Args:
            blendshapes: ``(52,)`` of this frame.
            upper_lip: ``(rows, columns, 2)`` displacement of the upper lip's layer, which casts a shadow.

        Returns:
            ``(height, width, 3)`` uint8.
        """
        jaw = (blendshapes - self._rest) @ self._jaw_values
        picture = np.broadcast_to((_CAVITY * self._light).astype(np.float32), self._upper.color.shape)
        picture = self._tongue.shifted(jaw).over(picture)
        lower = self._lower.shifted(jaw)
        # The lower teeth are darker than the upper teeth.
        picture = _Layer(lower.color * 0.75, lower.cover).over(picture)
        picture = self._upper.over(picture) * self._shade * self._lip_shadow(upper_lip)
        if self._photo is not None:
            picture = self._photo.over(picture)
        return np.clip(picture, 0, 255).astype(np.uint8)

    def _lip_shadow(self, upper_lip: np.ndarray) -> np.ndarray:
        """Brightness ``(H, W, 1)``, reduced directly below the upper lip."""
        region = self._region
        rows, columns = region.field_shape
        place = (self._upper_edge - [region.x, region.y]) * [columns / region.width, rows / region.height] - 0.5
        moved = sample(upper_lip, place.astype(np.float32)[None], cv2.INTER_LINEAR)[0] + self._upper_edge
        xs = region.x + np.arange(region.width) + 0.5
        lip = np.interp(xs, moved[:, 0], moved[:, 1])
        below = (region.y + np.arange(region.height)[:, None] + 0.5 - lip) / (0.18 * np.ptp(moved[:, 0]))
        return (0.68 + 0.32 * smoothstep(below)).astype(np.float32)[..., None]
