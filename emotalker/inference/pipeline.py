"""The complete pipeline: audio and portrait -> speech features -> motion coefficients -> rendered frames -> video."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.generator import GeneratedMotion, MotionGenerator
from emotalker.inference.motion_stream import MotionStream
from emotalker.inference.performance import PERFORMANCE, PerformanceConfig
from emotalker.inference.streaming import TalkingStream
from emotalker.inference.style import DEFAULT_STYLE, Style
from emotalker.models.transformer import Mode
from emotalker.render.base import PlanarRenderer, RendererFactory
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.video.image import load_image
from emotalker.video.writer import VideoWriter

AudioSource = str | os.PathLike | tuple[np.ndarray, int]
ImageSource = str | os.PathLike | np.ndarray


@dataclass
class TalkingVideo:
    """A talking portrait: the motion is predicted, frames are rendered when they are iterated over.

    Attributes:
        motion: the coefficients of every frame.
        audio: ``(N,)`` float32 at 16 kHz; its duration differs from the video's by less than one frame.
        portrait: crop, landmarks and fit of the person.
        make_renderer: makes the renderer of the portrait.
        seconds: wall time of each stage so far.
    """

    motion: GeneratedMotion
    audio: np.ndarray
    portrait: Portrait
    make_renderer: RendererFactory
    seconds: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.motion.coefficients)

    @property
    def emotion(self) -> EmotionTrack:
        """The emotion that the motion shows, heard or requested, before intensity."""
        return self.motion.emotion

    @property
    def fps(self) -> int:
        """Frames per second."""
        return self.motion.space.fps

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames ``(S, S, 3)`` uint8 RGB, rendered one at a time, so that memory does not grow with length."""
        with _timed(self.seconds, "prepare"):
            renderer = self.make_renderer(self.portrait)
        yield from renderer.render(self.motion.coefficients)

    def save(self, path: str | os.PathLike, on_frame: Callable[[int, int], None] | None = None) -> Path:
        """Write H.264 and AAC; ``on_frame(done, total)`` is called after every frame.

        Raises:
            OutputError: the file cannot be written; an existing file is kept.
        """
        size = self.portrait.size
        started, prepared = time.perf_counter(), self.seconds.get("prepare", 0.0)
        with VideoWriter(path, size, size, self.fps, self.audio, SAMPLE_RATE) as writer:
            with _timed(self.seconds, "prepare"):
                renderer = self.make_renderer(self.portrait)
            motion = self.motion.coefficients
            if isinstance(renderer, PlanarRenderer):
                frames, write = renderer.render_planar(motion), writer.write_planar
            else:
                frames, write = renderer.render(motion), writer.write
            for done, frame in enumerate(frames, start=1):
                write(frame)
                if on_frame:
                    on_frame(done, len(self))
        preparation = self.seconds["prepare"] - prepared
        self.seconds["render and encode"] = time.perf_counter() - started - preparation
        return Path(path)

    def summary(self, path: str | os.PathLike) -> str:
        """One line: output path, number of frames, duration and the wall time of each stage."""
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())
        return f"wrote {path}: {len(self)} frames, {len(self) / self.fps:.1f} s of video ({stages})"


