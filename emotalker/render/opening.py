"""Warp of an opening in the face (mouth or eye): two layers of skin in front of an interior."""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.render.displacement_field import DisplacementField
from emotalker.render.opening_line import LOWER, UPPER, OpeningEdges, OpeningLine
from emotalker.render.warp import Inverter, Region, sample, smoothstep


class OpeningWarp:
    """Warps the skin layers on both sides of one opening and composes them over the interior.

    Args:
        region: the rectangle to warp; outside it both layers must agree.
        edges: the opening in the portrait.
        field: displacement per control, ``2 * controls`` channels.
        index: index of the opening's line in the field.
        softness: width of the edge between skin and interior, pixels.
    """

    def __init__(
        self,
        region: Region,
        edges: OpeningEdges,
        field: DisplacementField,
        index: int,
        softness: float = 1.5,
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
        colours, distances = [], []
        for displacement, inside in zip(fields, (self._inside_upper, self._inside_lower), strict=True):
            backward = self.region.upsample(self._inverter(displacement))
            colours.append(sample(portrait, self._grid + backward).astype(np.float32))
            distances.append(sample(inside, self._local_grid + backward, cv2.INTER_LINEAR))
        upper, lower = layer_weights(distances[0], distances[1], self._softness)
        mixed = (
            colours[0] * upper[..., None]
            + colours[1] * lower[..., None]
            + interior.astype(np.float32) * (1 - upper - lower)[..., None]
        )
        patch = canvas[self.region.slices]
        blended = patch + self._feather * (mixed - patch)
        patch[:] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)


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
