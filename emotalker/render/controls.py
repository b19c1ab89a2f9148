"""From blendshapes to displacements in one portrait.

The head model says where every blendshape moves a point of the surface; the portrait's fit says how that looks in the picture.
What a model cannot know is corrected from the photo itself: a full blink closes exactly this person's lids, and closed lips
meet however the mouth stands in the photo.
"""

from __future__ import annotations

import numpy as np

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.face.topology import (
    EYE_CORNERS,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    RIGHT_BROW,
    RIGHT_EYE,
    SKIN_POINTS,
    Contours,
)
from emotalker.render.opening_field import OpeningLine
from emotalker.render.warp import smoothstep

#: Lip blendshapes that belong to a person's look as much as to speech: a portrait keeps its own, and speech adds to them.
_KEPT = ("mouthSmile", "mouthFrown", "mouthDimple", "mouthLeft", "mouthRight")

#: Centres of the functions along the mouth (corners at -1 and 1) by which the lip gap is corrected.
_GAP_CENTRES = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])

#: Lip gaps below this share of the mouth's width count as closed: tracking never reports an exact zero.
_CLOSED_GAP = 0.02

#: Width of the soft rim of an opening in a photo, as a share of the opening's width.
_RIM = 0.008


def find_opening_line(
    points: np.ndarray, contours: Contours, closed_gap: float = 0.0
) -> tuple[OpeningLine, np.ndarray, np.ndarray]:
    """The line and the two edges of an opening in the picture.

    Args:
        points: ``(478, 2)`` landmarks, pixels.
        contours: the opening.
        closed_gap: gaps up to this share of the width are closed: both edges fall on the middle line.

    Returns:
        the opening_line, upper edge ``(P, 2)``, lower edge ``(P, 2)``.
    """
    upper, lower = points[contours.upper], points[contours.lower]
    middle = (upper + lower) / 2
    opening_line = OpeningLine(middle)
    gap = np.linalg.norm(lower - upper, axis=1)
    least = closed_gap * np.linalg.norm(middle[-1] - middle[0])
    open_share = (np.clip(gap - least, 0, None) / np.maximum(gap, 1e-6))[:, None]
    # The rim of an opening is half skin, half interior: left on the layers, it would trail along as a bright line.
    rim = 1 + _RIM * np.linalg.norm(middle[-1] - middle[0]) / np.maximum(gap / 2, 1e-6)[:, None]
    open_share = open_share * np.minimum(rim, 1.5)
    return opening_line, middle + (upper - middle) * open_share, middle + (lower - middle) * open_share


