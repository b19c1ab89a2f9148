"""Converts blendshapes to the controls of one portrait's warp.

The head model gives the displacement of surface points per blendshape, and the portrait's fit projects it to the picture. Two
corrections are measured in the photo: a full blink closes this person's eyes exactly, and lips that are closed in the motion
meet for any mouth shape in the photo.
"""

from __future__ import annotations

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.coefficients.space import EXPRESSIVE_LIPS
from emotalker.face.resting import ADDED
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
from emotalker.render.opening_line import OpeningLine, opening_edges
from emotalker.render.warp import smoothstep

#: Centres of the basis functions of the lip gap correction along the mouth (corners at -1 and 1).
_GAP_CENTRES = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])

#: Blendshapes that shape the mouth without parting the lips: the head model parts them, people smile with closed lips.
_SHAPING = np.array([name.startswith(EXPRESSIVE_LIPS) for name in ARKIT.expression_names])

#: Blendshapes of the eyes.
_EYES = np.array([i for i, name in enumerate(ARKIT.names[: ARKIT.expression.stop]) if name.startswith("eye")])

#: Lip gaps below this fraction of the mouth's width count as closed, because tracked gaps are never exactly zero.
_CLOSED_GAP = 0.02

#: Largest sum of a blendshape in the picture and in the motion, for those that are added.
_LARGEST_SUM = 1.3

#: Largest widening of an eye by one unit of eyeWide, relative to its opening: about 5 of 10 millimetres.
_WIDEST = 0.5

#: Width of the rim of an open mouth that is blended with teeth, relative to the mouth's width.
_TEETH_RIM = 0.025

#: Closed lips of a mouth that is open in the photo overlap by this fraction of the mouth's width, because the edges of the
#: warped lips are not exact.
_OVERLAP = 0.02


