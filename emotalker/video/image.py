"""Reading and writing images."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image

from emotalker.core.errors import ImageError, OutputError
from emotalker.core.files import replace_on_success
from emotalker.core.limits import MAX_IMAGE_BYTES, MAX_PIXELS

#: Grey level behind transparent images.
BACKGROUND = 128

_PNG = b"\x89PNG\r\n\x1a\n"
#: Bytes that one byte of a deflated stream can stand for.
_MOST_DEFLATED = 1032
#: Rows that are composited at a time.
_ROWS = 256
_RADIANCE = b"#?RADIANCE"

#: Quarter turns against the clock, and whether to mirror left and right afterwards, for each EXIF orientation.
_UPRIGHT = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


class Picture(NamedTuple):
    """A decoded picture and what errors call it.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB.
        name: usually its path.
    """

    pixels: np.ndarray
    name: str = "the image"


def as_picture(source: str | os.PathLike | np.ndarray | Picture) -> Picture:
    """Pixels ``(H, W, 3)`` uint8 RGB or a file as a picture; ImageError as :func:`load_image`."""
    if isinstance(source, Picture):
        return source
    return Picture(source) if isinstance(source, np.ndarray) else Picture(load_image(source), str(source))


def load_image(path: str | os.PathLike) -> np.ndarray:
    """Load an image as RGB uint8 ``(H, W, 3)``, rotated according to its EXIF orientation.

    Grey, palette, CMYK and 16-bit images are converted; transparent ones are composited over grey.

    Raises:
        ImageError: the file is missing, is not an image that OpenCV reads (JPEG, PNG, WebP, BMP, TIFF and more), or is beyond
            the limits of :mod:`emotalker.core.limits`.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"no such image: {path}")
    if not path.is_file():
        raise ImageError(f"{path} is not a file; give a PNG or JPEG file")
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise ImageError(f"{path} is larger than {MAX_IMAGE_BYTES // 1_000_000} MB; give a smaller picture")
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror or error}") from error
    _check_chunks(path, content)
    orientation = _read_header(path, content)
    image = _decode(content, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError(f"{path} is damaged or not an image; give a PNG or JPEG file")
    if image.ndim == 3 and image.shape[2] == 4 and image.dtype != np.float32:
        turns, mirrored = _UPRIGHT.get(orientation, (0, False))
        image = np.rot90(_flatten(image), turns)
        return np.ascontiguousarray(image[:, ::-1] if mirrored else image)
    image = _decode(content, cv2.IMREAD_COLOR)  # converted to 8 bits and three channels, and rotated upright
    if image is None:
        raise ImageError(f"{path} is damaged or not an image; give a PNG or JPEG file")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def fit_within(image: np.ndarray, largest: tuple[int, int], longest: int | None = None) -> np.ndarray:
    """Scale ``(H, W, 3)`` uint8 to an even width and height.

    Args:
        image: the picture.
        largest: limits of width and height, pixels; a larger picture is scaled down.
        longest: the longer side of the result; None keeps the size, except that an odd row or column is cut off.
    """
    height, width = image.shape[:2]
    scale = min(1.0, largest[0] / width, largest[1] / height)
    if longest is not None:
        scale = min(longest / max(width, height), largest[0] / width, largest[1] / height)
    if scale == 1:
        return image[: height // 2 * 2, : width // 2 * 2]
    size = tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def save_image(path: str | os.PathLike, image: np.ndarray) -> Path:
    """Write RGB uint8 ``(H, W, 3)`` in the format of the suffix.

    Raises:
        OutputError: the suffix is unknown or the file cannot be written.
    """
    suffix = Path(path).suffix
    try:
        content = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    except cv2.error as error:
        raise OutputError(f"cannot write {path}: no image format has the suffix {suffix!r}; use .png") from error
    with replace_on_success(path) as temporary:
        temporary.write_bytes(content.tobytes())
    return Path(path)


def _decode(content: np.ndarray, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(content, flags)
    except cv2.error:  # empty, or larger than OpenCV allows
        return None


def _read_header(path: Path, content: np.ndarray) -> int:
    """EXIF orientation, 1 if there is none; ImageError if the header, which OpenCV does not check, states too many pixels."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as header:
            width, height = header.size
            depth, bits = _png_bits(content) or (8, 0)
            if width * height * bits > 8 * _MOST_DEFLATED * len(content):
                raise ImageError(f"{path} is damaged: it ends too soon for {width} x {height} pixels; give the whole picture")
            if width * height * max(1, depth // 8) <= MAX_PIXELS:
                return int(header.getexif().get(ExifTags.Base.Orientation, 1))
    except ImageError:
        raise
    except Image.DecompressionBombError:
        width = height = 0  # more pixels than Pillow opens, which is more than ours
    except Image.UnidentifiedImageError as error:
        if not content[: len(_RADIANCE)].tobytes() == _RADIANCE:  # OpenCV reads it and Pillow does not
            raise ImageError(f"{path} is damaged or not an image; give a PNG or JPEG file") from error
        return 1
    except Exception:  # damaged beyond the header: OpenCV decides
        return 1
    raise ImageError(
        f"{path} has {f'{width} x {height}' if width else 'too many'} pixels; scale it down to at most "
        f"{MAX_PIXELS // 1_000_000} megapixels"
    )


def _check_chunks(path: Path, content: np.ndarray) -> None:
    """ImageError for a PNG with a part that is longer than the file: OpenCV would take memory for it."""
    if content[:8].tobytes() != _PNG:
        return
    place = 8
    while place + 12 <= len(content):
        place += 12 + int.from_bytes(content[place : place + 4].tobytes(), "big")
    if place > len(content):
        raise ImageError(f"{path} is damaged: a part of it ends beyond the file; give the whole picture")


def _png_bits(content: np.ndarray) -> tuple[int, int] | None:
    """Bits of a sample and of a pixel by a PNG's header; None for other formats."""
    if len(content) < 26 or content[:8].tobytes() != _PNG:
        return None
    depth, channels = int(content[24]), {2: 3, 4: 2, 6: 4}.get(int(content[25]), 1)
    return depth, depth * channels


def _flatten(image: np.ndarray) -> np.ndarray:
    """Composite BGRA of 8 or 16 bits over the background; RGB uint8."""
    scale = np.float32(1 / np.iinfo(image.dtype).max)
    flat = np.empty((*image.shape[:2], 3), np.uint8)
    for first in range(0, len(image), _ROWS):  # the rows of a large picture one part after the other, to save memory
        part = image[first : first + _ROWS]
        rgb, alpha = part[..., 2::-1] * (255 * scale), part[..., 3:] * scale
        flat[first : first + _ROWS] = np.round(BACKGROUND + (rgb - BACKGROUND) * alpha)
    return flat
