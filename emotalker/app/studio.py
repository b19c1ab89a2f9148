"""The work behind the page: hears emotions and makes videos with models that are loaded once. Nothing here knows the page."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import EmoTalkerError
from emotalker.exchange.gltf import write_glb
from emotalker.inference.animation import TalkingVideo
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.generator import EMOTION_STEP, MotionGenerator
from emotalker.inference.performance import PERFORMANCE, Performance
from emotalker.inference.pipeline import TalkingHead
from emotalker.inference.recording import in_blocks
from emotalker.inference.style import DEFAULT_STYLE, Style
from emotalker.models.hubert import SAMPLES_PER_VIDEO_FRAME

#: Reports what is done, and which share of it, 0..1.
Report = Callable[[str, float], None]
#: Shares of the progress bar at which the motion and the frames are done; the rest is for the files.
_MOTION_DONE, _FRAMES_DONE = 0.15, 0.98


class Cancelled(Exception):
    """The visitor no longer wants the video."""


@dataclass(frozen=True)
class VideoRequest:
    """What one visitor asks for.

    Attributes:
        portrait, voice: files.
        style: emotion, intensity, amplitudes and blinks.
        framing: as of :meth:`emotalker.TalkingHead.generate`.
        size: side of the square, or longer side of the whole picture, pixels; even.
        seed: of all random numbers.
    """

    portrait: Path
    voice: Path
    style: Style = DEFAULT_STYLE
    framing: Literal["crop", "full"] = "crop"
    size: int = 512
    seed: int = 0


@dataclass(frozen=True)
class MadeVideo:
    """The files of a request.

    Attributes:
        files: the MP4, the motion as .npz and .csv, and the emotion that the video shows as .csv.
        talking: portrait, motion and voice of the video.
        seed: of its random numbers.
    """

    files: list[Path]
    talking: TalkingVideo
    seed: int

    @property
    def summary(self) -> str:
        """One line: length, size, seed and how long it took."""
        width, height = self.talking.framing.size
        length, seconds = len(self.talking) / self.talking.fps, sum(self.talking.seconds.values())
        return f"{length:.1f} s of video, {width} x {height}, seed {self.seed}, made in {seconds:.1f} s"

    def write_head(self, folder: Path) -> Path:
        """Write the animated 3-D head as .glb; seconds of work."""
        return write_glb(folder / "head.glb", self.talking.portrait, self.talking.motion)

    def __deepcopy__(self, memo: dict) -> MadeVideo:
        return self  # never changed; Gradio copies the states of sessions


@dataclass
class Studio:
    """Models shared by all visitors; what belongs to one request is in its arguments only.

    Attributes:
        talking_head: the models.
        max_seconds: longest recording.
    """

    talking_head: TalkingHead
    max_seconds: float
    _one_video: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def load(cls, max_seconds: float, checkpoints: str | None = None, device: str = "cpu") -> Studio:
        """Load the models; errors as of :meth:`emotalker.TalkingHead.from_pretrained`."""
        return cls(TalkingHead.from_pretrained(checkpoints, device), max_seconds)

    def hear(self, voice: Path) -> tuple[np.ndarray, EmotionTrack]:
        """Samples ``(N,)`` at 16 kHz of a recording, and the emotion that its video shows by default.

        Raises:
            AudioError: the recording cannot be used, or is longer than ``max_seconds``.
        """
        samples = self._load(voice)
        return samples, heard_emotion(self.talking_head.generator, samples)

    def make(self, request: VideoRequest, folder: Path, report: Report, cancelled: Callable[[], bool]) -> MadeVideo:
        """Make a video and the files beside it in ``folder``; one at a time, since each uses all processors.

        Args:
            request: what is made.
            folder: existing.
            report: progress.
            cancelled: asked before each step and after each frame.

        Raises:
            AudioError, ImageError, FaceNotFoundError, StyleError: the input cannot be used.
            Cancelled: ``cancelled`` was true; the folder may hold some of the files.
        """

        def check() -> None:
            if cancelled():
                raise Cancelled

        def on_frame(done: int, total: int) -> None:
            check()
            report(f"frame {done} of {total}", _MOTION_DONE + (_FRAMES_DONE - _MOTION_DONE) * done / total)

        with self._one_video:
            check()
            report("predicting the motion", 0.02)
            samples = self._load(request.voice)
            video = self.talking_head.generate(
                (samples, SAMPLE_RATE),
                request.portrait,
                framing=request.framing,
                size=request.size,
                seed=request.seed,
                style=request.style,
            )
            check()
            report("preparing the portrait", _MOTION_DONE)
            path = video.save(folder / "talking.mp4", on_frame)
            report("writing the other files", _FRAMES_DONE)
            check()
            others = (video.motion.save(folder / "motion.npz"), video.motion.save(folder / "motion.csv"))
        return MadeVideo([path, *others, video.emotion.save(folder / "emotion.csv")], video, request.seed)

    def _load(self, voice: Path) -> np.ndarray:
        return load_audio(voice, max_seconds=self.max_seconds)


@torch.inference_mode()
def heard_emotion(generator: MotionGenerator, samples: np.ndarray) -> EmotionTrack:
    """The emotion of a recording ``(N,)`` at 16 kHz, as a video without other settings shows it."""
    steps = Performance(PERFORMANCE, DEFAULT_STYLE, generator.space, generator.expression)

    def block(samples: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        wav = generator.tensor(samples)
        weights, strength = generator.emotion(wav, *generator.encode(wav), steps, start)
        return weights, strength[:, None]

    frames = -(-len(samples) // SAMPLES_PER_VIDEO_FRAME)
    weights, strength = in_blocks(samples, frames, block, (len(EMOTIONS), 1))
    times = np.arange(0, frames, EMOTION_STEP) / generator.space.fps
    return EmotionTrack(times, weights[::EMOTION_STEP], strength[::EMOTION_STEP, 0])


def sentence(error: EmoTalkerError, *files: str | os.PathLike) -> str:
    """The error's sentence with names of uploaded files instead of where they are on this machine."""
    text = str(error)
    for file in files:
        text = text.replace(str(file), Path(file).name)
    return text
