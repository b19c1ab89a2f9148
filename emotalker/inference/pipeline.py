"""The complete pipeline: audio and portrait -> speech features -> motion coefficients -> rendered frames -> video."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.coefficients import MotionTrack
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.matte import PersonSegmenter
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.inference.animation import Animator, AudioSource, ImageSource, TalkingVideo, find_segmenter, timed
from emotalker.inference.control import NO_CONTROL, Control
from emotalker.inference.framing import Background
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.motion_stream import MotionStream
from emotalker.inference.performance import PERFORMANCE, PerformanceConfig
from emotalker.inference.streaming import TalkingStream
from emotalker.inference.style import DEFAULT_STYLE, Style
from emotalker.models.transformer import Mode
from emotalker.render.base import RendererFactory
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.video.image import load_image

if TYPE_CHECKING:
    from emotalker.inference.dubbing import DubbedVideo, Ending


class TalkingHead(Animator):
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
        super().__init__(landmarker, face_model, make_renderer, segmenter)
        self.generator = generator

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
        return cls(generator, FaceLandmarker(landmarker), FaceModel.load(), segmenter=find_segmenter())

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
        control: Control = NO_CONTROL,
        driving: MotionTrack | None = None,
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
            control: replaces parts of the motion.
            driving: first frames of the motion, from which it continues; :mod:`emotalker.inference.driving` loads them.
            liveliness: deprecated name of ``performance.sampling_weight``.

        Raises:
            AudioError, ImageError, FaceNotFoundError: the input cannot be used; the message gives the reason.
            FramingError: the background is unknown, or cannot be replaced without the segmenter.
            StyleError: the style requests an emotion and the checkpoints have no emotion input.
            ControlError: a reference or the driving frames do not fit the motion.
        """
        if liveliness is not None:
            warnings.warn("liveliness is now PerformanceConfig.sampling_weight", DeprecationWarning, stacklevel=2)
            performance = replace(performance, sampling_weight=liveliness)
        seconds: dict[str, float] = {}
        with timed(seconds, "load"):
            samples = load_audio(audio)
        framed = self.frame(image, framing, size, face, background, keep_expression, seconds)
        portrait = framed.portrait
        with timed(seconds, "motion"):
            motion = self.generator.generate(
                samples,
                portrait.reference(self.generator.space),
                seed=seed,
                style=style,
                decoding=decoding,
                temperature=temperature,
                top_p=top_p,
                performance=performance,
                driving=driving,
            )
        motion = replace(motion, coefficients=control.apply(motion.coefficients, motion.space))
        return TalkingVideo(motion, samples, framed, self.make_renderer, fps or self.generator.space.fps, seconds)

    def dub(
        self,
        audio: AudioSource,
        video: str | os.PathLike,
        *,
        ending: Ending = "ping-pong",
        expression: float = 1.0,
        control: Control = NO_CONTROL,
        **options: Any,
    ) -> DubbedVideo:
        """Give a video of a speaker the lips and the expression of another voice; see :mod:`emotalker.inference.dubbing`.

        Args:
            audio: the voice, as for :meth:`generate`.
            video: a file with one clearly visible face.
            ending: what follows its last frame if the voice is longer.
            expression: weight of the new voice's brows, cheeks and smile.
            control: replaces parts of the motion. The video keeps its pose.
            options: further arguments of :meth:`MotionGenerator.generate`.

        Raises:
            AudioError, VideoError, FaceNotFoundError, StyleError: the input cannot be used.
        """
        from emotalker.inference.dubbing import dub  # the tracker's parts take half a second to import

        samples = load_audio(audio)
        motion = self.generator.generate(samples, np.zeros(self.generator.space.dim, np.float32), **options)
        motion = replace(motion, coefficients=control.apply(motion.coefficients, motion.space))
        return dub(video, motion, self.landmarker, self.face_model, self.make_renderer, ending, expression, audio=samples)

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
        portrait = Portrait.from_image(
            pixels, self.landmarker, self.face_model, size, name, keep_expression, segmenter=self.segmenter
        )
        motion = MotionStream(self.generator, portrait.reference(self.generator.space), **options)
        return TalkingStream(motion, self.make_renderer(portrait), portrait, sample_rate)