class FaceControls:
    """Maps blendshapes to control amounts, and knows what a unit of each control does to points of the picture.

    Attributes:
        values: ``(N, C, 2)`` displacement in pixels of every control point for a unit of every control: the 52 blendshapes,
            then the corrections of the lip gap.
        opening_lines: mouth, right eye, left eye.

    Args:
        landmarks: ``(478, 2)`` found in the picture, pixels.
        landmark_values: ``(478, 52, 2)`` pixels per unit of each blendshape at the landmarks.
        extra_points, extra_values: ``(M, 2)`` and ``(M, 52, 2)``: further points of the surface and still ones around.
        rest: ``(52,)`` the portrait's own blendshapes.
    """

    def __init__(
        self,
        landmarks: np.ndarray,
        landmark_values: np.ndarray,
        extra_points: np.ndarray,
        extra_values: np.ndarray,
        rest: np.ndarray,
    ):
        self.points = np.concatenate([landmarks[SKIN_POINTS], extra_points])
        skin = landmark_values[SKIN_POINTS].copy()
        self.openings = [
            find_opening_line(landmarks, INNER_LIPS, _CLOSED_GAP),
            find_opening_line(landmarks, RIGHT_EYE),
            find_opening_line(landmarks, LEFT_EYE),
        ]
        self.opening_lines = [opening_line for opening_line, _, _ in self.openings]
        self._blinks = [
            self._calibrate_blink(skin, landmarks, RIGHT_EYE, RIGHT_BROW, "Right"),
            self._calibrate_blink(skin, landmarks, LEFT_EYE, LEFT_BROW, "Left"),
        ]
        eye_distance = np.linalg.norm(landmarks[EYE_CORNERS[:2]].mean(0) - landmarks[EYE_CORNERS[2:]].mean(0))
        skin_gap = self._gap_values(landmarks[SKIN_POINTS], self.opening_lines[0], eye_distance)
        extra_gap = np.zeros((len(extra_points), *skin_gap.shape[1:]))
        self.values = np.concatenate(
            [np.concatenate([skin, skin_gap], 1), np.concatenate([extra_values, extra_gap], 1)]
        ).astype(np.float32)

        inner = slice(1, -1)  # the corners never part
        upper, lower = INNER_LIPS.upper[inner], INNER_LIPS.lower[inner]
        normal = self._normal(self.opening_lines[0])
        self._gap = (skin[lower] - skin[upper]) @ normal  # (P, 52) pixels a unit of each blendshape opens
        _, upper_edge, lower_edge = self.openings[0]
        self._rest_gap = (lower_edge - upper_edge)[inner] @ normal
        bumps = self._bumps(self.opening_lines[0].local(self.opening_lines[0].line[inner])[0])
        self._solve_gap = np.linalg.pinv(bumps)  # (5, P)
        self._closed = _CLOSED_GAP * np.linalg.norm(self.opening_lines[0].line[-1] - self.opening_lines[0].line[0])
        kept = [n.startswith(_KEPT) or n not in ARKIT.lip_names for n in ARKIT_BLENDSHAPES]
        self._replaced_rest = np.where(kept, 0.0, rest).astype(np.float32)
        self._room = np.where(kept, np.clip(1.0 - rest, 0.0, 1.0), 1.0).astype(np.float32)  # a smile smiles no wider than 1

    @property
    def sides(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each opening_line the control points known to lie above and below it."""
        return [(c.upper[1:-1], c.lower[1:-1]) for c in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)]

    @staticmethod
    def _normal(opening_line: OpeningLine) -> np.ndarray:
        """Unit vector across a opening_line, downwards, ``(2,)``."""
        axis = opening_line.line[-1] - opening_line.line[0]
        return np.array([-axis[1], axis[0]]) / np.linalg.norm(axis)

    @staticmethod
    def _bumps(along: np.ndarray) -> np.ndarray:
        """Overlapping raised cosines along the mouth, ``(P,)`` -> ``(P, 5)``; they add up to one."""
        width = _GAP_CENTRES[1] - _GAP_CENTRES[0]
        return np.cos(np.pi / 2 * np.clip(np.abs(along[:, None] - _GAP_CENTRES) / width, 0, 1)) ** 2

    def _gap_values(self, points: np.ndarray, opening_line: OpeningLine, reach: float) -> np.ndarray:
        """What the corrections of the lip gap do: each parts the lips by one pixel at its place and fades towards nose and
        chin. ``(N, 2)`` -> ``(N, 5, 2)``."""
        along, across = opening_line.local(points)
        half = np.linalg.norm(opening_line.line[-1] - opening_line.line[0]) / 2
        side = np.where(across < 0, -0.5, 0.5)
        side[INNER_LIPS.upper], side[INNER_LIPS.lower] = -0.5, 0.5
        side[INNER_LIPS.upper[[0, -1]]] = 0.0
        fade = np.exp(-((across * half / (0.35 * reach)) ** 2))
        return (self._bumps(along) * (side * fade)[:, None])[..., None] * self._normal(opening_line)

    def _calibrate_blink(
        self, skin: np.ndarray, landmarks: np.ndarray, eye: Contours, brow: np.ndarray, side: str
    ) -> tuple[int, np.ndarray, float]:
        """Scale this eye's blink, in place, so that one unit brings the lids together.

        Returns:
            position of the blink blendshape, closing in pixels per unit of every blendshape ``(52,)``, the eye's opening in pixels.
        """
        blink = ARKIT.index(f"eyeBlink{side}")
        opening_line = OpeningLine((landmarks[eye.upper] + landmarks[eye.lower]) / 2)
        normal = self._normal(opening_line)
        upper, lower = eye.upper[1:-1], eye.lower[1:-1]
        opening = np.clip((landmarks[lower] - landmarks[upper]) @ normal, 0.5, None)
        closing = (skin[upper, blink] - skin[lower, blink]) @ normal
        scale = np.clip(opening.sum() / max(closing.sum(), 1e-3), 0.3, 3.0)
        half = np.linalg.norm(opening_line.line[-1] - opening_line.line[0]) / 2
        points = landmarks[SKIN_POINTS]
        distance = np.linalg.norm(points[:, None] - opening_line.line, axis=-1).min(1)
        skin[:, blink] *= (1 + (scale - 1) * np.exp(-((distance / half) ** 2)))[:, None]
        missing = opening - (skin[upper, blink] - skin[lower, blink]) @ normal
        skin[upper, blink] += (0.85 * missing)[:, None] * normal
        skin[lower, blink] -= (0.15 * missing)[:, None] * normal

        # The lid comes down whole, lashes first: what stretches is the skin under the brow. Left to the model, the dark
        # lash line would be drawn out into a band that looks like an open eye.
        along, across = OpeningLine(landmarks[eye.upper]).local(points)
        brow_along, brow_across = (x[np.argsort(along[brow])] for x in (along[brow], across[brow]))
        reach = -0.9 * np.interp(along, brow_along, brow_across)
        lid = np.flatnonzero((across < -1e-3) & (across > -reach) & (np.abs(along) < 1) & ~np.isin(SKIN_POINTS, eye.upper))
        margin = np.interp(along[lid], along[eye.upper], skin[eye.upper, blink] @ normal)
        skin[lid, blink] = ((1 - smoothstep(-across[lid] / reach[lid])) * margin)[:, None] * normal
        middle = len(upper) // 2
        return blink, (skin[upper[middle]] - skin[lower[middle]]) @ normal, float(opening[middle])

    def __call__(self, blendshapes: np.ndarray) -> np.ndarray:
        """Control amounts for a few frames: ``(n, 52)`` -> ``(n, C)`` float32."""
        blendshapes = np.minimum(blendshapes, self._room)
        change = blendshapes - self._replaced_rest
        for blink, closing, opening in self._blinks:
            excess = np.clip(change @ closing - opening, 0, None) / closing[blink]
            change[:, blink] -= np.minimum(excess, np.clip(change[:, blink], 0, None))
        wanted = np.clip(blendshapes @ self._gap.T - self._closed, 0, None)
        missing = wanted - self._rest_gap - change @ self._gap.T
        return np.concatenate([change, missing @ self._solve_gap.T], 1).astype(np.float32)