class FaceControls:
    """Maps blendshapes to control amounts, and gives the displacement of picture points per unit of each control.

    Attributes:
        points: ``(N, 2)`` control points, pixels.
        values: ``(N, C, 2)`` displacement in pixels of each control point per unit of each control: the 52 blendshapes,
            then the corrections of the lip gap.
        openings: mouth, right eye, left eye.

    Args:
        landmarks: ``(478, 2)`` in the picture, pixels.
        landmark_values: ``(478, 52, 2)`` pixels per unit of each blendshape at the landmarks.
        extra_points, extra_values: ``(M, 2)`` and ``(M, 52, 2)``: more surface points and static points around the face.
        rest: ``(52,)`` the portrait's own blendshapes.
        removed: ``(52,)`` the part of ``rest`` that zero motion does not show.
    """

    def __init__(
        self,
        landmarks: np.ndarray,
        landmark_values: np.ndarray,
        extra_points: np.ndarray,
        extra_values: np.ndarray,
        rest: np.ndarray,
        removed: np.ndarray,
    ):
        self.points = np.concatenate([landmarks[SKIN_POINTS], extra_points])
        skin = landmark_values[SKIN_POINTS].copy()
        self.openings = [
            opening_edges(landmarks, INNER_LIPS, _CLOSED_GAP, _TEETH_RIM),
            opening_edges(landmarks, RIGHT_EYE),
            opening_edges(landmarks, LEFT_EYE),
        ]
        mouth = self.openings[0]
        self._blinks = [
            self._calibrate_blink(skin, landmarks, RIGHT_EYE, RIGHT_BROW, "Right"),
            self._calibrate_blink(skin, landmarks, LEFT_EYE, LEFT_BROW, "Left"),
        ]
        eye_distance = np.linalg.norm(landmarks[EYE_CORNERS[:2]].mean(0) - landmarks[EYE_CORNERS[2:]].mean(0))
        half_gap = np.linalg.norm(mouth.lower - mouth.upper, axis=1) / 2
        skin_gap = self._gap_values(landmarks[SKIN_POINTS], mouth.line, half_gap, eye_distance)
        extra_gap = np.zeros((len(extra_points), *skin_gap.shape[1:]))
        self.values = np.concatenate(
            [np.concatenate([skin, skin_gap], 1), np.concatenate([extra_values, extra_gap], 1)]
        ).astype(np.float32)

        inner = slice(1, -1)  # without the corners, which stay closed
        upper, lower = INNER_LIPS.upper[inner], INNER_LIPS.lower[inner]
        normal = mouth.line.normal
        self._gap = (skin[lower] - skin[upper]) @ normal  # (P, 52) gap in pixels per unit of each blendshape
        self._articulated_gap = self._gap * ~_SHAPING
        self._rest_gap = (mouth.lower - mouth.upper)[inner] @ normal
        self._rest_gap = self._rest_gap + np.clip(self._rest_gap / 5, 0, _OVERLAP * mouth.line.width)
        bumps = self._bumps(mouth.line.local(mouth.line.points[inner])[0])
        self._solve_gap = np.linalg.pinv(bumps)  # (5, P)
        self._closed = _CLOSED_GAP * mouth.line.width
        self._removed = removed
        # What the picture keeps and what the motion adds have a limit. It is above 1 because neutral faces are fitted with
        # up to 0.3 of some blendshapes.
        self._largest = np.where(ADDED, np.clip(_LARGEST_SUM - rest + removed, 0.0, 1.0), 1.0).astype(np.float32)
        self._blink_scale = [max(0.5, 1 + removed[_EYES] @ closing[_EYES] / opening) for _, closing, opening in self._blinks]

    @property
    def sides(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each opening, the indices of the control points above and below its line."""
        return [(c.upper[1:-1], c.lower[1:-1]) for c in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)]

    @staticmethod
    def _bumps(along: np.ndarray) -> np.ndarray:
        """Overlapping raised cosines at coordinates ``(P,)`` along the mouth: ``(P, 5)``; they add up to one."""
        width = _GAP_CENTRES[1] - _GAP_CENTRES[0]
        return np.cos(np.pi / 2 * np.clip(np.abs(along[:, None] - _GAP_CENTRES) / width, 0, 1)) ** 2

    def _gap_values(self, points: np.ndarray, line: OpeningLine, half_gap: np.ndarray, reach: float) -> np.ndarray:
        """Displacement of points ``(N, 2)`` per unit of each lip gap correction, ``(N, 5, 2)`` pixels.

        A correction opens the lips by one pixel at its centre and fades towards nose and chin. ``half_gap (P,)`` is the
        distance in pixels of the photo's lips from the line's points.
        """
        along, across = line.local(points)
        side = np.where(across < 0, -0.5, 0.5)
        side[INNER_LIPS.upper], side[INNER_LIPS.lower] = -0.5, 0.5
        side[INNER_LIPS.upper[[0, -1]]] = 0.0
        beyond = np.clip(np.abs(across) * line.half_width - np.interp(along, line.local(line.points)[0], half_gap), 0, None)
        fade = np.exp(-((beyond / (0.35 * reach)) ** 2))
        return (self._bumps(along) * (side * fade)[:, None])[..., None] * line.normal

    def _calibrate_blink(
        self, skin: np.ndarray, landmarks: np.ndarray, eye: Contours, brow: np.ndarray, side: str
    ) -> tuple[int, np.ndarray, float]:
        """Scale one eye's blink in place so that one unit closes the eye, and limit its eyeWide.

        Returns:
            index of the blink blendshape, closing in pixels per unit of each blendshape ``(52,)``, and the opening in pixels.
        """
        blink = ARKIT.index(f"eyeBlink{side}")
        line = OpeningLine((landmarks[eye.upper] + landmarks[eye.lower]) / 2)
        normal = line.normal
        upper, lower = eye.upper[1:-1], eye.lower[1:-1]
        opening = np.clip((landmarks[lower] - landmarks[upper]) @ normal, 0.5, None)
        closing = (skin[upper, blink] - skin[lower, blink]) @ normal
        scale = np.clip(opening.sum() / max(closing.sum(), 1e-3), 0.3, 3.0)
        points = landmarks[SKIN_POINTS]
        distance = np.linalg.norm(points[:, None] - line.points, axis=-1).min(1)
        skin[:, blink] *= (1 + (scale - 1) * np.exp(-((distance / line.half_width) ** 2)))[:, None]
        wide = ARKIT.index(f"eyeWide{side}")
        widening = (skin[lower, wide] - skin[upper, wide]) @ normal
        skin[:, wide] *= min(1.0, _WIDEST * opening.mean() / max(widening.mean(), 1e-3))
        missing = opening - (skin[upper, blink] - skin[lower, blink]) @ normal
        skin[upper, blink] += (0.85 * missing)[:, None] * normal
        skin[lower, blink] -= (0.15 * missing)[:, None] * normal

        # The lid moves as a whole, and the skin under the brow stretches. With the model's displacements, the dark lash line
        # would be stretched into a band that looks like an open eye.
        along, across = OpeningLine(landmarks[eye.upper]).local(points)
        brow_along, brow_across = (x[np.argsort(along[brow])] for x in (along[brow], across[brow]))
        reach = -0.9 * np.interp(along, brow_along, brow_across)
        lid = np.flatnonzero((across < -1e-3) & (across > -reach) & (np.abs(along) < 1) & ~np.isin(SKIN_POINTS, eye.upper))
        margin = np.interp(along[lid], along[eye.upper], skin[eye.upper, blink] @ normal)
        skin[lid, blink] = ((1 - smoothstep(-across[lid] / reach[lid])) * margin)[:, None] * normal
        middle = len(upper) // 2
        return blink, (skin[upper[middle]] - skin[lower[middle]]) @ normal, float(opening[middle])

    def __call__(self, blendshapes: np.ndarray) -> np.ndarray:
        """Blendshapes ``(T, 52)`` to control amounts ``(T, C)`` float32."""
        blendshapes = np.minimum(blendshapes, self._largest)
        change = blendshapes - self._removed
        for (blink, closing, opening), scale in zip(self._blinks, self._blink_scale, strict=True):
            change[:, blink] *= scale  # the eye is more or less open at rest than in the photo
            excess = np.clip(change @ closing - opening, 0, None) / closing[blink]
            change[:, blink] -= np.minimum(excess, np.clip(change[:, blink], 0, None))
        target = np.clip(blendshapes @ self._articulated_gap.T - self._closed, 0, None)
        missing = target - self._rest_gap - change @ self._gap.T
        return np.concatenate([change, missing @ self._solve_gap.T], 1).astype(np.float32)
