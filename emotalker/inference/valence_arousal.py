"""Valence and arousal as emotion weights (docs/method.md 9)."""

from __future__ import annotations

import numpy as np

from emotalker.core.emotions import EMOTIONS

#: Mean ratings of pleasure and arousal for the emotion's name: Russell and Mehrabian, "Evidence for a three-factor theory of
#: emotions", Journal of Research in Personality 11, 1977. The plane is that of Russell's circumplex ("A circumplex model of
#: affect", Journal of Personality and Social Psychology 39, 1980). Contempt is placed by us: as disgust, but calmer.
COORDINATES = {
    "angry": (-0.51, 0.59),
    "contempt": (-0.60, 0.10),
    "disgusted": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happy": (0.81, 0.51),
    "neutral": (0.0, 0.0),
    "sad": (-0.63, -0.27),
    "surprised": (0.40, 0.67),
}
#: Weights fall with this power of the distance.
_POWER = 4
_POINTS = np.array([COORDINATES[emotion] for emotion in EMOTIONS])


def weights_of(valence: float, arousal: float) -> np.ndarray:
    """Weights of EMOTIONS that sum to 1, from the distances to their coordinates.

    Inverse distance weighting (Shepard 1968): the coordinates of an emotion give that emotion alone. Anger, fear and disgust
    lie close together, because valence and arousal distinguish them little: points between them give mixtures.

    Args:
        valence: displeasure -1 to pleasure 1.
        arousal: sleepiness -1 to excitement 1.

    Returns:
        ``(8,)`` float32.
    """
    distances = np.linalg.norm(_POINTS - [valence, arousal], axis=1)
    weights = (distances.min() + 1e-6) ** _POWER / (distances + 1e-6) ** _POWER
    return (weights / weights.sum()).astype(np.float32)
