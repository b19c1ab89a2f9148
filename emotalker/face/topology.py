"""Index sets of MediaPipe's 478 face-mesh points.

Left and right are the subject's, as in ARKit's blendshape names. Contours run from the corner on the viewer's left to the
corner on the viewer's right, both included, so that the points of an opening's upper and lower contour correspond one to one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Contours(NamedTuple):
    """The two edges of an opening in the face.

    Attributes:
        upper, lower: point indices from corner to corner, of equal length.
    """

    upper: np.ndarray
    lower: np.ndarray


def _contours(upper: list[int], lower: list[int]) -> Contours:
    return Contours(np.array(upper), np.array(lower))


INNER_LIPS = _contours(
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
)
OUTER_LIPS = _contours(
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
)
RIGHT_EYE = _contours([33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133])
LEFT_EYE = _contours([362, 398, 384, 385, 386, 387, 388, 466, 263], [362, 382, 381, 380, 374, 373, 390, 249, 263])

#: Lower edges of the brows.
RIGHT_BROW = np.array([46, 53, 52, 65, 55])
LEFT_BROW = np.array([276, 283, 282, 295, 285])

#: Iris centre, then four points on its rim.
RIGHT_IRIS = np.arange(468, 473)
LEFT_IRIS = np.arange(473, 478)

#: All points except the irises.
SKIN_POINTS = np.arange(468)

FACE_OVAL = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152]
    + [148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)
CHIN = 152
EYE_CORNERS = np.array([33, 133, 362, 263])

#: The 68 points of the iBUG scheme (300-W), in its order: outline from ear to ear, brows, nose, eyes, outer and inner lips.
#: Upper and lower lid and lip points correspond as in RIGHT_EYE, LEFT_EYE and INNER_LIPS.
IBUG_68 = np.array(
    [127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356]
    + [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
    + [168, 197, 5, 4, 75, 97, 2, 326, 305]
    + [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]
    + [61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91]
    + [78, 81, 13, 311, 308, 402, 14, 178]
)
