"""Warp of an opening in the face (mouth or eye): two layers of skin in front of an interior."""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.render.displacement_field import DisplacementField
from emotalker.render.opening_line import LOWER, UPPER, OpeningEdges, OpeningLine
from emotalker.render.warp import Inverter, Region, sample, smoothstep

#: Darkness of the line of contact of closed lips, and its width relative to the mouth's: about as in photos of closed mouths.
_CONTACT_SHADE, _CONTACT_WIDTH = np.array([0.4, 0.44, 0.44], np.float32), 0.012


class OpeningWarp:
    """Warps the skin layers on both sides of one opening and composes them over the interior.

    Args:
        region: the rectangle to warp; outside it both layers must agree.
        edges: the opening in the portrait.
        field: displacement per control, ``2 * controls`` channels.
        index: index of the opening's line in the field.
        softness: width of the edge between skin and interior, pixels.
        contact_gap: where the opening is wider than this in the portrait, pixels, the line of contact of its closed edges is
            darkened, because the portrait does not show it; None for never.
    """

    def __init__(
        self,
        region: Region,
        edges: OpeningEdges,
        field: DisplacementField,
        index: int,
        softness: float = 1.5,
        contact_gap: float | None = None,
    ):
        self.region = region
        points = region.field_points()
        self._bases = [
            np.ascontiguousarray(field(points, side, index).reshape(len(points), -1, 2).transpose(1, 0, 2))
            for side in (UPPER, LOWER)
        ]  # two of (controls, samples, 2)
        self._inverter = Inverter(region, iterations=10, damping=0.6)
        self._grid = region.pixel_grid()
        self._local_grid = self._grid - np.array([region.x, region.y], dtype=np.float32)
        half = edges.line.half_width
        pixels = self._grid.astype(np.float64) + 0.5
        # Signed distances to the edges in pixels, positive on the skin.
        self._inside_upper = (-half * OpeningLine(edges.upper).local(pixels)[1]).astype(np.float32)
        self._inside_lower = (half * OpeningLine(edges.lower).local(pixels)[1]).astype(np.float32)
        self._softness = softness
        self._feather = self._edge_feather(region)
        self._contact = None if contact_gap is None else self._unseen_contact(edges, pixels, contact_gap)
        self._contact_width = _CONTACT_WIDTH * 2 * half

    @staticmethod
    def _unseen_contact(edges: OpeningEdges, pixels: np.ndarray, contact_gap: float) -> np.ndarray | None:
        """Whether the portrait is open at each pixel of the region, ``(H, W)`` in 0..1; None if it is closed everywhere."""
        gap = np.linalg.norm(edges.lower - edges.upper, axis=1)
        if gap.max() <= contact_gap:
            return None
        along = edges.line.local(pixels)[0]
        at_pixels = np.interp(along, edges.line.local(edges.line.points)[0], gap, left=0, right=0)
        return smoothstep(at_pixels / contact_gap - 1).astype(np.float32)

    @staticmethod
    def _edge_feather(region: Region, width: int = 10) -> np.ndarray:
        """Blending weight of the region ``(H, W, 1)``: 0 at its border, 1 at ``width`` pixels inside."""
        ys = np.minimum(np.arange(region.height), np.arange(region.height)[::-1])
        xs = np.minimum(np.arange(region.width), np.arange(region.width)[::-1])
        return smoothstep(np.minimum(ys[:, None], xs[None]) / width).astype(np.float32)[..., None]

    def fields(self, controls: np.ndarray) -> np.ndarray:
        """Displacement of both layers: controls ``(T, C)`` to ``(T, 2, rows, columns, 2)`` in pixels."""
        rows, columns = self.region.field_shape
        stacked = [(controls @ b.reshape(len(b), -1)).reshape(len(controls), rows, columns, 2) for b in self._bases]
        return np.stack(stacked, 1)

    def compose(self, canvas: np.ndarray, portrait: np.ndarray, fields: np.ndarray, interior: np.ndarray) -> None:
        """Render the opening into ``canvas`` ``(S, S, 3)`` uint8, in place.

        Args:
            canvas: the frame to change.
            portrait: the photo, ``(S, S, 3)`` uint8.
            fields: ``(2, rows, columns, 2)``, one frame of :meth:`fields`.
            interior: eyeball or mouth interior over the region, ``(height, width, 3)`` uint8.
        """
        colours, distances, contact = [], [], None
        for displacement, inside in zip(fields, (self._inside_upper, self._inside_lower), strict=True):
            backward = self.region.upsample(self._inverter(displacement))
            colours.append(sample(portrait, self._grid + backward).astype(np.float32))
            distances.append(sample(inside, self._local_grid + backward, cv2.INTER_LINEAR))
            if contact is None and self._contact is not None:
                contact = sample(self._contact, self._local_grid + backward, cv2.INTER_LINEAR)
        upper, lower = layer_weights(distances[0], distances[1], self._softness)
        mixed = (
            colours[0] * upper[..., None]
            + colours[1] * lower[..., None]
            + interior.astype(np.float32) * (1 - upper - lower)[..., None]
        )
        if contact is not None:
            line = contact_line(distances[0], distances[1], self._softness, self._contact_width)
            mixed *= 1 - _CONTACT_SHADE * (contact * line)[..., None]
        patch = canvas[self.region.slices]
        blended = patch + self._feather * (mixed - patch)
        patch[:] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)


def contact_line(upper: np.ndarray, lower: np.ndarray, softness: float, width: float) -> np.ndarray:
    """1 where the edges of both layers touch, falling to 0 within ``width`` pixels, and 0 between separate layers.

    Args:
        upper, lower: ``(...)`` signed distances to the layers' edges in pixels, positive on the layer.
        softness: gap in pixels at which the line has vanished.
        width: standard deviation across the line, pixels.

    Returns:
        ``(...)``.
    """
    touching = np.clip(1 + (upper + lower) / softness, 0, 1)
    return np.exp(-(((upper - lower) / (2 * width)) ** 2) / 2) * touching


def layer_weights(upper: np.ndarray, lower: np.ndarray, softness: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the upper and the lower layer at each pixel.

    Separate layers end in soft edges. The soft edges of touching layers add up to one, so that closed lips have no seam.
    Between overlapping layers the border is where both distances are equal.

    Args:
        upper, lower: ``(...)`` signed distances to the layers' edges in pixels, positive on the layer.
        softness: width of the edges, pixels.

    Returns:
        two weights ``(...)``, which add up to at most one.
    """
    cover_upper = np.clip(0.5 + upper / softness, 0, 1)
    cover_lower = np.clip(0.5 + lower / softness, 0, 1)
    upper_fraction = np.clip(0.5 + (upper - lower) / (2 * softness), 0, 1)
    return (
        np.minimum(cover_upper, np.maximum(upper_fraction, 1 - cover_lower)),
        np.minimum(cover_lower, np.maximum(1 - upper_fraction, 1 - cover_upper)),
    )