class TalkingHead:
    """Animates portraits with voice recordings.

    >>> talking_head = TalkingHead.from_pretrained()
    >>> talking_head.generate("voice.wav", "person.jpg").save("talking.mp4")

    Args:
        generator: audio to motion.
        landmarker, face_model: face detection and fit in portraits.
        make_renderer: makes the renderer of one portrait.
    """

    def __init__(
        self,
        generator: MotionGenerator,
        landmarker: FaceLandmarker,
        face_model: FaceModel,
        make_renderer: RendererFactory = WarpRenderer,
    ):
        self.generator, self.landmarker, self.face_model = generator, landmarker, face_model
        self.make_renderer = make_renderer

    @classmethod
    def from_pretrained(
        cls,
        checkpoints: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        landmarker: str | os.PathLike | None = None,
    ) -> TalkingHead:
        """Load all networks and models.

        Args:
            checkpoints: folder of trained weights; the shipped ones by default.
            device: where the networks run (``"cuda"``, ``"mps"``, ``"cpu"``).
            landmarker: path of ``face_landmarker.task``; by default :mod:`emotalker.core.registry` finds or downloads it.

        Raises:
            CheckpointError: the weights or the landmarker file are missing or damaged.
        """
        generator = MotionGenerator.from_pretrained(checkpoints, device)
        return cls(generator, FaceLandmarker(landmarker), FaceModel.load())

    def generate(
        self,
        audio: AudioSource,
        image: ImageSource,
        *,
        size: int = 512,
        seed: int = 0,
        style: Style = DEFAULT_STYLE,
        decoding: Mode = "sample",
        temperature: float = 1.0,
        top_p: float = 0.9,
        performance: PerformanceConfig = PERFORMANCE,
        keep_expression: float = 0.0,
        liveliness: float | None = None,
    ) -> TalkingVideo:
        """Predict the motion of a portrait from a voice; frames are rendered when the result is iterated over or saved.

        Args:
            audio: a file that FFmpeg reads, or ``(samples, sample rate)``; at least 0.2 s.
            image: a file, or ``(H, W, 3)`` uint8 RGB.
            size: width and height of the video, pixels; even.
            seed: of all random numbers (sampled codes, blinks).
            style: emotion, also over time, intensity, amplitudes and blink rate.
            decoding: "sample" samples codes, "continuous" is the published method, "nearest" uses the nearest codes.
            temperature, top_p: of "sample"; see :func:`emotalker.models.sampling.sample_codes`.
            performance: the steps around the published method and their constants.
            keep_expression: share of the picture's own expression that the face at rest keeps, 0..1. At 0, a smile falls and
                an open mouth closes before the face performs.
            liveliness: deprecated name of ``performance.sampling_weight``.

        Raises:
            AudioError, ImageError, FaceNotFoundError: the input cannot be used; the message gives the reason.
            StyleError: the style requests an emotion and the checkpoints have no emotion input.
        """
        if liveliness is not None:
            warnings.warn("liveliness is now PerformanceConfig.sampling_weight", DeprecationWarning, stacklevel=2)
            performance = replace(performance, sampling_weight=liveliness)
        seconds: dict[str, float] = {}
        name = str(image) if isinstance(image, str | os.PathLike) else "the image"
        with _timed(seconds, "load"):
            samples = load_audio(audio)
            pixels = image if isinstance(image, np.ndarray) else load_image(image)
        with _timed(seconds, "portrait"):
            portrait = Portrait.from_image(pixels, self.landmarker, self.face_model, size, name, keep_expression)
        with _timed(seconds, "motion"):
            motion = self.generator.generate(
                samples,
                portrait.reference(self.generator.space),
                seed=seed,
                style=style,
                decoding=decoding,
                temperature=temperature,
                top_p=top_p,
                performance=performance,
            )
        return TalkingVideo(motion, samples, portrait, self.make_renderer, seconds)

    def stream(
        self,
        image: ImageSource,
        *,
        sample_rate: int = SAMPLE_RATE,
        size: int = 512,
        keep_expression: float = 0.0,
        **options: Any,
    ) -> TalkingStream:
        """Prepare a portrait to talk while the voice arrives.

        Args:
            image: a file, or ``(H, W, 3)`` uint8 RGB.
            sample_rate: of the audio that will arrive, Hz; other rates than 16 kHz are resampled.
            size: width and height of the frames, pixels; even.
            keep_expression: as in :meth:`generate`.
            options: further arguments of :class:`~emotalker.inference.motion_stream.MotionStream`: ``seed``, ``style``,
                ``decoding``, ``temperature``, ``top_p``, ``performance`` and ``look_ahead``.

        Raises:
            AudioError, ImageError, FaceNotFoundError, StyleError: as :meth:`generate`.
        """
        name = str(image) if isinstance(image, str | os.PathLike) else "the image"
        pixels = image if isinstance(image, np.ndarray) else load_image(image)
        portrait = Portrait.from_image(pixels, self.landmarker, self.face_model, size, name, keep_expression)
        motion = MotionStream(self.generator, portrait.reference(self.generator.space), **options)
        return TalkingStream(motion, self.make_renderer(portrait), portrait, sample_rate)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the block's wall time to ``seconds[stage]``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
