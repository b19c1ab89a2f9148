"""The picture as a relief: depth, motion weights, outline and light of a person (docs/method.md 11)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, grey_closing

from emotalker.face.geometry import Camera
from emotalker.render.warp import Region, smoothstep

#: From the head model's origin, between the eyes, to the middle of the head, centimetres: real heads turn and nod about it.
CENTRE = np.array([0.0, 0.0, -9.0], np.float32)
#: Half width, height and depth of an average head with hair, centimetres.
HEAD_AXES = np.array([8.5, 12.0, 9.5], np.float32)


@dataclass(frozen=True)
class Relief:
    """What the turn of a head needs to know about every sample of the picture.

    Attributes:
        points: ``(rows, columns, 2)`` pixels.
        surface: ``(rows, columns, 3)`` position in camera space, centimetres.
        weights: ``(rows, columns, 2)`` of the head's motion, 1 on head and hair, and of the torso's, 0 at the lower border.
        person: ``(rows, columns)`` 1 on head and hair, and on the whole person with a matte; 0 on the background.
        outline: ``(rows, columns)`` 1 at the person's outline and outside it, 0 well inside.
        outward: ``(rows, columns, 2)`` direction away from the vertical axis of head and neck, x right and y up, at most
            of length 1.
    """

    points: np.ndarray
    surface: np.ndarray
    weights: np.ndarray
    person: np.ndarray
    outline: np.ndarray
    outward: np.ndarray


def build_relief(
    depth: np.ndarray,
    region: Region,
    camera: Camera,
    centre: np.ndarray,
    chin: np.ndarray,
    face_height: float,
    matte: np.ndarray | None = None,
    mobility: np.ndarray | None = None,
) -> Relief:
    """The relief of a picture.

    Args:
        depth: ``(rows, columns)`` depth of the fitted head in centimetres, NaN outside it.
        region: the whole picture with the field's step.
        camera: the picture's camera.
        centre: ``(3,)`` middle of the head in camera space, centimetres.
        chin: ``(2,)`` pixels.
        face_height: height of the face oval, pixels.
        matte: ``(S, S)`` float32, 1 on the person and 0 on the background; None if it is unknown. Without one, the
            background around the head follows it in a narrow band.
        mobility: ``(S, S)`` factor of all motion; None for 1.
    """
    rows, columns = region.field_shape
    points = region.field_points().reshape(rows, columns, 2)
    cell = region.width / columns
    unit = face_height / cell  # face height in samples
    inside = np.isfinite(depth)
    below = (points[..., 1] - chin[1]) / face_height
    if matte is None:
        # Hair, above the ears.
        person = distance_transform_edt(~inside) / unit < 0.03 + 0.07 * smoothstep((-0.4 - below) / 0.2)
    else:
        person = cv2.resize(matte.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA) > 0.5
        person |= inside & (below < 0)
    head, body = _weights(points, below, person, chin, face_height, unit)
    middle = camera.project(centre)
    sideways = (points[..., 0] - middle[0]) / face_height
    upwards = np.maximum(0, middle[1] - points[..., 1]) / face_height
    length = np.sqrt(sideways**2 + upwards**2 + 0.1**2)
    outward = np.stack([sideways, upwards], -1) / length[..., None]
    within = distance_transform_edt(np.pad(person, 1, mode="edge"))[1:-1, 1:-1] / unit
    filled = _depth(depth, inside, within, below, centre, unit)
    x, y = (points[..., 0] - camera.width / 2) / camera.focal, (points[..., 1] - camera.height / 2) / camera.focal
    surface = np.stack([x * filled, -y * filled, -filled], -1)
    # The skull is about as deep as wide; ears, jaw and neck are where they turn to.
    outline = gaussian_filter(1 - smoothstep(within / 0.22), 0.02 * unit) * smoothstep((-0.6 - below) / 0.3)
    # A torso leans from its hips, which are at the lower border or below it.
    to_bottom = 1 - points[..., 1] / region.height
    head *= smoothstep(to_bottom / 0.12)
    body *= smoothstep(to_bottom / 0.3)
    weights = np.stack([head, body], -1)
    if mobility is not None:
        weights *= cv2.resize(mobility.astype(np.float64), (columns, rows), interpolation=cv2.INTER_AREA)[..., None]
    arrays = (points, surface, weights, gaussian_filter(person * 1.0, 0.03 * unit), outline, outward)
    return Relief(*(np.ascontiguousarray(array, np.float32) for array in arrays))


def _depth(
    depth: np.ndarray, inside: np.ndarray, within: np.ndarray, below: np.ndarray, centre: np.ndarray, unit: float
) -> np.ndarray:
    """Depth of every sample: the fitted head's, a rounded shape for hair, and the plane through the middle of the head.

    The outline of a head and of its hair is about as far away as its middle.
    """
    distance, nearest = distance_transform_edt(~inside, return_indices=True)
    height = np.clip(-centre[2] - depth[tuple(nearest)], 0, None)
    # Eyes and mouth are holes in the skin's mesh, wider than high; what they show turns with the skin around them.
    height = grey_closing(height, (max(3, round(0.2 * unit)), 1))
    height *= 1 - smoothstep(distance / unit / 0.3)
    rise = np.clip(within / 0.5, 0, 1)
    hair = 0.8 * -CENTRE[2] * np.sqrt(1 - (1 - rise) ** 2) * (1 - smoothstep((below + 0.5) / 0.5))
    height = np.maximum(height, hair)
    return -centre[2] - gaussian_filter(height, 0.035 * unit)


def _weights(
    points: np.ndarray,
    below: np.ndarray,
    person: np.ndarray,
    chin: np.ndarray,
    face_height: float,
    unit: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of head and torso ``(rows, columns)``."""
    sideways = np.abs(points[..., 0] - chin[0]) / face_height
    along_neck = 1 - smoothstep((below + 0.05) / 0.6)
    shoulders = smoothstep(below / 0.25) * smoothstep((sideways - 0.35) / 0.5)
    head = along_neck * (1 - shoulders)
    outside = distance_transform_edt(~person) / unit
    # The narrower the band that follows the head, the less of the background bends, and the more it is stretched.
    head = head * (1 - smoothstep((outside - 0.08) / 0.6))
    body = (1 - head) * smoothstep((below + 0.1) / 0.4)
    smooth = (gaussian_filter(weight, 0.05 * unit) for weight in (head, body))
    # Exactly zero far away: what does not move costs nothing.
    head, body = (np.maximum(0, weight - 0.005) / 0.995 for weight in smooth)
    return head, body


