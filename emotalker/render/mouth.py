"""The mouth interior: the head model's teeth and tongue in a cavity, lit like the photo, and the photo's own interior where
it is visible."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.face.geometry import vertex_normals
from emotalker.face.portrait import Portrait
from emotalker.face.rasterizer import interpolate, rasterize
from emotalker.face.topology import INNER_LIPS, OUTER_LIPS
from emotalker.render.gains import blendshape_gains
from emotalker.render.mouth_light import MouthLight, mouth_light
from emotalker.render.opening_line import OpeningEdges
from emotalker.render.photo_interior import photo_interior
from emotalker.render.teeth import tooth_colors
from emotalker.render.warp import Region, sample, smoothstep

#: Colours relative to the teeth, so that they have the photo's light. The cavity of a mouth that is hardly open is lit
#: through the lips and by them.
_TONGUE = np.array([0.86, 0.5, 0.5])
_DEEP_CAVITY = np.array([0.17, 0.075, 0.07], np.float32)
_SHALLOW_CAVITY = np.array([0.36, 0.17, 0.15], np.float32)

#: Gap of the lips over the mouth's width from which the cavity is as dark as it gets.
_WIDE_GAP = 0.4

#: Brightness of the lower teeth and the tongue behind lips that hardly part, relative to a wide open mouth.
_NARROW = 0.62

#: Real upper incisors reach below the line of the closed lips, cm; the model's upper and lower teeth meet edge to edge.
_OVERBITE = 0.22

#: jawOpen at which the lower teeth and the tongue are rendered; they are shifted from there.
_HALF_OPEN = 0.35

#: Brightness of what the upper lip shadows, by colour: light that comes through lips and gums is red.
_SHADOW = np.array([0.7, 0.63, 0.61], np.float32)

#: Height of the upper lip's shadow over the width of the photo's mouth.
_SHADOW_HEIGHT = 0.1

#: Most that the upper teeth darken what is behind them, and how far their shadow reaches over the width of the mouth.
_OCCLUSION = 0.75, 0.09

#: Brightness of the lower teeth, which lips and upper teeth shade.
_LOWER = 0.82

#: How far the lower incisors are below the line of the closed lips, cm: the lower lip covers their edge.
_COVERED = 0.08

#: Most that the lower teeth are shifted to where the photo shows theirs, over the width of the mouth.
_MOST_RISE = 0.2

#: Blendshapes that move the lower jaw.
_JAW = np.array([name.startswith("jaw") for name in ARKIT_BLENDSHAPES])


@dataclass(frozen=True)
class _Layer:
    """A layer over the region: ``color (H, W, 3)`` in 0..255, times the opacity ``cover (H, W, 1)`` in 0..1; float32."""

    color: np.ndarray
    cover: np.ndarray

    def over(self, below: _Layer) -> _Layer:
        """This layer and the one below it as one."""
        seen = 1 - self.cover
        return _Layer(self.color + seen * below.color, self.cover + seen * below.cover)

    def shaded(self, brightness: np.ndarray) -> _Layer:
        """With the colours multiplied by ``(H, W, 1 or 3)``."""
        return _Layer(self.color * brightness, self.cover)

    def shifted(self, shift: np.ndarray) -> _Layer:
        """Shifted by ``(2,)`` pixels."""
        moved = _shifted(np.concatenate([self.color, self.cover], -1), shift)
        return _Layer(moved[..., :3], moved[..., 3:])


def _shifted(picture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    return cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_LINEAR)


class MouthInterior:
    """Renders the mouth interior of one portrait.

    The upper teeth are fixed to the head. The lower teeth and the tongue move with the jaw.

    Args:
        portrait: the picture and its fit.
        region: the rectangle to render.
        edges: inner lip edges in the photo.
        light: of the portrait, if it is known.
    """

    def __init__(self, portrait: Portrait, region: Region, edges: OpeningEdges, light: MouthLight | None = None):
        self._region, self._upper_edge = region, edges.upper
        self._light = light or mouth_light(portrait)
        self._width = float(np.linalg.norm(edges.upper[-1] - edges.upper[0]))
        blendshapes = portrait.fit.blendshapes[0].copy()
        blendshapes[_JAW] = 0
        blendshapes[ARKIT_BLENDSHAPES.index("jawOpen")] = _HALF_OPEN
        vertices = portrait.fit.place(portrait.model.deform(portrait.fit.identity, blendshapes))
        shift = portrait.landmark_residual(np.concatenate([OUTER_LIPS.upper, OUTER_LIPS.lower[1:-1]]))
        pixels_per_cm = portrait.fit.camera.focal / -portrait.fit.translation[0, 2]
        overbite = np.array([0, _OVERBITE * pixels_per_cm])
        upper = self._render_part(portrait, vertices, "upper_teeth", shift + overbite)
        covered = np.array([0, _COVERED * pixels_per_cm])
        lower = self._render_part(portrait, vertices, "lower_teeth", shift + covered).shaded(np.float32(_LOWER))
        tongue = self._render_part(portrait, vertices, "tongue", shift)
        self._jaw_values = self._jaw_displacement(portrait, vertices)  # (52, 2)
        self._jaw_offset = -blendshapes @ self._jaw_values
        photo = photo_interior(
            portrait, region, edges, self._light.enamel, self._shadow(np.zeros((*region.field_shape, 2), np.float32))
        )
        jaw_in_photo = portrait.fit.blendshapes[0] @ self._jaw_values + self._jaw_offset
        if photo.upper is not None:
            upper = _Layer(*photo.upper).over(upper)
        if photo.biting is not None:
            # The fit does not know how far the teeth are above the lip.
            rows = np.flatnonzero(lower.cover[:, region.width // 2] > 0.5)
            if len(rows):
                rise = np.clip(photo.biting - jaw_in_photo[1] - rows[0], -_MOST_RISE * self._width, _MOST_RISE * self._width)
                lower = lower.shifted(np.array([0, rise]))
        jaw = lower.over(tongue)
        if photo.jaw is not None:
            jaw = _Layer(*photo.jaw).shifted(-jaw_in_photo).over(jaw)
        self._upper = np.ascontiguousarray(upper.color, np.float32)
        # What is behind the upper teeth is hidden by them, and in their shadow near them.
        near = cv2.GaussianBlur(upper.cover, (0, 0), _OCCLUSION[1] * self._width)[..., None]
        seen = (1 - upper.cover) * (1 - _OCCLUSION[0] * near)
        self._seen = np.repeat(seen, 3, axis=-1).astype(np.float32)
        self._jaw = np.concatenate([jaw.color, jaw.cover], -1).astype(np.float32)
        gains = blendshape_gains()[:, None]
        values = portrait.landmark_displacement() * gains
        middle = slice(4, 7)
        gap = values[INNER_LIPS.lower[middle]].mean(0) - values[INNER_LIPS.upper[middle]].mean(0)
        self._gap_values = (gap[:, 1] / self._width).astype(np.float32)  # (52,) gap over width per unit

    @staticmethod
    def _jaw_displacement(portrait: Portrait, vertices: np.ndarray) -> np.ndarray:
        """Displacement ``(52, 2)`` of the lower front teeth by the jaw's blendshapes, pixels per unit."""
        model = portrait.model
        teeth = np.unique(model.triangles[model.parts["lower_teeth"]])
        front = teeth[np.abs(model.vertices[teeth, 0]) < 1.0]
        moved = portrait.displacement(vertices[front], model.blendshape_basis[:, front]).mean(0)
        return (moved * _JAW[:, None]).astype(np.float32)

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

        points, inside = at_pixels(model.vertices), (hit >= 0).numpy()
        if part == "tongue":
            normals = at_pixels(vertex_normals(vertices, triangles))
            front = model.vertices[np.unique(triangles), 2].max()
            # Less light reaches the back of the mouth; the surface that is turned up to the viewer is the brightest.
            depth = np.exp((points[..., 2:] - front) / 2.5)
            relative_color = _TONGUE * (0.1 + 0.65 * depth * (0.45 + 0.55 * np.abs(normals[..., 2:])))
        else:
            heights = model.vertices[np.unique(triangles), 1]
            upper = part == "upper_teeth"
            relative_color, crowns = tooth_colors(points, upper, heights.min() if upper else heights.max())
            inside = inside & crowns
        half_width = np.abs(model.landmarks(None, None)[INNER_LIPS.upper[-1], 0])
        relative_color = relative_color * np.exp(self._light.side * np.clip(points[..., :1] / half_width, -1, 1))
        cover = inside.astype(np.float32)[..., None]
        size = (region.width, region.height)
        color = cv2.resize(
            (relative_color * self._light.enamel).astype(np.float32) * cover, size, interpolation=cv2.INTER_AREA
        )
        return _Layer(color, cv2.resize(cover, size, interpolation=cv2.INTER_AREA)[..., None])

    def __call__(self, blendshapes: np.ndarray, upper_lip: np.ndarray) -> np.ndarray:
        """Render one frame.

        Args:
            blendshapes: ``(52,)`` of this frame.
            upper_lip: ``(rows, columns, 2)`` displacement of the upper lip's layer, which casts a shadow.

        Returns:
            ``(height, width, 3)`` uint8.
        """
        wide = float(np.clip(blendshapes @ self._gap_values / _WIDE_GAP, 0, 1))
        cavity = (_SHALLOW_CAVITY + wide * (_DEEP_CAVITY - _SHALLOW_CAVITY)) * self._light.enamel
        lit = _NARROW + wide * (1 - _NARROW)
        jaw = _shifted(self._jaw, blendshapes @ self._jaw_values + self._jaw_offset)
        # The jaw over the cavity: its colour, which contains its opacity, plus (1 - opacity) times the cavity's.
        picture = cv2.transform(jaw, np.concatenate([lit * np.eye(3), -cavity[:, None], cavity[:, None]], 1))
        cv2.multiply(picture, self._seen, dst=picture)
        cv2.add(picture, self._upper, dst=picture)
        return cv2.multiply(picture, self._shadow(upper_lip), dtype=cv2.CV_8U)

    def _shadow(self, upper_lip: np.ndarray) -> np.ndarray:
        """Brightness ``(H, W, 3)``, reduced directly below the upper lip and towards the corners of the mouth."""
        region = self._region
        rows, columns = region.field_shape
        place = (self._upper_edge - [region.x, region.y]) * [columns / region.width, rows / region.height] - 0.5
        moved = sample(upper_lip, place.astype(np.float32)[None], cv2.INTER_LINEAR)[0] + self._upper_edge
        xs = region.x + np.arange(region.width) + 0.5
        lip = np.interp(xs, moved[:, 0], moved[:, 1])
        along = np.abs(xs - (moved[0, 0] + moved[-1, 0]) / 2) / (np.ptp(moved[:, 0]) / 2)
        below = (region.y + np.arange(region.height, dtype=np.float32)[:, None] + 0.5 - lip.astype(np.float32)) / (
            _SHADOW_HEIGHT * self._width
        )
        light = smoothstep(0.25 + 0.75 * below) * (1 - 0.6 * smoothstep((along - 0.5) / 0.55)).astype(np.float32)
        return cv2.transform(light[..., None], np.stack([1 - _SHADOW, _SHADOW], 1))
