"""How far a blendshape moves the skin of a photo, relative to the head model.

A unit of the head model is its artists'; a unit of a motion is the tracker's, which scores real faces. The gains convert
between them. They follow from a regression of landmarks of real faces on their scores, and from
``scripts/evaluate_renderer.py``, within what still looks like a person. docs/method.md 11.
"""

from __future__ import annotations

import numpy as np

from emotalker.coefficients import ARKIT_BLENDSHAPES

#: Gains by the beginning of the name; 1 for all others.
GAINS = {
    "browDown": 1.9,
    "browInnerUp": 2.3,
    "browOuterUp": 2.4,
    "eyeWide": 3.0,
    "eyeSquint": 1.8,
    "cheekSquint": 1.3,
    "noseSneer": 1.7,
    "mouthFrown": 1.6,
    "mouthStretch": 1.7,
    "mouthUpperUp": 1.4,
    "mouthLowerDown": 1.6,
    "mouthPucker": 1.2,
}


def blendshape_gains() -> np.ndarray:
    """``(52,)`` float32 in the order of ARKIT_BLENDSHAPES."""
    gains = [next((gain for prefix, gain in GAINS.items() if name.startswith(prefix)), 1.0) for name in ARKIT_BLENDSHAPES]
    return np.array(gains, np.float32)
