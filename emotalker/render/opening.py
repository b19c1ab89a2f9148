"""Warp of an opening in the face (mouth or eye): two layers of skin in front of an interior."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emotalker.render.displacement_field import DisplacementField
from emotalker.render.fields import is_open, mix
from emotalker.render.layers import Opening, differing
from emotalker.render.opening_line import LOWER, UPPER, OpeningEdges, OpeningLine
from emotalker.render.warp import Inverter, Region, smoothstep

#: Width of the line of contact of closed lips relative to the mouth's: about as in photos of closed mouths.
_CONTACT_WIDTH = 0.012


class OpeningWarp:
    """Prepares one opening for :mod:`emotalker.render.drawing`, which draws its layers of skin over the interior.

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
        layers = [field(points, side, index).reshape(len(points), -1, 2).transpose(1, 0, 2) for side in (UPPER, LOWER)]
        self._basis = np.stack(layers, 1).reshape(layers[0].shape[0], -1)  # (controls, 2 * samples * 2)
        self._inverter = Inverter(region, iterations=10, damping=0.6)
        half = edges.line.half_width
        pixels = region.pixel_grid().astype(np.float64) + 0.5
        # Signed distances to the edges in pixels, positive on the skin.
        distances = [-half * OpeningLine(edges.upper).local(pixels)[1], half * OpeningLine(edges.lower).local(pixels)[1]]
        self._inside = np.stack(distances).astype(np.float32)
        self._softness = np.float32(softness)
        self._contact = np.zeros((region.height, region.width), np.float32)
        if contact_gap is not None:
            self._contact = self._unseen_contact(edges, pixels, contact_gap)
        self._contact_width = np.float32(_CONTACT_WIDTH * 2 * half)
        self._fields = np.zeros((2, *region.field_shape, 2), np.float32)  # forward displacement of the latest frame
        self._differs = np.zeros(region.field_shape, np.bool_)
        self._hidden = np.zeros((region.height, region.width, 3), np.uint8)

    @staticmethod
    def _unseen_contact(edges: OpeningEdges, pixels: np.ndarray, contact_gap: float) -> np.ndarray:
        """Whether the portrait is open at each pixel of the region, ``(H, W)`` in 0..1."""
        gap = np.linalg.norm(edges.lower - edges.upper, axis=1)
        along = edges.line.local(pixels)[0]
        at_pixels = np.interp(along, edges.line.local(edges.line.points)[0], gap, left=0, right=0)
        return smoothstep(at_pixels / contact_gap - 1).astype(np.float32)

    def __call__(
        self,
        controls: np.ndarray,
        presence: float,
        interior: Callable[[np.ndarray], np.ndarray],
        face: np.ndarray,
        place: tuple[int, int, int, int],
    ) -> Opening:
        """One frame of the opening.

        Args:
            controls: ``(C,)`` float32 amounts.
            presence: 0..1, 0 leaves the face as it is.
            interior: draws the interior ``(height, width, 3)`` uint8, given the displacement of the upper layer
                ``(rows, columns, 2)`` in pixels. It is not called while both layers touch everywhere.
            face, place: backward displacement of the face around it; see :func:`emotalker.render.layers.differing`.
        """
        region = self.region
        mix(controls, self._basis, self._fields.reshape(-1))
        backward = np.empty_like(self._fields)
        for layer, out in zip(self._fields, backward, strict=True):
            self._inverter(layer, out)
        drawn = np.empty((backward.shape[1] - 1, backward.shape[2] - 1), np.bool_)
        rectangle = region.x, region.y, region.width, region.height
        differing(backward, self._inside, *rectangle, face, place, self._softness, self._contact_width, self._differs, drawn)
        visible = presence > 0 and is_open(backward, self._inside, region.width, region.height)
        return Opening(
            *rectangle,
            backward,
            drawn,
            self._inside,
            self._contact,
            np.ascontiguousarray(interior(self._fields[0])) if visible else self._hidden,
            self._softness,
            self._contact_width,
            np.float32(presence),
        )
