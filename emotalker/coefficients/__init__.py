"""Motion vectors: layout, statistics and files."""

from emotalker.coefficients.space import ARKIT, ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES, CoefficientSpace, get_space
from emotalker.coefficients.track import MotionTrack

__all__ = ["ARKIT", "ARKIT_BLENDSHAPES", "MIRRORED_BLENDSHAPES", "CoefficientSpace", "MotionTrack", "get_space"]
