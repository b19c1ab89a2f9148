"""How far a blendshape moves the skin of a photo, relative to the head model.

A head model's unit is an artist's; a blendshape's unit in this project is the tracker's, which scores real faces. The gains bring
one to the other: with them, what is put into a portrait comes out of the tracker. They were chosen with
``scripts/evaluate_renderer.py``, within what still looks like a person. docs/method.md 11.
"""

from __future__ import annotations

import numpy as np

from emotalker.coefficients import ARKIT_BLENDSHAPES

#: Gains by the beginning of the name; 1 for all others.
GAINS = {
    "browDown": 1.9,
    "browInnerUp": 2.0,
    "browOuterUp": 1.7,
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
