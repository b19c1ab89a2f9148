"""The person's share of every pixel: a segmentation network whose edges are refined with the photo as guide.

The network is MediaPipe's Selfie Segmentation (Apache-2.0, 256 x 256), run on the whole picture and once more on the head.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
import scipy

from emotalker.core.registry import resolve
from emotalker.face.crop import Crop
from emotalker.face.mediapipe_networks import Network
from emotalker.face.separation import fill
from emotalker.face.topology import FACE_OVAL

SEGMENTER_SIZE = 256

#: The network's probability below which a pixel is background and above which it is the person, before refinement.
_BACKGROUND, _PERSON = 0.2, 0.8
#: In face heights: how far from the contour the network may be undecided, and the radius of the guided filter.
_BAND, _RADIUS = 0.09, 0.02
#: Regularisation of the guided filter, squared colour in 0..1: colour edges that are weaker are not followed.
_EPSILON = 2e-4
#: Longest side at which the filter's coefficients are computed; they are smooth, so larger pictures need no more.
_FILTER_SIDE = 1024
#: In face heights: how far from the contour single strands of hair are searched.
_HAIR_REACH = 0.2
#: Noise of a plain background, grey levels.
_NOISE = 4.0
#: Share of the face that the network must find.
_FACE_SHARE = 0.6


class PersonSegmenter:
    """Segments persons in a picture, about 10 ms.

    Args:
        path: ``selfie_segmentation.tflite``; by default the registry finds or downloads it.
        num_threads: threads of the network.

    Raises:
        CheckpointError: the model file is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike | None = None, num_threads: int = 1):
        self._network = Network(resolve("selfie_segmentation", path).read_bytes(), num_threads, "activation_10")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 ``(H, W, 3)`` to the probability of a person, ``(256, 256)`` float32 in 0..1 over the whole picture."""
        small = cv2.resize(image, (SEGMENTER_SIZE, SEGMENTER_SIZE), interpolation=cv2.INTER_AREA)
        return self._network(small.astype(np.float32) / 255)[0][0, ..., 0]


def person_matte(
    image: np.ndarray, points: np.ndarray, segmenter: PersonSegmenter, others: Sequence[np.ndarray] = ()
) -> np.ndarray | None:
    """The share of every pixel that belongs to the person with this face.

    Args:
        image: RGB uint8 ``(H, W, 3)``.
        points: ``(478, 2)`` landmarks of the face, pixels.
        segmenter: the network.
        others: landmarks of other faces, whose persons may touch this one.

    Returns:
        ``(H, W)`` float32, exactly 0 in the background and 1 inside the person; None if the network does not find the person.
    """
    oval = points[FACE_OVAL]
    face_height = float(np.ptp(oval[:, 1]))
    probability = _probability(image, points, segmenter)
    face = cv2.fillPoly(np.zeros(probability.shape, np.uint8), [np.round(oval * _scale(image)).astype(np.int32)], 1) > 0
    if not face.any() or (probability[face] > 0.5).mean() < _FACE_SHARE:
        return None
    probability *= _own_side(probability.shape, points * _scale(image), [other * _scale(image) for other in others])
    coarse = _one_person(probability, face, face_height * _scale(image))
    matte = _guided(coarse, image, max(1, round(_RADIUS * face_height * _scale(image))))
    return np.maximum(matte, _hair(matte, image, face_height))


def _scale(image: np.ndarray) -> float:
    """Factor from the picture to the resolution at which the matte is worked on."""
    return min(1.0, _FILTER_SIDE / max(image.shape[:2]))


def _probability(image: np.ndarray, points: np.ndarray, segmenter: PersonSegmenter) -> np.ndarray:
    """The network's probability at the working resolution; of the head's surroundings where these are a small part."""
    height, width = image.shape[:2]
    size = tuple(round(v * _scale(image)) for v in (width, height))
    whole = cv2.resize(segmenter(image), size, interpolation=cv2.INTER_LINEAR).clip(0, 1)
    head = Crop.window(points, width, height)
    if head.side > 0.75 * max(width, height):
        return whole
    # The finer result fades into the coarse one towards its own border.
    side = max(2, round(head.side * _scale(image)))
    fine = cv2.resize(segmenter(head.take(image)), (side, side), interpolation=cv2.INTER_LINEAR)
    ramp = np.clip(np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5) / (0.15 * side), 0, 1)
    x, y = (round(v * _scale(image)) for v in (head.x, head.y))
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + side, size[0]), min(y + side, size[1])
    # A side of the window that is the picture's border has no surroundings to fade into.
    rows, columns = ramp[top - y : bottom - y].copy(), ramp[left - x : right - x].copy()
    for line, first, last in ((rows, top == 0, bottom == size[1]), (columns, left == 0, right == size[0])):
        half = len(line) // 2
        line[:half] = 1 if first else line[:half]
        line[half:] = 1 if last else line[half:]
    weight = np.minimum(rows[:, None], columns[None])
    part = whole[top:bottom, left:right]
    part += weight * (fine[top - y : bottom - y, left - x : right - x] - part)
    return whole


def _own_side(shape: tuple[int, int], points: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """True where the upright line down from this face is nearer than those of the others, in widths of each face."""
    y, x = np.indices(shape, dtype=np.float32)

    def distance(landmarks: np.ndarray) -> np.ndarray:
        low, high = landmarks[FACE_OVAL].min(0), landmarks[FACE_OVAL].max(0)
        centre = (low + high) / 2
        return np.hypot(x - centre[0], np.maximum(centre[1] - y, 0)) / (high[0] - low[0])

    own = np.ones(shape, bool)
    for other in others:
        own &= distance(points) <= distance(other)
    return own


def _one_person(probability: np.ndarray, face: np.ndarray, face_height: float) -> np.ndarray:
    """Probability of the person around ``face``, without other persons, holes and undecided pixels far from the contour."""
    labels, _ = scipy.ndimage.label(probability > 0.5)
    own = np.bincount(labels[face & (labels > 0)]).argmax()
    person = scipy.ndimage.binary_fill_holes(labels == own)
    reach = max(2.0, _BAND * face_height)
    outside = scipy.ndimage.distance_transform_edt(~person)
    inside = scipy.ndimage.distance_transform_edt(person)
    # A side of the person that touches the picture's border has no contour there.
    share = np.clip((probability - _BACKGROUND) / (_PERSON - _BACKGROUND), 0, 1)
    share = np.where(person, np.maximum(share, np.clip(inside / reach, 0, 1)), share * np.clip(2 - 2 * outside / reach, 0, 1))
    others = (labels > 0) & (labels != own) & ~person
    return np.where(others, 0, share).astype(np.float32)


def _guided(coarse: np.ndarray, image: np.ndarray, radius: int) -> np.ndarray:
    """Fast guided filter (He and Sun 2015, arXiv:1505.00996) with a colour guide (He et al. 2013, equations 19 to 21).

    Args:
        coarse: the matte at a lower resolution.
        image: the guide at the resolution of the result.
        radius: of the filter in pixels of ``coarse``.
    """
    rows, columns = coarse.shape
    height, width = image.shape[:2]
    guide = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32) / 255

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_matte = mean(guide), mean(coarse)
    products = mean((guide[..., :, None] * guide[..., None, :]).reshape(rows, columns, 9)).reshape(rows, columns, 3, 3)
    covariance = products - mean_guide[..., :, None] * mean_guide[..., None, :] + _EPSILON * np.eye(3, dtype=np.float32)
    shared = mean(guide * coarse[..., None]) - mean_guide * mean_matte[..., None]
    slope = np.linalg.solve(covariance, shared[..., None])[..., 0]
    offset = mean_matte - (slope * mean_guide).sum(-1)
    coefficients = cv2.resize(mean(np.dstack([slope, offset])), (width, height), interpolation=cv2.INTER_LINEAR)
    fine = coefficients[..., 3].copy()
    for channel in range(3):
        fine += coefficients[..., channel] * (image[..., channel] * np.float32(1 / 255))
    # The filter rings by a few hundredths around 0 and 1, which must be exact.
    fine = np.clip((fine - 0.06) / 0.88, 0, 1)
    sure = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    for value, mask in ((1, coarse > 0.999), (0, coarse < 0.001)):
        mask = cv2.erode(mask.astype(np.uint8), sure)
        fine[cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0] = value
    return fine


def _hair(matte: np.ndarray, image: np.ndarray, face_height: float) -> np.ndarray:
    """Strands that the network does not resolve: pixels near the person whose colour the background around does not have.

    With smooth estimates F and B of both colours, the share is the projection of ``I - B`` on ``F - B``. It counts as far as
    F is further from B than the background varies, so that nothing is taken from a patterned background.
    """
    scale = _scale(image)
    size = (matte.shape[1], matte.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    coarse = cv2.resize(matte, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    distance = scipy.ndimage.distance_transform_edt(coarse < 0.5).astype(np.float32) / (_HAIR_REACH * face_height * scale)
    pure = (distance > 1).astype(np.float32) * (coarse < 0.001)
    if not pure.any():
        return matte
    reach = 2 * round(_HAIR_REACH * face_height * scale) + 1
    count = cv2.blur(pure, (reach, reach)) + 1e-6
    mean = cv2.blur(small * pure[..., None], (reach, reach)) / count[..., None]
    variance = (cv2.blur(small**2 * pure[..., None], (reach, reach)) / count[..., None] - mean**2).sum(-1, keepdims=True)
    local = fill(np.dstack([mean, variance]), pure)
    background, variation = local[..., :3], np.sqrt(np.maximum(local[..., 3], 0))
    person = fill(small, (coarse > 0.999).astype(np.float32))
    contrast = np.linalg.norm(person - background, axis=-1)
    noise = variation + _NOISE
    trust = np.clip(contrast / noise / 4 - 1, 0, 1) * np.clip(2 - 2 * distance, 0, 1)
    person, background, noise, trust = (
        cv2.resize(x, size, interpolation=cv2.INTER_LINEAR) for x in (person, background, noise, trust)
    )
    direction = person - background
    length = np.maximum(np.linalg.norm(direction, axis=-1), 1)
    along = ((image - background) * direction).sum(-1) / length
    margin = 2 * noise
    return trust * np.clip((along - margin) / np.maximum(length - 2 * margin, 1), 0, 1)
