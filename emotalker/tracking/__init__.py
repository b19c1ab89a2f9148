"""From a video to motion: landmarks, one identity a shot, blendshapes and pose of every frame."""

from emotalker.coefficients.resample import resample_motion
from emotalker.tracking.result import TrackedVideo
from emotalker.tracking.tracker import Tracker

__all__ = ["TrackedVideo", "Tracker", "resample_motion"]
