"""Fits one shot incrementally: one identity, and blendshapes and pose of each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.coefficients.space import BLINKS
from emotalker.face.calibration import Calibration, blink_height, relative_pose
from emotalker.face.fit import FaceFit, FitOptions, fit_identity, fit_sequence
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.tracking.reader import FaceReader, Observation

IDENTITY_FRAMES = 500  # frames with a face that the identity is fitted to
CHUNK = 128  # frames fitted at a time afterwards
DECISION_FRAMES = 32  # frames with a face after which it is decided whether the reader applies

#: Largest resting level: the tracker's offset on a resting face seldom exceeds it, and higher levels are expression.
MAX_REST = 0.25
#: Average level of closed eyes in a track, and the least height of a blink above rest that is used as a measurement.
TYPICAL_SHUT, MIN_BLINK = 0.65, 0.3


class ShotFitter:
    """Collects and fits the frames of one shot. Fitted landmarks are discarded, so memory grows by 250 bytes per frame.

    Args:
        model: the head.
        camera: the view.
        landmark_index: ``(L,)`` indices of the points of :meth:`add` among the 478.
        options: weights of the fit.
        identity: ``(I,)`` of a known person, or None to fit it to the first frames.
        reader: predicts landmarks and scores in shots to which it applies, or None.
        reader_options: weights of the fit to its predictions.

    Attributes:
        context: the reader's context of the shot's first frames; None before them and without a reader.
        uses_reader: whether the reader applies to the shot.
    """

    def __init__(
        self,
        model: FaceModel,
        camera: Camera,
        landmark_index: np.ndarray,
        options: FitOptions,
        identity: np.ndarray | None = None,
        reader: FaceReader | None = None,
        reader_options: FitOptions | None = None,
    ):
        self.model, self.camera, self.options = model, camera, options
        self.index, self.identity = landmark_index, identity
        self.reader, self.reader_options = reader, reader_options or options
        self.context, self.uses_reader = None, False
        self._observations: list[Observation] = []
        self._points: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []
        self._fits: list[np.ndarray] = []

    def add(self, points: np.ndarray, scores: np.ndarray | None, observation: Observation | None = None) -> None:
        """Add a frame with a face.

        Args:
            points: ``(L, 2)`` landmarks in pixels.
            scores: ``(52,)`` blendshape scores; None in all of the shot's frames or in none.
            observation: the reader's observation, if :attr:`observing`.
        """
        self._points.append(points)
        if observation is not None:
            self._observations.append(observation)
            if len(self._observations) == DECISION_FRAMES and self.context is None:
                self._decide()
        if scores is not None:
            self._scores.append(scores)
        if len(self._points) >= (IDENTITY_FRAMES if self.identity is None else CHUNK):
            self._flush()

    @property
    def observing(self) -> bool:
        """Whether :meth:`add` takes observations: there is a reader, and it applies or this is not decided yet."""
        return self.reader is not None and (self.context is None or self.uses_reader)

    def _decide(self) -> None:
        """Decide whether the reader applies. If it does, the context is computed later, from more frames."""
        context = self.reader.context(self._observations)
        self.uses_reader = self.reader.applies_to(context)
        if not self.uses_reader:
            self.context, self._observations = context, []

    def finish(self) -> ShotFit:
        """Fit the remaining frames and return the shot."""
        if self._points:
            self._flush()
        if self.identity is None:
            self.identity = np.zeros(self.model.num_identity, np.float32)
        fitted = np.concatenate(self._fits) if self._fits else np.zeros((0, 59), np.float32)
        return ShotFit(self.identity, fitted[:, :52], fitted[:, 52:55], fitted[:, 55:58], fitted[:, 58], self.uses_reader)

    def _flush(self) -> None:
        """Fit and discard the collected frames; fit the identity first if there is none."""
        points, options = np.stack(self._points), self.options
        scores = np.stack(self._scores) if self._scores else None
        if self._observations:
            if self.context is None and not self.uses_reader:
                self._decide()
            if self.uses_reader:
                self.context = self.context or self.reader.context(self._observations)
                points, scores = self.reader.read(self._observations, self.context)
                options = self.reader_options
        if self.identity is None:
            self.identity = fit_identity(self.model, points, self.camera, scores, self.index, options)
        fit: FaceFit = fit_sequence(self.model, points, self.camera, scores, self.index, self.identity, options)
        self._fits.append(np.column_stack([fit.blendshapes, fit.angles, fit.translation, fit.relative_error]))
        self._points, self._scores, self._observations = [], [], []


@dataclass
class ShotFit:
    """A fitted shot of N frames with a face.

    Attributes:
        identity: ``(I,)``.
        blendshapes: ``(N, 52)`` as tracked, not calibrated.
        angles, translation: ``(N, 3)`` pose in camera space, radians and cm.
        relative_error: ``(N,)`` mean error of the landmarks relative to the eye distance.
        used_reader: whether a face reader was used.
    """

    identity: np.ndarray
    blendshapes: np.ndarray
    angles: np.ndarray
    translation: np.ndarray
    relative_error: np.ndarray
    used_reader: bool = False

    def calibration(self) -> Calibration:
        """Resting levels and levels of closed eyes, measured in this shot.

        The resting level is the median, limited to MAX_REST; a higher median is a lasting expression and is kept. In shots
        without a clear blink, closed eyes have at least the level TYPICAL_SHUT. The face reader's level of closed eyes is 1.
        """
        measured = Calibration.measure(self.blendshapes, ARKIT)
        rest = np.minimum(measured.rest, MAX_REST)
        if self.used_reader:
            return Calibration(ARKIT, rest, (1.0, 1.0))
        shut = []
        for name in BLINKS:
            i = ARKIT.index(name)
            height = blink_height(self.blendshapes[:, i])
            shut.append(height if height - rest[i] >= MIN_BLINK else max(TYPICAL_SHUT, height))
        return Calibration(ARKIT, rest, (shut[0], shut[1]))

    def rest_pose(self) -> np.ndarray:
        """Resting pose ``(6,)`` of the shot in camera space: angles in radians and translation in cm."""
        rotation = rotation_matrix(self.angles.astype(np.float64))
        first = relative_pose(rotation, self.translation)[0]
        rest = rotation_matrix(first[:3]).T @ rotation[0]
        return np.concatenate([rotation_angles(rest), self.translation[0] - first[3:]])

    def motion(self, calibration: Calibration) -> np.ndarray:
        """Calibrated blendshapes and pose relative to the resting pose, ``(N, 58)``."""
        pose = relative_pose(rotation_matrix(self.angles.astype(np.float64)), self.translation)
        return np.concatenate([calibration(self.blendshapes), pose], 1)
