"""Several talking videos of one length side by side, for example one voice in several emotions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.progress import OnProgress, unheard
from emotalker.inference.animation import AudioSource, ImageSource, TalkingVideo
from emotalker.inference.pipeline import TalkingHead
from emotalker.video.image import as_picture
from emotalker.video.notebook import NotebookVideo
from emotalker.video.provenance import SYNTHETIC
from emotalker.video.writer import VideoWriter

#: Emotions of the demo: the six of Ekman, in the order of the panels.
SIX_EMOTIONS = ("happy", "surprised", "sad", "angry", "fear", "disgusted")
#: Height of a panel's label in sides of the panel.
_LABEL = 0.09


@dataclass(repr=False)
class PanelVideo(NotebookVideo):
    """Videos in panels with labels, row by row; frames are rendered when it is iterated over.

    Attributes:
        panels: videos of the same voice, length, frame rate and size.
        labels: of the panels.
        columns: panels in a row.
    """

    panels: Sequence[TalkingVideo]
    labels: Sequence[str]
    columns: int = 3

    def __len__(self) -> int:
        return len(self.panels[0])

    def __repr__(self) -> str:
        return f"<PanelVideo: {len(self)} frames of {', '.join(self.labels)}>"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        width, height = self.panels[0].framing.size
        rows = -(-len(self.panels) // self.columns)
        return width * min(self.columns, len(self.panels)), (height + _label_height(height)) * rows

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames ``(H, W, 3)`` uint8 RGB."""
        width, height = self.panels[0].framing.size
        strips = [_label(label, width, _label_height(height)) for label in self.labels]
        empty = np.zeros((height + _label_height(height), width, 3), np.uint8)
        for frames in zip(*self.panels, strict=True):
            cells = [np.concatenate([strip, frame]) for strip, frame in zip(strips, frames, strict=True)]
            cells += [empty] * (-len(cells) % min(self.columns, len(cells)))
            rows = [np.concatenate(cells[i : i + self.columns], 1) for i in range(0, len(cells), self.columns)]
            yield np.concatenate(rows)

    def save(
        self, path: str | os.PathLike, on_frame: Callable[[int, int], None] | None = None, *, mark: str | None = None
    ) -> Path:
        """Write H.264 with the first panel's voice; arguments and errors as :meth:`TalkingVideo.save`."""
        first, options = self.panels[0], {"metadata": SYNTHETIC, "mark": mark}
        with VideoWriter(path, *self.size, first.fps, first.audio, SAMPLE_RATE, **options) as writer:
            for done, frame in enumerate(self, start=1):
                writer.write(frame)
                if on_frame:
                    on_frame(done, len(self))
        return Path(path)


def compare_emotions(
    talking_head: TalkingHead,
    audio: AudioSource,
    image: ImageSource,
    emotions: Sequence[str] = SIX_EMOTIONS,
    *,
    intensity: float = 1.0,
    size: int = 384,
    seed: int = 0,
    on_progress: OnProgress = unheard,
) -> PanelVideo:
    """One voice and one portrait in several emotions, with the same seed.

    Args:
        talking_head: the networks.
        audio, image: as for :meth:`TalkingHead.generate`.
        emotions: one panel each.
        intensity: of all emotions, 0..3.
        size: side of a panel, pixels; even.
        seed: of all random numbers.
        on_progress: called with "motion", the panels done and their number; may raise Cancelled.

    Raises:
        AudioError, ImageError, FaceNotFoundError, StyleError: as :meth:`TalkingHead.generate`.
    """
    picture, panels = as_picture(image), []
    for emotion in emotions:
        on_progress("motion", len(panels), len(emotions))
        panels.append(talking_head.generate(audio, picture, size=size, seed=seed, emotion=emotion, intensity=intensity))
    return PanelVideo(panels, list(emotions))


def _label_height(height: int) -> int:
    return round(height * _LABEL / 2) * 2


def _label(text: str, width: int, height: int) -> np.ndarray:
    """White text in the middle of a black strip ``(height, width, 3)``."""
    strip = np.zeros((height, width, 3), np.uint8)
    scale, font = height / 42, cv2.FONT_HERSHEY_SIMPLEX
    thickness = max(1, round(1.5 * scale))
    (text_width, text_height), _ = cv2.getTextSize(text, font, scale, thickness)
    at = (width - text_width) // 2, (height + text_height) // 2
    cv2.putText(strip, text, at, font, scale, (255, 255, 255), thickness, cv2.LINE_AA)
    return strip
