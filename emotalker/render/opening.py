"""An opening in the face: two layers of skin that part over an interior. Used for the mouth and for both eyes."""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.render.opening_field import LOWER, UPPER, OpeningField, OpeningLine
from emotalker.render.warp import Inverter, Region, sample, smoothstep


class Opening:
    """Warps the skin on both sides of one opening and lets the interior show between them.

    Args:
        region: the rectangle to work in; outside it both layers must agree.
        opening_line: the line along which the skin parts, in the portrait.
        upper_edge, lower_edge: ``(P, 2)`` edges of the opening in the portrait, pixels; equal where it is closed.
        field: displacement of every control, ``C = 2 * controls`` channels.
        number: which of the field's opening_lines this is.
        size: side of the square portrait, pixels.
        softness: width of the edge between skin and interior, pixels.
    """

    def __init__(
        self,
        region: Region,
        opening_line: OpeningLine,
        upper_edge: np.ndarray,
        lower_edge: np.ndarray,
        field: OpeningField,
        number: int,
        softness: float = 1.5,
    ):
        self.region = region
        points = region.field_points()
        self._bases = [
            np.ascontiguousarray(field(points, side, number).reshape(len(points), -1, 2).transpose(1, 0, 2))
            for side in (UPPER, LOWER)
        ]  # two of (controls, samples, 2)
        self._inverter = Inverter(region, iterations=10, damping=0.6)
        self._grid = region.pixel_grid()
        self._local_grid = self._grid - np.array([region.x, region.y], dtype=np.float32)
        half = np.linalg.norm(opening_line.line[-1] - opening_line.line[0]) / 2
        pixels = self._grid.astype(np.float64) + 0.5
        # Signed distances in pixels, positive on the skin of either side.
        self._inside_upper = (-half * OpeningLine(upper_edge).local(pixels)[1]).astype(np.float32)
        self._inside_lower = (half * OpeningLine(lower_edge).local(pixels)[1]).astype(np.float32)
        self._softness = softness
        self._feather = self._edge_feather(region)

    @staticmethod
    def _edge_feather(region: Region, width: int = 10) -> np.ndarray:
        """Weight of this region against the picture around it: 0 at the rim, 1 from ``width`` pixels in, ``(H, W, 1)``."""
        ys = np.minimum(np.arange(region.height), np.arange(region.height)[::-1])
        xs = np.minimum(np.arange(region.width), np.arange(region.width)[::-1])
        return smoothstep(np.minimum(ys[:, None], xs[None]) / width).astype(np.float32)[..., None]

    def fields(self, controls: np.ndarray) -> np.ndarray:
        """Displacement of both layers for a few frames: controls ``(n, C)`` -> ``(n, 2, rows, columns, 2)``."""
        rows, columns = self.region.field_shape
        stacked = [(controls @ b.reshape(len(b), -1)).reshape(len(controls), rows, columns, 2) for b in self._bases]
        return np.stack(stacked, 1)

    def compose(self, canvas: np.ndarray, portrait: np.ndarray, fields: np.ndarray, interior: np.ndarray) -> None:
        """Draw this opening into ``canvas`` ``(S, S, 3)`` uint8, in place.

        Args:
            portrait: the picture, ``(S, S, 3)`` uint8.
            fields: ``(2, rows, columns, 2)``, one frame of :meth:`fields`.
            interior: what lies behind the skin, ``(height, width, 3)`` uint8 over the region.
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
    """How much of each sheet a pixel shows, from its signed distances to the two edges (positive on the sheet).

    Apart, each sheet ends in a soft edge; touching, the two soft edges add up to one, so that closed lips show no seam;
    overlapping, the border runs where both are equally deep.

    Shapes: ``(...)`` each; the two weights add up to at most one.
    """
    cover_upper = np.clip(0.5 + upper / softness, 0, 1)
    cover_lower = np.clip(0.5 + lower / softness, 0, 1)
    share = np.clip(0.5 + (upper - lower) / (2 * softness), 0, 1)
    return (
        np.minimum(cover_upper, np.maximum(share, 1 - cover_lower)),
        np.minimum(cover_lower, np.maximum(1 - share, 1 - cover_upper)),
    )
