"""The interface of renderers, so that the warp renderer can be replaced, e.g. by a neural one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from emotalker.face.portrait import Portrait


class Renderer(Protocol):
    """Renders one portrait."""

    def render(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render motion frame by frame.

        Args:
            motion: ``(T, D)`` coefficients, or an iterable of frames ``(D,)``, consumed lazily.

        Yields:
            ``(S, S, 3)`` uint8 RGB, each frame a new array.
        """
        ...


@runtime_checkable
class PlanarRenderer(Renderer, Protocol):
    """A renderer that also draws the frames that video encoders take, which saves their conversion."""

    def render_planar(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render like :meth:`render`.

        Yields:
            ``(3 S / 2, S)`` uint8 planar YUV, see :func:`emotalker.render.compositor.planar_yuv`. It is one buffer, which the
            next frame overwrites.
        """
        ...


def warp_renderer(portrait: Portrait) -> Renderer:
    """The :class:`~emotalker.render.warp_renderer.WarpRenderer` of a portrait."""
    from emotalker.render.warp_renderer import WarpRenderer  # imported here, because numba takes a fifth of a second

    return WarpRenderer(portrait)


class RendererFactory(Protocol):
    """Prepares a renderer for one portrait, including all computations that are done once per portrait."""

    def __call__(self, portrait: Portrait) -> Renderer: ...
