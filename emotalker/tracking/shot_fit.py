"""One shot's landmarks to one identity and each frame's blendshapes and pose, while the shot is being read."""

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

IDENTITY_FRAMES = 500  # frames with a face after which the identity is settled
CHUNK = 128  # frames fitted at a time from then on
KIND_FRAMES = 32  # frames with a face that tell whether a shot is of the reader's kind

#: What a tracker takes for a blendshape on a resting face seldom exceeds this; what is more was the person's expression.
MAX_REST = 0.25
#: Level of shut lids in an average track, and how far above rest a blink must rise to say how high this person's is.
TYPICAL_SHUT, MIN_BLINK = 0.65, 0.3


class ShotFitter:
    """Collects the frames of one shot; memory grows by 250 bytes a frame, the landmarks of all but the newest are dropped.

    Args:
        model: the head.
        camera: the view.
        landmark_index: ``(L,)`` which points :meth:`add` gets.
        options: strengths of the fit.
        identity: ``(I,)`` if the person is known, else it is fitted on the first frames.
        reader: reads the faces again if the shot turns out to be of its kind, or None.
        reader_options: strengths of the fit to what it reads.

    Attributes:
        context: the reader's, from the shot's first frames; None before, and without a reader.
        reading: whether the reader reads the shot.
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
        self.context, self.reading = None, False
        self._observations: list[Observation] = []
        self._points: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []
        self._fits: list[np.ndarray] = []

    def add(self, points: np.ndarray, scores: np.ndarray | None, observation: Observation | None = None) -> None:
        """One more frame with a face: ``(L, 2)`` pixels, and ``(52,)`` or None as for all of the shot's frames; an
        observation of the reader, if :attr:`observing`."""
        self._points.append(points)
        if observation is not None:
            self._observations.append(observation)
            if len(self._observations) == KIND_FRAMES and self.context is None:
                self._decide()
        if scores is not None:
            self._scores.append(scores)
        if len(self._points) >= (IDENTITY_FRAMES if self.identity is None else CHUNK):
            self._flush()

    @property
    def observing(self) -> bool:
        """Whether frames need an observation: there is a reader, and the shot is not known to be none of its kind."""
        return self.reader is not None and (self.context is None or self.reading)

    def _decide(self) -> None:
        """Whether the reader applies. If not, frames are not observed any longer; if so, more frames make a better context."""
        context = self.reader.context(self._observations)
        self.reading = self.reader.applies_to(context)
        if not self.reading:
            self.context, self._observations = context, []

    def finish(self) -> ShotFit:
        """Fit what is left."""
        if self._points:
            self._flush()
        if self.identity is None:
            self.identity = np.zeros(self.model.num_identity, np.float32)
        fitted = np.concatenate(self._fits) if self._fits else np.zeros((0, 59), np.float32)
        return ShotFit(self.identity, fitted[:, :52], fitted[:, 52:55], fitted[:, 55:58], fitted[:, 58], self.reading)

    def _flush(self) -> None:
        points, options = np.stack(self._points), self.options
        scores = np.stack(self._scores) if self._scores else None
        if self._observations:
            if self.context is None and not self.reading:
                self._decide()
            if self.reading:
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
        relative_error: ``(N,)`` misfit of the landmarks as a share of the eye distance.
        read: whether a face reader read it.
    """

    identity: np.ndarray
    blendshapes: np.ndarray
    angles: np.ndarray
    translation: np.ndarray
    relative_error: np.ndarray
    read: bool = False

    def calibration(self) -> Calibration:
        """Resting levels and shut lids of this shot alone.

        The median blendshape is rest only as far as trackers err: the rest of it is a lasting expression and stays. Lids that
        never shut, or hardly, have the usual range instead of that of their jitter. The face reader's shut lids are 1.
        """
        measured = Calibration.measure(self.blendshapes, ARKIT)
        rest = np.minimum(measured.rest, MAX_REST)
        if self.read:
            return Calibration(ARKIT, rest, (1.0, 1.0))
        shut = []
        for name in BLINKS:
            i = ARKIT.index(name)
            height = blink_height(self.blendshapes[:, i])
            shut.append(height if height - rest[i] >= MIN_BLINK else max(TYPICAL_SHUT, height))
        return Calibration(ARKIT, rest, (shut[0], shut[1]))

    def rest_pose(self) -> np.ndarray:
        """``(6,)`` angles and place in camera space from which this shot's pose is counted."""
        rotation = rotation_matrix(self.angles.astype(np.float64))
        first = relative_pose(rotation, self.translation)[0]
        rest = rotation_matrix(first[:3]).T @ rotation[0]
        return np.concatenate([rotation_angles(rest), self.translation[0] - first[3:]])

    def motion(self, calibration: Calibration) -> np.ndarray:
        """``(N, 58)`` calibrated blendshapes and pose relative to rest."""
        pose = relative_pose(rotation_matrix(self.angles.astype(np.float64)), self.translation)
        return np.concatenate([calibration(self.blendshapes), pose], 1)
