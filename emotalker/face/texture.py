"""The texture of a fitted head, taken from the portrait: what the picture shows is projected onto the head, the rest is
continued smoothly."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from emotalker.face.appearance import COLORS
from emotalker.face.geometry import vertex_normals
from emotalker.face.portrait import Portrait
from emotalker.face.rasterizer import interpolate, rasterize
from emotalker.face.separation import fill
from emotalker.face.topology import LEFT_IRIS, RIGHT_IRIS, SKIN_POINTS

#: Cosine between the skin and the view from which the picture is used, and from which it is used alone.
_GRAZING, _FACING = 0.12, 0.45
#: Depth in cm by which a point may be behind the nearest surface and still count as visible.
_DEPTH_TOLERANCE = 0.4
#: Parts that share MakeHuman's texture layout; the eyes have textures of their own.
HEAD_PARTS = ("skin", "eye_sockets", "mouth_cavity", "upper_teeth", "lower_teeth", "tongue")
#: Radius of the iris in the eyes' texture, where the texture's side is 1, and of the pupil.
_IRIS_RADIUS, _PUPIL_RADIUS = 0.25, 0.1


def head_texture(portrait: Portrait, size: int = 2048) -> np.ndarray:
    """Texture of HEAD_PARTS in the head model's layout, row 0 at v = 1.

    Args:
        portrait: the picture and its fit.
        size: width and height of the texture; the face takes a fifth of it.

    Returns:
        ``(size, size, 3)`` uint8 RGB.
    """
    model = portrait.model
    vertices = portrait.vertices()
    skin = model.parts["skin"]
    triangles = torch.from_numpy(model.triangles[skin].astype(np.int64))
    hit, weights, corner_of = _in_texture(model.uv[skin], size)
    pixels = _aligned(portrait, vertices)
    depth = _visible_depth(portrait, vertices, triangles)
    view = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    facing = (vertex_normals(vertices, model.triangles) * view).sum(1)
    values = np.concatenate([pixels, -vertices[:, 2:], facing[:, None]], 1)[triangles.reshape(-1).numpy()]
    texels = interpolate(hit, weights, corner_of, torch.from_numpy(values.astype(np.float32))).numpy()
    places = np.ascontiguousarray(texels[..., :2]) - np.float32(0.5)
    colors = cv2.remap(portrait.image, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    nearest = cv2.remap(depth, places, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    inside = ((places > 0) & (places < portrait.size - 1)).all(-1)
    shown = (hit.numpy() >= 0) & inside & (texels[..., 2] < nearest + _DEPTH_TOLERANCE)
    # Beside the face the fitted head does not follow the ears and the hair, and the picture shows background.
    face = cv2.remap(_near_face(portrait), places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    certainty = np.clip((texels[..., 3] - _GRAZING) / (_FACING - _GRAZING), 0, 1) * shown * face
    certainty = cv2.GaussianBlur(cv2.erode(certainty.astype(np.float32), np.ones((5, 5))), (0, 0), size / 512)
    light = np.percentile(portrait.image[_face_mask(portrait)], 65, axis=0) / (255 * np.array(COLORS["skin"]))
    texture = fill(colors.astype(np.float32), certainty)
    for name in HEAD_PARTS[1:]:
        covered = _in_texture(model.uv[model.parts[name]], size)[0].numpy() >= 0
        covered = cv2.dilate(covered.astype(np.uint8), np.ones((5, 5))) > 0  # no skin colour at the borders
        texture[covered] = 255 * np.array(COLORS[name]) * light
    return np.clip(texture + 0.5, 0, 255).astype(np.uint8)


def eye_textures(portrait: Portrait, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Textures ``(size, size, 3)`` uint8 of the subject's left and right eye, in the photo's colours."""
    return _eye(portrait, LEFT_IRIS, size), _eye(portrait, RIGHT_IRIS, size)


