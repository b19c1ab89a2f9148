"""The moving person over a background that stands still."""

from __future__ import annotations

import numpy as np

from emotalker.face.portrait import Portrait


class StillComposite:
    """Composes frames of one portrait that has a matte over its background, or gives them transparency.

    Where neither the person's colours nor its share have changed, a frame is the picture itself bit for bit; the sum of both
    layers would be off by rounding.
    """

    def __init__(self, portrait: Portrait):
        self._share = np.rint(255 * portrait.matte).astype(np.uint8)
        self._rest = np.dstack([portrait.foreground, self._share])
        self._background, self._transparent = portrait.background, portrait.transparent
        if not self._transparent:
            self._still = portrait.image if portrait.backdrop is None else over(self._rest, self._background)

    @property
    def share(self) -> np.ndarray:
        """The person's share in the portrait's pose, ``(S, S)`` uint8."""
        return self._share

    def __call__(self, person: np.ndarray) -> np.ndarray:
        """``(S, S, 4)`` uint8 as for :func:`over` to a frame: ``(S, S, 3)``, with a transparent background ``(S, S, 4)``."""
        if self._transparent:
            return person
        frame = over(person, self._background)
        unchanged = (person == self._rest).all(-1)
        frame[unchanged] = self._still[unchanged]
        return frame


def over(person: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Compose a person over a background; where the person's share is 0, the result is the background bit for bit.

    Args:
        person: ``(S, S, 4)`` uint8, colours (not multiplied) and the person's share, 0..255.
        background: ``(S, S, 3)`` uint8.

    Returns:
        ``(S, S, 3)`` uint8.
    """
    share = person[..., 3:].astype(np.uint16)
    mixed = person[..., :3] * share
    mixed += background * (255 - share)
    mixed += 127
    mixed //= 255  # at most 65152 before, which uint16 holds
    return mixed.astype(np.uint8)