def surface_normals(surface: np.ndarray, smoothing: float) -> np.ndarray:
    """Unit normals ``(rows, columns, 3)`` of a relief ``(rows, columns, 3)``, which face the camera.

    Args:
        surface: positions in camera space.
        smoothing: standard deviation of a Gaussian filter on the surface, samples.
    """
    smooth = np.stack([gaussian_filter(surface[..., axis], smoothing, mode="nearest") for axis in range(3)], -1)
    down, right = np.gradient(smooth, axis=(0, 1))
    normal = np.cross(down, right)
    return (normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def dominant_light(luminance: np.ndarray, normals: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Ambient and directed light ``(4,)``: least squares of ``luminance = a + b . normal`` (Lambert) on the skin.

    Args:
        luminance: ``(rows, columns)`` linear.
        normals: ``(rows, columns, 3)``.
        skin: ``(rows, columns)`` bool.

    Returns:
        ``a, b`` over the mean luminance; zeros if there are too few samples.
    """
    values, directions = luminance[skin], normals[skin]
    if len(values) < 50:
        return np.zeros(4, np.float32)
    # Hair, lids and highlights are no measure of the light.
    low, high = np.percentile(values, (15, 97))
    chosen = (values >= low) & (values <= high)
    design = np.concatenate([np.ones((chosen.sum(), 1)), directions[chosen]], 1)
    ridge = 0.02 * len(design) * np.diag([0, 1, 1, 1])
    mean = max(float(values[chosen].mean()), 1e-4)
    return np.linalg.solve(design.T @ design + ridge, design.T @ values[chosen] / mean).astype(np.float32)
