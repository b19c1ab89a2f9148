"""Reading and writing images."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from emotalker.core.errors import ImageError, OutputError
from emotalker.core.files import replace_on_success

#: Grey level behind transparent images.
BACKGROUND = 128


def load_image(path: str | os.PathLike) -> np.ndarray:
    """Load an image as RGB uint8 ``(H, W, 3)``, rotated according to its EXIF orientation.

    Grey, palette, CMYK and 16-bit images are converted; transparent ones are composited over grey.

    Raises:
        ImageError: the file is missing or not an image that OpenCV reads (JPEG, PNG, WebP, BMP, TIFF and more).
    """
    path = Path(path)
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError:
        raise ImageError(f"no such image: {path}") from None
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror or error}") from error
    image = _decode(content, cv2.IMREAD_UNCHANGED)
    if image is not None and image.ndim == 3 and image.shape[2] == 4:
        return _flatten(image)
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


def _flatten(image: np.ndarray) -> np.ndarray:
    """Composite BGRA of 8 or 16 bits over the background; RGB uint8."""
    full = np.iinfo(image.dtype).max
    rgb, alpha = image[..., 2::-1] * np.float32(255 / full), image[..., 3:] * np.float32(1 / full)
    return np.round(BACKGROUND + (rgb - BACKGROUND) * alpha).astype(np.uint8)
