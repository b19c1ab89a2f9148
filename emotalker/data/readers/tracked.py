"""Base of the readers of video corpora, which track the face.

A single clip does not determine the resting face and pose: a face that looks angry at rest cannot be distinguished from an
angry expression, nor a raised head from a low camera. For corpora that record each speaker in one sitting, the speaker's
identity, resting face and resting pose are measured from the neutral clips, and the speaker's motion is relative to them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.core.errors import EmoTalkerError
from emotalker.data.readers.base import ClipData, ClipSource, CorpusReader, sound_of
from emotalker.face.calibration import Calibration

NEUTRAL_CLIPS = 4  # neutral clips from which a speaker's rest is measured, evenly spaced


@dataclass(frozen=True)
class Rest:
    """A speaker at rest in one session.

    Attributes:
        identity: ``(I,)`` coefficients.
        calibration: resting values of the blendshapes, and blink values of closed eyes.
        rotation, translation: resting head pose, ``(3, 3)`` and ``(3,)`` cm in camera space.
    """

    identity: np.ndarray
    calibration: Calibration
    rotation: np.ndarray
    translation: np.ndarray


class VideoReader(CorpusReader):
    """Base of the readers that track each clip's video.

    Args:
        root: the corpus' folder.
        landmarker: path of the landmark model, or None for the registry's.
        synthetic: detect shots of synthetic faces and track them with :mod:`emotalker.synthetic`.
        options: of :class:`CorpusReader`.

    Attributes:
        one_sitting: each speaker was recorded in one sitting, so that rest is measured per session instead of per shot.
    """

    one_sitting = False

    def __init__(self, root: str | os.PathLike, landmarker: str | None = None, synthetic: bool = True, **options):
        super().__init__(root, **options)
        self.landmarker, self.synthetic = landmarker, synthetic
        self.rest = lru_cache(maxsize=8)(self._measure)

    @cached_property
    def tracker(self):
        """The tracker, created at first use in each process."""
        from emotalker.synthetic.reader import SyntheticFaceReader
        from emotalker.tracking import Tracker

        return Tracker(self.landmarker, reader=SyntheticFaceReader.from_pretrained() if self.synthetic else None)

    def session(self, clip: ClipSource) -> str:
        """Name of a clip's session: one speaker recorded by one camera."""
        return clip.speaker

    def load(self, clip: ClipSource) -> ClipData:
        rest = self.rest(self.session(clip)) if self.one_sitting else None
        if rest is None:
            tracked = self.tracker.track(clip.video)
            motion = tracked.motion.coefficients
        else:
            tracked = self.tracker.track(clip.video, identity=rest.identity, calibration=rest.calibration)
            motion = pose_from(tracked, rest)
        return self.cut(motion, sound_of(clip), tracked.valid, tracked.confidence)

    @cached_property
    def _neutral(self) -> dict[str, list[ClipSource]]:
        sessions = defaultdict(list)
        for clip in self.clips():
            if clip.original_emotion is not None and clip.original_emotion.lower() in ("neutral", "neu"):
                sessions[self.session(clip)].append(clip)
        return sessions

    def _measure(self, session: str) -> Rest | None:
        """A session's rest from some of its neutral clips, or None if no face is found in them."""
        clips = self._neutral.get(session, [])
        chosen = np.unique(np.linspace(0, len(clips) - 1, min(NEUTRAL_CLIPS, len(clips))).round().astype(int))
        tracks = []
        for clip in (clips[i] for i in chosen):
            try:
                tracked = self.tracker.track(clip.video)
            except EmoTalkerError:
                continue  # the error is reported when this clip itself is prepared
            if tracked.valid.any():
                tracks.append(tracked)
        if not tracks:
            return None
        with_face = [[bool(t.valid[start:stop].any()) for start, stop in t.shots] for t in tracks]
        identity, levels, shut, poses = (
            np.concatenate([getattr(t, name)[shots] for t, shots in zip(tracks, with_face, strict=True)])
            for name in ("identities", "rest_blendshapes", "shut_lids", "rest_poses")
        )
        calibration = Calibration(ARKIT, np.median(levels, axis=0), tuple(np.max(shut, axis=0)))
        rotation = Rotation.from_matrix(rotation_matrix(poses[:, :3].astype(np.float64))).mean().as_matrix()
        return Rest(identity.mean(0), calibration, rotation, np.median(poses[:, 3:], axis=0))


def pose_from(tracked, rest: Rest) -> np.ndarray:
    """A track's motion ``(T, D)`` with the head pose relative to the speaker's rest instead of each shot's rest."""
    motion = tracked.motion.coefficients.copy()
    for (start, stop), origin in zip(tracked.shots, tracked.rest_poses.astype(np.float64), strict=True):
        frames = np.flatnonzero(tracked.valid[start:stop]) + start
        pose = motion[frames, ARKIT.pose].astype(np.float64)
        rotation = rotation_matrix(pose[:, :3]) @ rotation_matrix(origin[:3]) @ rest.rotation.T
        shift = pose[:, 3:] + origin[3:] - rest.translation
        motion[frames, ARKIT.pose] = np.concatenate([rotation_angles(rotation), shift], 1)
    return motion