def _eye(portrait: Portrait, iris: np.ndarray, size: int) -> np.ndarray:
    centre, rim = portrait.landmarks[iris[0]], portrait.landmarks[iris[1:]]
    radius = np.linalg.norm(rim - centre, axis=1).mean()
    # To the sides of the pupil, where lids do not cover the eye: the colour at each radius is the median over these angles.
    angles = np.concatenate([np.linspace(-0.6, 0.6, 13), np.pi + np.linspace(-0.6, 0.6, 13)])
    radii = np.linspace(0.35, 1.0, 24)
    places = centre + radius * radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    ring = cv2.remap(
        portrait.image, (places - 0.5).astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    profile = np.median(ring, axis=1)
    white = np.clip(np.percentile(portrait.image[_face_mask(portrait)], 90) * np.array([1.0, 0.98, 0.96]), 0, 245)
    grid = (np.arange(size) + 0.5) / size - 0.5
    distance = np.hypot(grid[:, None], grid[None])
    texture = np.stack([np.interp(distance / _IRIS_RADIUS, radii, profile[:, c]) for c in range(3)], -1)
    edge = 1.5 / size
    sclera = np.clip((distance - _IRIS_RADIUS) / edge + 0.5, 0, 1)[..., None]
    pupil = np.clip((_PUPIL_RADIUS - distance) / edge + 0.5, 0, 1)[..., None]
    texture = texture * (1 - sclera) + white * sclera
    return np.clip(texture * (1 - pupil) + 8 * pupil, 0, 255).astype(np.uint8)


def _in_texture(uv: np.ndarray, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rasterise triangles ``(F, 3, 2)`` in texture coordinates: triangle index and weights ``(size, size, ...)``, and
    ``(F, 3)`` corners, each triangle with its own."""
    corners = torch.arange(uv.size // 2).reshape(-1, 3)
    flat = uv.reshape(-1, 2).astype(np.float32)
    places = np.stack([flat[:, 0] * size, (1 - flat[:, 1]) * size, np.ones(len(flat), np.float32)], 1)
    hit, weights = rasterize(torch.from_numpy(places), corners, size, size)
    return hit, weights, corners


def _aligned(portrait: Portrait, vertices: np.ndarray) -> np.ndarray:
    """Pixels ``(V, 2)`` of the head's vertices, corrected by what the fit leaves between head and landmarks."""
    pixels = portrait.fit.camera.project(vertices)
    fitted = portrait.fit.camera.project(portrait.surface_landmarks()[SKIN_POINTS])
    residual = portrait.landmarks[SKIN_POINTS] - fitted
    from scipy.interpolate import RBFInterpolator  # imported here, because that takes half a second

    correction = RBFInterpolator(fitted, residual, neighbors=40, smoothing=1.0, kernel="linear")
    distance = np.linalg.norm(pixels[:, None] - fitted[None, ::6], axis=-1).min(1) / (0.15 * portrait.size)
    return pixels + correction(pixels) * np.clip(1 - distance, 0, 1)[:, None]


def _visible_depth(portrait: Portrait, vertices: np.ndarray, triangles: torch.Tensor) -> np.ndarray:
    """Depth ``(S, S)`` float32 in cm of the nearest skin at each pixel, infinite beside the head."""
    projected = torch.from_numpy(portrait.fit.camera.project_with_depth(vertices).astype(np.float32))
    hit, weights = rasterize(projected, triangles, portrait.size, portrait.size)
    depth = interpolate(hit, weights, triangles, projected[:, 2:])[..., 0]
    return np.where(hit.numpy() >= 0, depth.numpy(), np.inf).astype(np.float32)


def _near_face(portrait: Portrait) -> np.ndarray:
    """1 in the hull of the landmarks, falling to 0 within a 24th of its height, ``(S, S)`` float32."""
    mask = _face_mask(portrait)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(1 - distance / (np.ptp(portrait.landmarks[SKIN_POINTS, 1]) / 24), 0, 1).astype(np.float32)


def _face_mask(portrait: Portrait) -> np.ndarray:
    """Whether each pixel lies in the hull of the landmarks, ``(S, S)`` bool."""
    mask = np.zeros((portrait.size, portrait.size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(portrait.landmarks[SKIN_POINTS]).astype(np.int32)), 1)
    return mask > 0
