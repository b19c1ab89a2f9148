"""What of the picture the video shows, at what size, and in front of which background."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from emotalker.core.errors import EmoTalkerError
from emotalker.face.portrait import Portrait
from emotalker.face.separation import separate
from emotalker.render.composite import over
from emotalker.video.image import fit_within, load_image

#: Size of the square video without ``size``, pixels.
CROP_SIZE = 512

#: The longer and the shorter side of the largest whole picture (4K); larger pictures are scaled down.
LARGEST = (3840, 2160)

#: The colours of HTML 4.01, section 6.5.
COLOURS = {
    "black": "000000", "silver": "c0c0c0", "gray": "808080", "grey": "808080", "white": "ffffff", "maroon": "800000",
    "red": "ff0000", "purple": "800080", "fuchsia": "ff00ff", "green": "008000", "lime": "00ff00", "olive": "808000",
    "yellow": "ffff00", "navy": "000080", "blue": "0000ff", "teal": "008080", "aqua": "00ffff",
}  # fmt: skip


class FramingError(EmoTalkerError):
    """The framing or the background that was asked for cannot be made."""


@dataclass(frozen=True)
class Background:
    """What replaces the picture's own background.

    Attributes:
        picture: ``(H, W, 3)`` uint8, scaled to cover the video; ``(1, 1, 3)`` for a colour; None for transparency.
    """

    picture: np.ndarray | None

    @classmethod
    def parse(cls, text: str | os.PathLike) -> Background:
        """``transparent``, a colour (``#rrggbb`` or a name of :data:`COLOURS`), or the path of a picture.

        Raises:
            FramingError: it is none of these.
            ImageError: the picture cannot be read.
        """
        name = str(text).strip().lower()
        if name == "transparent":
            return cls(None)
        digits = COLOURS.get(name, name[1:] if name.startswith("#") else "")
        if len(digits) == 6 and not set(digits) - set("0123456789abcdef"):
            return cls(np.array([[[int(digits[i : i + 2], 16) for i in (0, 2, 4)]]], np.uint8))
        if not _is_there(text):
            raise FramingError(
                f"the background {str(text)[:200]} is not a file, a colour or transparent; write #rrggbb, one of "
                f"{', '.join(sorted(COLOURS))}, or the path of a picture"
            )
        return cls(load_image(text))

    @property
    def transparent(self) -> bool:
        """Whether frames are RGBA."""
        return self.picture is None

    def cover(self, width: int, height: int) -> np.ndarray:
        """``(height, width, 3)`` uint8: the picture scaled to cover this size, its middle."""
        rows, columns = self.picture.shape[:2]
        scale = max(width / columns, height / rows)
        size = max(width, round(columns * scale)), max(height, round(rows * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(self.picture, size, interpolation=method)
        top, left = (size[1] - height) // 2, (size[0] - width) // 2
        return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def fit_picture(image: np.ndarray, size: int | None = None) -> np.ndarray:
    """A picture ``(H, W, 3)`` at the size of its video: ``size`` pixels at the longer side, both sides even, up to 4K.

    Without ``size`` its pixels are kept, except that an odd row or column is left out.
    """
    wide = image.shape[1] >= image.shape[0]
    return fit_within(image, LARGEST if wide else LARGEST[::-1], size)


@dataclass(frozen=True)
class Framing:
    """Puts rendered frames into the picture that surrounds them.

    Attributes:
        portrait: what is rendered, with the background that was asked for.
        still: ``(H, W, 3)`` or ``(H, W, 4)`` uint8 around the rendered square; None where this is the whole frame.
    """

    portrait: Portrait
    still: np.ndarray | None = None

    @classmethod
    def of(cls, portrait: Portrait, picture: np.ndarray | None = None, background: Background | None = None) -> Framing:
        """The framing of a portrait.

        Args:
            portrait: what is rendered.
            picture: the whole picture, if the video shows it; the portrait's crop then has its pixels.
            background: replaces the picture's own.

        Raises:
            FramingError: another background is asked for and the portrait has no matte.
        """
        if background is None:
            return cls(portrait, picture)
        if portrait.matte is None:
            raise FramingError(
                "the background cannot be replaced, because the person was not separated from it: either the model "
                "selfie_segmentation is not available (python -m emotalker.core.registry says why), or it does not find the "
                "person; leave --background out"
            )
        shape = portrait.image.shape if picture is None else picture.shape
        backdrop = None if background.transparent else background.cover(shape[1], shape[0])
        still = None
        if picture is not None:
            person = np.dstack(
                [separate(picture, portrait.whole_matte)[0], np.rint(255 * portrait.whole_matte).astype(np.uint8)]
            )
            still = person if backdrop is None else over(person, backdrop)
        if backdrop is not None and picture is not None:
            backdrop = portrait.crop.take(backdrop)
        return cls(replace(portrait, backdrop=backdrop, transparent=background.transparent), still)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the video, pixels."""
        height, width = (self.portrait.image if self.still is None else self.still).shape[:2]
        return width, height

    @property
    def transparent(self) -> bool:
        """Whether frames are RGBA."""
        return self.portrait.transparent

    def place(self, frame: np.ndarray) -> np.ndarray:
        """A rendered frame ``(S, S, C)`` to a frame of the video ``(H, W, C)``, uint8; outside the window it is the still."""
        if self.still is None:
            return frame
        height, width = self.still.shape[:2]
        there, here = self.portrait.crop.inside(width, height)
        whole = self.still.copy()
        whole[there] = frame[here]
        return whole

    def place_planar(self, frame: np.ndarray, whole: np.ndarray) -> None:
        """:meth:`place` into a whole picture for planar YUV 4:2:0: ``(3 S / 2, S)`` into ``whole (3 H / 2, W)``, in place.

        Both hold the plane Y, then U and V of half the height and width, row by row. ``whole`` is the converted
        :attr:`still` and can be used again for the next frame, because only the window changes.
        """
        width, height = self.size
        there, here = self.portrait.crop.inside(width, height)
        size = self.portrait.size
        for target, source, step in zip(_planes(whole, height, width), _planes(frame, size, size), (1, 2, 2), strict=True):
            target[_divided(there, step)] = source[_divided(here, step)]


def _planes(frame: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of Y, U and V of a contiguous planar frame ``(3 H / 2, W)``."""
    luma, color = height * width, height * width // 4
    flat, half = frame.reshape(-1), (height // 2, width // 2)
    return flat[:luma].reshape(height, width), flat[luma : luma + color].reshape(half), flat[luma + color :].reshape(half)


def _divided(place: tuple[slice, slice], step: int) -> tuple[slice, slice]:
    return tuple(slice(part.start // step, part.stop // step) for part in place)


def _is_there(text: str | os.PathLike) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # too long for a name
        return False
