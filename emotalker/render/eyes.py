"""The eyeball behind the lids, in layers: sclera, iris and catchlights, and the shade of the upper lid and its lashes."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.face.portrait import Portrait
from emotalker.face.topology import LEFT_EYE, LEFT_IRIS, RIGHT_EYE
from emotalker.render.gains import blendshape_gains
from emotalker.render.mouth_light import MouthLight, mouth_light
from emotalker.render.opening_line import OpeningEdges
from emotalker.render.warp import Region, smoothstep

#: Height of the band below the upper lid that lashes and lid shade, over the eye's width, and its largest share of the gap.
_BAND, _MOST_OF_OPENING = 0.1, 0.3

#: Where the lids are closer than this, relative to the middle of the eye, no sclera is visible between their rims.
_THIN = 0.4

#: Least darkening directly below the upper lid.
_LEAST_SHADE = 0.2

#: Outer rim of the iris, in radii: opaque up to the first, transparent from the second.
_RIM = (0.97, 1.15)

#: Largest displacement of the iris, in radii.
_LARGEST_GAZE = 0.9

#: The share of a blink that the upper lid moves, and its largest rise by eyeWide over the opening.
_UPPER_SHARE, _RISE = 0.85, 0.6

#: Largest gain of brightness per rise of the upper lid over the opening, because a risen lid shades the eye less, and the
#: brightness of the sclera relative to teeth up to which there is one.
_LIGHT, _LIT = 0.5, 0.8


class Eyeball:
    """Renders one eye without its lids.

    The iris moves as a disc over the sclera. Catchlights are reflections of lamps and stay in their place. Both eyes turn by
    the same angle, so that their lines of sight keep meeting at the distance at which they meet in the photo.

    Args:
        portrait: the picture and its fit.
        region: the rectangle to render.
        edges: lid edges in the photo.
        iris: landmark indices of the iris: centre, then rim.
        light: of the portrait, if it is known.
    """

    def __init__(
        self,
        portrait: Portrait,
        region: Region,
        edges: OpeningEdges,
        iris: np.ndarray,
        light: MouthLight | None = None,
    ):
        corner = np.array([region.x, region.y])
        picture = portrait.image[region.slices].astype(np.float32)
        centre = portrait.landmarks[iris[0]] - corner
        radius = np.linalg.norm(portrait.landmarks[iris[1:]] - corner - centre, axis=1).mean()
        grid = region.pixel_grid() - corner.astype(np.float32)
        distance = (np.linalg.norm(grid + 0.5 - centre, axis=-1) / radius).astype(np.float32)
        upper, lower = edges.upper - corner, edges.lower - corner
        xs = np.arange(region.width) + 0.5
        top, bottom = np.interp(xs, *upper.T), np.interp(xs, *lower.T)
        opening = np.where((xs > upper[0, 0]) & (xs < upper[-1, 0]), np.clip(bottom - top, 0, None), 0)
        width = np.linalg.norm(upper[-1] - upper[0])
        ys = grid[..., 1] + 0.5
        visible = (ys > top) & (ys < bottom) & (opening > 0)
        band = np.maximum(np.minimum(_BAND * width, _MOST_OF_OPENING * opening), 1.0)
        # At the corners there is nothing but rims of lids.
        band = np.where(opening < _THIN * opening.max(), np.maximum(opening, 1.0), band)
        band = cv2.GaussianBlur(band[None].astype(np.float32), (0, 0), max(0.5, 0.03 * width))[0]
        above_rim = visible & (ys < bottom - max(1.0, 0.012 * width))
        clear = above_rim & (ys > top + band)
        iris_clear = above_rim & (ys > top + np.maximum(0.4 * band, 1.0))  # a shade on the iris is hardly seen

        # The ball turns away from the light towards the corners and below the upper lid.
        along = (xs - upper[[0, -1], 0].mean()) / (width / 2)
        turned = 1 - 0.22 * np.clip(along**2, 0, 1) - np.clip((top - ys) / width, 0, 0.25)
        known = clear & (distance > 1.1 * _RIM[1])
        white = (light or mouth_light(portrait)).enamel
        self._sclera = _continued(picture, known, visible, 0.1 * width, turned.astype(np.float32)[..., None], white)
        profile = _radial_profile(picture, iris_clear, distance, self._sclera)
        seen = (iris_clear & (distance < _RIM[1])).astype(np.float32)
        seen = (cv2.GaussianBlur(seen, (0, 0), 0.7) * seen)[..., None]
        self._catchlight = _catchlights(picture, profile, visible & (distance < 0.85), radius)
        disc = profile + seen * (picture - self._catchlight - profile)
        opacity = (1 - smoothstep((distance - _RIM[0]) / (_RIM[1] - _RIM[0]))).astype(np.float32)[..., None]
        self._iris = np.concatenate([disc * opacity, opacity], -1).astype(np.float32)
        seen_white = self._sclera[visible if visible.any() else slice(None)].mean()
        self._light = float(np.clip((_LIT * white.mean() / max(seen_white, 1.0) - 1) / _RISE, 0, _LIGHT))
        self._over_sclera = self._catchlight - self._sclera
        ball = self._composed(self._iris)
        self._shade = _lid_shade(picture, ball, visible, ys - top, band)
        edge = np.abs(ys - top) < 1.5
        edge &= opening > 0
        self._rim = np.percentile(picture[edge] if edge.any() else picture.reshape(-1, 3), 50, axis=0).astype(np.float32)
        self._grid_x, self._grid_y = np.ascontiguousarray(grid[..., 0]), np.ascontiguousarray(grid[..., 1])

        displacement = portrait.landmark_displacement()
        side = "Left" if iris[0] == LEFT_IRIS[0] else "Right"
        self._gaze_values = self._conjugate(displacement[iris[0]], side)
        self._limit = _LARGEST_GAZE * radius
        eye = LEFT_EYE if side == "Left" else RIGHT_EYE
        lid = displacement[eye.upper][..., 1] * blendshape_gains()  # (P, 52)
        least = np.clip(np.interp(upper[:, 0], xs, opening), 0, None)
        lid[:, ARKIT_BLENDSHAPES.index(f"eyeBlink{side}")] = _UPPER_SHARE * least
        wide = ARKIT_BLENDSHAPES.index(f"eyeWide{side}")
        lid[:, wide] = np.maximum(lid[:, wide], -_RISE * least.max())
        middle = np.argmax(opening)
        self._opening = (int(middle), max(float(_UPPER_SHARE * opening[middle]), 1.0))
        self._lid_values = np.stack([np.interp(xs, upper[:, 0], v) for v in lid.T]).astype(np.float32)  # (52, W)

    @staticmethod
    def _conjugate(values: np.ndarray, side: str) -> np.ndarray:
        """Displacement of one iris ``(52, 2)`` by the eyeLook blendshapes of both eyes, each with half the weight.

        ``values (52, 2)`` are the displacements by the eye's own blendshapes.
        """
        result = np.zeros_like(values, dtype=np.float32)
        other = "Right" if side == "Left" else "Left"
        for own, opposite in (("Up", "Up"), ("Down", "Down"), ("In", "Out"), ("Out", "In")):
            moved = values[ARKIT_BLENDSHAPES.index(f"eyeLook{own}{side}")] / 2
            result[ARKIT_BLENDSHAPES.index(f"eyeLook{own}{side}")] = moved
            result[ARKIT_BLENDSHAPES.index(f"eyeLook{opposite}{other}")] = moved
        return result

    def _composed(self, iris: np.ndarray) -> np.ndarray:
        """Iris ``(H, W, 4)`` and catchlights over the sclera: ``(H, W, 3)`` float32 without shade."""
        # The iris hides the sclera and carries the catchlights.
        ball = cv2.multiply(cv2.merge([iris[..., 3]] * 3), self._over_sclera)
        cv2.add(ball, self._sclera, dst=ball)
        return cv2.add(ball, np.ascontiguousarray(iris[..., :3]), dst=ball)

    def __call__(self, change: np.ndarray) -> np.ndarray:
        """Render one frame ``(height, width, 3)`` uint8 from blendshapes ``(52,)`` relative to the photo's."""
        gaze = change @ self._gaze_values
        length = np.linalg.norm(gaze)
        gaze = gaze * (self._limit * np.tanh(length / self._limit) / max(length, 1e-6))
        matrix = np.array([[1, 0, gaze[0]], [0, 1, gaze[1]]], np.float32)
        ball = self._composed(cv2.warpAffine(self._iris, matrix, self._iris.shape[1::-1], flags=cv2.INTER_LINEAR))
        lid = (change @ self._lid_values).astype(np.float32)
        moved = self._grid_y - lid
        shade = cv2.remap(self._shade, self._grid_x, moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        middle, opening = self._opening
        # A risen lid shades the eye less. What is left between closed lids is their rims.
        risen = float(np.clip(-lid[middle] / opening, 0, _RISE))
        closed = float(np.clip(lid[middle] / opening, 0, 1)) ** 4
        shade *= np.float32((1 + self._light * risen) * (1 - closed))
        cv2.multiply(ball, cv2.merge([shade] * 3), dst=ball)
        return cv2.add(ball, (*(closed * self._rim).tolist(), 0.0), dtype=cv2.CV_8U)


def _continued(
    picture: np.ndarray, known: np.ndarray, visible: np.ndarray, scale: float, shading: np.ndarray, white: np.ndarray
) -> np.ndarray:
    """The sclera ``(H, W, 3)`` float32 of a picture where it is ``known (H, W)``, and continued smoothly elsewhere.

    Bright pixels count more, because lashes, vessels and the corners are darker. ``scale`` is the finest scale, pixels. Where
    no sclera is known, the brighter pixels of what is ``visible`` are taken, or of the picture. ``shading (H, W, 1)`` is the
    brightness of the ball. Half of the difference of its colour from ``white (3,)`` is removed, because the corners are red.
    """
    brightness = picture.mean(-1)
    if known.sum() < 8:
        some = brightness[visible] if visible.any() else brightness.ravel()
        known = (visible if visible.any() else np.ones_like(visible)) & (brightness >= np.percentile(some, 70))
    low, high = np.percentile(brightness[known], [20, 70])
    flat = picture / shading
    weight = known * (0.2 + smoothstep((brightness - low) / max(high - low, 1.0))).astype(np.float32)
    result = np.broadcast_to((flat * weight[..., None]).sum((0, 1)) / weight.sum(), picture.shape).astype(np.float32)
    for sigma in (4 * scale, 2 * scale, scale):
        near = cv2.GaussianBlur(weight.astype(np.float32), (0, 0), sigma)[..., None]
        local = cv2.GaussianBlur((flat * weight[..., None]).astype(np.float32), (0, 0), sigma) / (near + 1e-6)
        result = result + near / (near + 0.03) * (local - result)
    # The photo fades out towards the lids: its pixels there are darker than what wide eyes show next to them.
    inner = cv2.erode(known.astype(np.float32), np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    seen = cv2.GaussianBlur(inner, (0, 0), max(0.7, 0.4 * scale))[..., None] * known[..., None]
    cast = white / white.mean() * result.mean(-1, keepdims=True)
    result = np.sqrt(np.maximum(result, 1) * cast) * shading
    return (result + seen * (picture - result)).astype(np.float32)


def _radial_profile(picture: np.ndarray, clear: np.ndarray, distance: np.ndarray, sclera: np.ndarray) -> np.ndarray:
    """The iris ``(H, W, 3)`` float32 as its typical colour by distance from its centre.

    ``distance (H, W)`` is in radii, ``clear (H, W)`` says where the eye is visible.
    """
    edges = np.array([0, 0.25, 0.4, 0.55, 0.7, 0.82, 0.92, 1.02])
    centres, colours = [], []
    for low, high in pairwise(edges):
        ring = clear & (distance >= low) & (distance < high)
        if ring.sum() >= 3:
            centres.append((low + high) / 2)
            colours.append(np.percentile(picture[ring], 40, axis=0))  # without catchlights
    if not centres:
        return (0.35 * sclera).astype(np.float32)
    channels = [np.interp(distance, centres, channel) for channel in np.array(colours).T]
    return np.stack(channels, -1).astype(np.float32)


def _catchlights(picture: np.ndarray, profile: np.ndarray, inside: np.ndarray, radius: float) -> np.ndarray:
    """What reflections of lamps add to the iris, ``(H, W, 3)`` float32."""
    excess = picture.mean(-1) - profile.mean(-1)
    bright = smoothstep((excess - 25) / 25) * inside
    # Half a highlight's rim is less bright.
    around = cv2.dilate(bright.astype(np.float32), np.ones((3, 3), np.uint8)) * inside
    around = cv2.GaussianBlur(around, (0, 0), max(0.5, radius / 15)) * inside
    return np.clip(around[..., None] * (picture - profile), 0, None).astype(np.float32)


def _lid_shade(picture: np.ndarray, ball: np.ndarray, visible: np.ndarray, depth: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Brightness ``(H, W)`` float32 of the eyeball below the upper lid, which lashes and the lid shade.

    Args:
        picture, ball: ``(H, W, 3)``, the photo and the eyeball without shade.
        visible: ``(H, W)`` where the eye is open.
        depth: ``(H, W)`` below the upper lid's edge, pixels.
        band: ``(W,)`` height of the shaded band, pixels.
    """
    ratio = (picture.mean(-1) + 4) / (ball.mean(-1) + 4)
    near = 1 - smoothstep(depth / band - 1)
    shade = np.where(visible, 1 + (np.clip(ratio, 0.2, 1.15) - 1) * near, 1).astype(np.float32)
    # Lids shade the eye a little even where the photo is too bright to show it.
    shade = np.minimum(shade, 1 - _LEAST_SHADE * np.exp(-np.clip(depth, 0, None) / (0.7 * band.max()))).astype(np.float32)
    # Behind the lid the shade is that of its edge, because it moves with the lid.
    rows, columns = depth.shape
    first = np.clip(np.round(np.arange(rows)[:, None] - np.minimum(depth - 1, 0)), 0, rows - 1).astype(int)
    return cv2.GaussianBlur(shade[first, np.arange(columns)[None]], (0, 0), 0.6)
