"""The inputs of the demo, which are part of the package.

The portrait is NASA's photo of Eileen Collins (public domain), as scikit-image distributes it; the voice is synthetic
(Kokoro-82M, Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path

_ASSETS = Path(__file__).resolve().parents[1] / "assets"
DEMO_PORTRAIT = _ASSETS / "demo.png"
DEMO_VOICE = _ASSETS / "demo.flac"
