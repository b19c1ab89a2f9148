"""Draws frames from a photo: prepares the photo once, holds the buffers, and runs the loops of :mod:`.drawing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from emotalker.render.drawing import SQUARE, Backdrop, Planes, Shade, draw, draw_alpha
from emotalker.render.fields import compose
from emotalker.render.layers import Opening, draw_opening
from emotalker.render.sampling import PADDING

#: RGB to luma and colour differences (ITU-R BT.709), as in :func:`emotalker.render.drawing.to_ycc`.
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


class FrameInputs(NamedTuple):
    """What is drawn in one frame.

    Attributes:
        pose: ``(rows, columns, 2)`` float32 backward displacement of the head over the whole picture, pixels.
        face: ``(rows', columns', 2)`` float32 backward displacement of the face in the portrait's pose, pixels.
        place: x, y, width and height of the rectangle of ``face``.
        shade: the shading.
        openings: mouth and eyes, at most three.
        light: ``(rows, columns)`` float32 factor of the person's brightness, of the shape of ``pose``; None for 1.
    """

    pose: np.ndarray
    face: np.ndarray
    place: tuple[int, int, int, int]
    shade: Shade
    openings: Sequence[Opening]
    light: np.ndarray | None = None


class Compositor:
    """Draws frames of one photo, as RGB or as the planar YUV that video encoders take.

    Pixels that do not move are copied from a picture that is prepared once; the others are sampled from the photo once.

    Args:
        photo: ``(S, S, 3)`` uint8 RGB.
        grid: rows and columns of the displacement fields over the whole picture.
        matte: ``(S, S)`` float opacity of the person in the photo, 0..1; None for opaque.
        background: ``(S, S, 3)`` uint8 RGB behind the person, with ``matte``; None for frames with :meth:`rgba`.
        still: ``(S, S, 3)`` uint8 RGB of what does not move; None for the photo, over the background if there is one.

    Raises:
        ValueError: a background is given without a matte, or a shape is wrong.
    """

    def __init__(
        self,
        photo: np.ndarray,
        grid: tuple[int, int],
        matte: np.ndarray | None = None,
        background: np.ndarray | None = None,
        still: np.ndarray | None = None,
    ):
        size = len(photo)
        if photo.shape != (size, size, 3) or photo.dtype != np.uint8:
            raise ValueError(f"a photo is uint8 (S, S, 3), not {photo.dtype} {photo.shape}")
        if matte is None and background is not None:
            raise ValueError("a background needs a matte")
        self.size, person = size, photo.astype(np.float32)
        self._still = np.ascontiguousarray(photo if still is None else still)
        self._matte = None if matte is None else np.ascontiguousarray(matte, np.float32)
        if background is None:
            tiny = np.zeros((2, 2), np.float32)
            self._backdrop = Backdrop(tiny, np.zeros((1, 1), np.bool_), tiny, *np.zeros((2, 2, 2, 2), np.float32), False)
        else:
            if matte.shape != (size, size) or background.shape != photo.shape:
                raise ValueError(f"matte {matte.shape} and background {background.shape} do not fit a photo {photo.shape}")
            behind, opacity = background.astype(np.float32), self._matte[..., None]
            if still is None:
                self._still = np.clip(behind + opacity * (person - behind) + 0.5, 0, 255).astype(np.uint8)
            person, behind = _exact_layers(person, behind, opacity, self._still)
            luma, chroma = _ycc(behind)
            even = chroma[: size // 2 * 2, : size // 2 * 2].reshape(size // 2, 2, size // 2, 2, 2)
            self._backdrop = Backdrop(
                self._matte, _solid(self._matte), luma, chroma, np.ascontiguousarray(even.mean((1, 3))), True
            )
        luma, chroma = _ycc(person)
        self._planes = Planes(*(_padded(plane) for plane in (luma, *_split(chroma), *_split(_block_average(chroma)))))
        self._still_planar = planar_yuv(self._still) if size % 2 == 0 else None
        self._planar = np.zeros((2, 2), np.uint8) if self._still_planar is None else np.empty_like(self._still_planar)
        self._no_rgb, self._no_light = np.zeros((2, 2, 3), np.uint8), np.ones((1, 1), np.float32)
        self._person = np.ones(grid, np.bool_) if background is None else _near(self._matte, grid)
        self._nodes = np.zeros((*grid, 6), np.float32)
        self._spans = np.zeros((grid[0], 2), np.int32)
        self._boxes, self._rectangles = np.zeros((3, 4), np.int32), np.zeros((3, 4), np.float32)
        self._front = np.zeros((size, size, 4), np.float32)

    def rgb(self, inputs: FrameInputs) -> np.ndarray:
        """Draw one frame ``(S, S, 3)`` uint8 RGB, a new array."""
        frame = self._still.copy()
        self._draw(frame, self._planar, True, inputs)
        return frame

    def rgba(self, inputs: FrameInputs) -> np.ndarray:
        """Draw one frame ``(S, S, 4)`` uint8, a new array: the person's colours, not multiplied, and its opacity.

        Raises:
            ValueError: there is no matte, or there is a background.
        """
        if self._matte is None or self._backdrop.on:
            raise ValueError("transparent frames need a matte and no background")
        alpha = np.rint(255 * self._matte).astype(np.uint8)
        frame = self.rgb(inputs)
        draw_alpha(alpha, self._nodes, self._spans, self._matte, inputs.shade)
        return np.dstack([frame, alpha])

    def planar(self, inputs: FrameInputs) -> np.ndarray:
        """Draw one frame as :func:`planar_yuv`.

        Returns:
            ``(3 S / 2, S)`` uint8, a buffer that the next call overwrites.

        Raises:
            ValueError: the photo's side is odd.
        """
        if self._still_planar is None:
            raise ValueError(f"planar frames need an even side, not {self.size} pixels")
        np.copyto(self._planar, self._still_planar)
        self._draw(self._no_rgb, self._planar, False, inputs)
        return self._planar

    def _draw(self, rgb: np.ndarray, planar: np.ndarray, as_rgb: bool, inputs: FrameInputs) -> None:
        pose, face, place, shade, openings, light = inputs
        self._rectangles[:] = np.inf, np.inf, -np.inf, -np.inf
        present = [index for index, opening in enumerate(openings) if opening.presence > 0]
        for index in present:
            o = openings[index]
            self._rectangles[index] = o.x, o.y, o.x + o.width, o.y + o.height
        compose(
            pose,
            face,
            place,
            shade,
            self._rectangles,
            self._person,
            self.size,
            self._nodes,
            self._spans,
            self._boxes,
        )
        low = np.maximum(self._boxes[:, :2].min(0), 0) // 2 * 2  # frames are drawn in blocks of 2 x 2 pixels
        high = np.minimum(self._boxes[:, 2:].max(0) // 2 * 2 + 1, self.size - 1)
        front = self._front[low[1] : high[1] + 1, low[0] : high[0] + 1]
        front[..., :3], front[..., 3] = 0, 1
        for index in reversed(present):  # from the front to the back
            draw_opening(self._front, self._boxes[index], self._nodes, self._planes, shade, openings[index])
        box = np.concatenate([low, high]).astype(np.int32)
        draw(
            rgb,
            planar.reshape(-1),
            as_rgb,
            self._nodes,
            self._spans,
            self._front,
            box,
            self._planes,
            shade,
            self._no_light if light is None else light,
            self._backdrop,
        )


def planar_yuv(picture: np.ndarray) -> np.ndarray:
    """RGB ``(H, W, 3)`` uint8 to planar YUV 4:2:0, ITU-R BT.709 with limited range, as the video writer takes it.

    Returns:
        ``(3 H / 2, W)`` uint8: the plane Y, then U and V with the average colour of 2 x 2 pixels, row by row.

    Raises:
        ValueError: the height or the width is odd.
    """
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"planar frames need an even height and width, not {height} x {width}")
    luma, chroma = _ycc(picture)
    colors = chroma.reshape(height // 2, 2, width // 2, 2, 2).mean((1, 3))
    planes = [16 + 219 / 255 * luma.ravel(), *(128 + 224 / 255 * colors.transpose(2, 0, 1).reshape(2, -1))]
    return np.clip(np.concatenate(planes) + 0.5, 0, 255).astype(np.uint8).reshape(height * 3 // 2, width)


def _near(matte: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Nodes of a grid ``(rows, columns)`` that have any of a matte ``(S, S)`` within a cell and a half around, bool."""
    rows, columns = grid
    cell = int(np.ceil(len(matte) / min(grid)))
    reached = cv2.dilate((matte > 0).astype(np.uint8), np.ones((3 * cell, 3 * cell)))
    centres = [((np.arange(n) + 0.5) * len(matte) / n).astype(int) for n in (rows, columns)]
    return reached[np.ix_(*centres)] > 0


