"""Tracking of a face in a video: landmarks, one identity per shot, blendshapes and pose of every frame."""

from emotalker.tracking.result import TrackedVideo
from emotalker.tracking.tracker import Tracker

__all__ = ["TrackedVideo", "Tracker"]
