"""The complete pipeline: audio and portrait -> speech features -> motion coefficients -> rendered frames -> video."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.coefficients.resample import change_frame_rate, frames_at
from emotalker.core.errors import CheckpointError
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.matte import PersonSegmenter
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.framing import CROP_SIZE, Background, Framing, fit_picture
from emotalker.inference.generator import GeneratedMotion, MotionGenerator
from emotalker.inference.performance import PERFORMANCE, PerformanceConfig
from emotalker.inference.style import DEFAULT_STYLE, Style
from emotalker.models.transformer import Mode
from emotalker.render.base import RendererFactory
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.video.alpha import AlphaVideoWriter
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
        framing: the portrait of the person, and what surrounds it in the video.
        make_renderer: makes the renderer of the portrait.
        fps: frames per second of the video; the motion keeps its own rate.
        seconds: wall time of each stage so far.
    """

    motion: GeneratedMotion
    audio: np.ndarray
    framing: Framing
    make_renderer: RendererFactory
    fps: int
    seconds: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return frames_at(len(self.motion.coefficients), self.motion.space.fps, self.fps)

    @property
    def portrait(self) -> Portrait:
        """Crop, landmarks and fit of the person."""
        return self.framing.portrait

    @property
    def emotion(self) -> EmotionTrack:
        """The emotion that the motion shows, heard or requested, before intensity."""
        return self.motion.emotion

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames ``(H, W, 3)`` uint8 RGB, with a transparent background ``(H, W, 4)`` RGBA, rendered one at a time, so that
        memory does not grow with length."""
        with _timed(self.seconds, "prepare"):
            renderer = self.make_renderer(self.portrait)
        motion = change_frame_rate(self.motion.coefficients, self.motion.space, self.fps)
        for frame in renderer.render(motion):
            yield self.framing.place(frame)

    def save(self, path: str | os.PathLike, on_frame: Callable[[int, int], None] | None = None) -> Path:
        """Write H.264 and AAC, with a transparent background ProRes 4444 (.mov) or VP9 (.webm); ``on_frame(done, total)`` is
        called after every frame.

        Raises:
            OutputError: the file cannot be written; an existing file is kept.
        """
        make_writer = AlphaVideoWriter if self.framing.transparent else VideoWriter
        started, prepared = time.perf_counter(), self.seconds.get("prepare", 0.0)
        with make_writer(path, *self.framing.size, self.fps, self.audio, SAMPLE_RATE) as writer:
            for done, frame in enumerate(self, start=1):
                writer.write(frame)
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
        segmenter: separates the person from the background; without it, the background near the head moves with the head and
            cannot be replaced.
    """

    def __init__(
        self,
        generator: MotionGenerator,
        landmarker: FaceLandmarker,
        face_model: FaceModel,
        make_renderer: RendererFactory = WarpRenderer,
        segmenter: PersonSegmenter | None = None,
    ):
        self.generator, self.landmarker, self.face_model = generator, landmarker, face_model
        self.make_renderer, self.segmenter = make_renderer, segmenter

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
        try:
            segmenter = PersonSegmenter()
        except CheckpointError as error:
            segmenter = None
            warnings.warn(f"{error}; until then the background near the head moves with it", stacklevel=2)
        return cls(generator, FaceLandmarker(landmarker), FaceModel.load(), segmenter=segmenter)

    def generate(
        self,
        audio: AudioSource,
        image: ImageSource,
        *,
        framing: Literal["crop", "full"] = "crop",
        size: int | None = None,
        fps: int | None = None,
        face: int | None = None,
        background: Background | str | os.PathLike | None = None,
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
            framing: "crop" shows head and shoulders in a square, "full" the whole picture, in which the person moves.
            size: width and height of the square (default: 512), or longer side of the whole picture (default: its own, up to
                3840 x 2160 pixels); even.
            fps: frames per second; the motion is interpolated (default: the motion's rate, 25).
            face: which one, counted from 1 at the left of the picture (default: the largest).
            background: replaces the picture's own: see :meth:`emotalker.inference.framing.Background.parse`.
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
            FramingError: the background is unknown, or cannot be replaced without the segmenter.
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
            if background is not None and not isinstance(background, Background):
                background = Background.parse(background)
        with _timed(seconds, "portrait"):
            whole = fit_picture(pixels, size) if framing == "full" else None
            portrait = Portrait.from_image(
                pixels if whole is None else whole,
                self.landmarker,
                self.face_model,
                (size or CROP_SIZE) if whole is None else None,
                name,
                keep_expression,
                face,
                self.segmenter,
            )
            framed = Framing.of(portrait, whole, background)
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
        return TalkingVideo(motion, samples, framed, self.make_renderer, fps or self.generator.space.fps, seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the block's wall time to ``seconds[stage]``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