def _solid(matte: np.ndarray) -> np.ndarray:
    """:attr:`emotalker.render.drawing.Backdrop.solid` of a matte ``(S, S)``."""
    side = 2 * SQUARE + 3  # a pixel more on each side, because samples between pixels take both
    opaque = cv2.erode((matte >= 1).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    rest = -len(matte) % SQUARE
    squares = np.pad(opaque, (0, rest), constant_values=True)
    count = len(squares) // SQUARE
    return squares.reshape(count, SQUARE, count, SQUARE).all((1, 3))


def _exact_layers(
    person: np.ndarray, background: np.ndarray, opacity: np.ndarray, still: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours of both layers, changed by fractions of a level so that they add up to what does not move: rounded layers do
    not. Arrays ``(S, S, 3)``, opacity ``(S, S, 1)``; the layer that counts more at a pixel changes."""
    rest = still - (background + opacity * (person - background))
    front = opacity > 0.5
    person = person + np.where(front, rest / np.maximum(opacity, 0.5), 0)
    return person, background + np.where(front, 0, rest / np.maximum(1 - opacity, 0.5))


def _ycc(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RGB ``(H, W, 3)`` to luma ``(H, W)`` and colour differences ``(H, W, 2)``, float32."""
    luma = picture.astype(np.float32) @ _LUMA
    differences = np.stack([(picture[..., 2] - luma) / 1.8556, (picture[..., 0] - luma) / 1.5748], -1)
    return luma, differences.astype(np.float32)


def _block_average(chroma: np.ndarray) -> np.ndarray:
    """At every pixel of ``(H, W, 2)``, the average with its neighbours to the right and below."""
    ahead = np.pad(chroma, ((0, 1), (0, 1), (0, 0)), "edge")
    return (ahead[:-1, :-1] + ahead[1:, :-1] + ahead[:-1, 1:] + ahead[1:, 1:]) / 4


def _split(pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two channels of ``(H, W, 2)``."""
    return pair[..., 0], pair[..., 1]


def _padded(plane: np.ndarray) -> np.ndarray:
    """``(H, W)`` with PADDING replicated pixels around it, flat float32."""
    return np.ascontiguousarray(np.pad(plane, PADDING, "edge"), np.float32).reshape(-1)
