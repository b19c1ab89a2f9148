"""Examples of the page: the packaged recording and the portrait of scikit-image, under three settings.

The portrait is NASA's photo of Eileen Collins (public domain) from scikit-image; the voice is synthetic (Kokoro, Apache-2.0).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import MissingExtraError
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.video.image import save_image


@dataclass(frozen=True)
class Example:
    """Settings of the page that differ from its defaults; the track, if any, fills the table."""

    title: str
    emotion: str | None = None
    track: EmotionTrack | None = None
    intensity: float = 1.0
    framing: str = "crop"


def _turning() -> EmotionTrack:
    """From neutral over surprised to angry, in the 6.6 s of the recording."""
    names, strengths = ("neutral", "surprised", "surprised", "angry", "angry"), (0.6, 1.2, 1.2, 1.5, 1.5)
    weights = np.stack([np.eye(len(EMOTIONS), dtype=np.float32)[EMOTIONS.index(name)] for name in names])
    return EmotionTrack(np.array([0.0, 2.0, 3.0, 4.0, 6.0]), weights, np.array(strengths))


EXAMPLES = (
    Example("Emotion of the voice"),
    Example("Happy, whole picture", emotion="happy", intensity=1.5, framing="full"),
    Example("From calm to angry", track=_turning()),
)


def write_inputs(folder: Path) -> tuple[Path, Path]:
    """Write the portrait and the recording of the examples; returns their files.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise MissingExtraError(
            "the page's examples need scikit-image; install it with: pip install 'emotalker[app]'"
        ) from error
    voice = folder / "voice.flac"
    shutil.copyfile(Path(str(files("emotalker") / "assets" / "demo.flac")), voice)
    return save_image(folder / "portrait.png", data.astronaut()), voice
