"""Readers of corpora that come as videos: the face is tracked."""

from __future__ import annotations

import os
from functools import cached_property

from emotalker.data.base import ClipData, ClipSource, CorpusReader, sound_of


class VideoReader(CorpusReader):
    """Base of the readers that track each clip's video; see :class:`CorpusReader` for the other arguments.

    Args:
        landmarker: path of the landmark model, or None for the registry's.
    """

    def __init__(self, root: str | os.PathLike, landmarker: str | None = None, **options):
        super().__init__(root, **options)
        self.landmarker = landmarker

    @cached_property
    def tracker(self):
        """Loaded once per process, when the first clip is tracked."""
        from emotalker.tracking import Tracker

        return Tracker(self.landmarker)

    def load(self, clip: ClipSource) -> ClipData:
        tracked = self.tracker.track(clip.video)
        return self.cut(tracked.motion.coefficients, sound_of(clip), tracked.valid, tracked.confidence)
