"""The complete pipeline: audio and portrait -> speech features -> motion coefficients -> rendered frames -> video."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import numpy as np
import torch

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.coefficients import MotionTrack
from emotalker.core.progress import OnProgress, unheard
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
from emotalker.inference.style import DEFAULT_STYLE, Emotion, Style
from emotalker.models.transformer import Mode
from emotalker.render.base import RendererFactory, warp_renderer
from emotalker.video.image import as_picture

if TYPE_CHECKING:
    from emotalker.inference.dubbing import DubbedVideo, Ending


class MotionOptions(TypedDict, total=False):
    """How a motion is predicted: arguments of :meth:`TalkingHead.generate` that :meth:`~TalkingHead.dub` and
    :meth:`~TalkingHead.stream` take too."""

    seed: int
    style: Style
    decoding: Mode
    temperature: float
    top_p: float
    performance: PerformanceConfig


class StreamOptions(MotionOptions, total=False):
    """:class:`MotionOptions`, and ``look_ahead`` of :class:`~emotalker.inference.motion_stream.MotionStream`."""

    look_ahead: float


class TalkingHead(Animator):
    """Animates portraits with voice recordings.

    >>> talking_head = TalkingHead.from_pretrained()
    >>> talking_head.generate("voice.wav", "person.jpg", emotion="happy", intensity=1.5).save("talking.mp4")

    Args:
        generator: audio to motion.
        landmarker, face_model, make_renderer, segmenter: as for :class:`~emotalker.inference.animation.Animator`.
    """

    def __init__(
        self,
        generator: MotionGenerator,
        landmarker: FaceLandmarker,
        face_model: FaceModel,
        make_renderer: RendererFactory = warp_renderer,
        segmenter: PersonSegmenter | None = None,
    ):
        super().__init__(landmarker, face_model, make_renderer, segmenter)
        self.generator = generator

    @classmethod
    def from_pretrained(
        cls,
        checkpoints: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        *,
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
        emotion: Emotion | None = None,
        intensity: float | None = None,
        style: Style = DEFAULT_STYLE,
        decoding: Mode = "sample",
        temperature: float = 1.0,
        top_p: float = 0.9,
        performance: PerformanceConfig = PERFORMANCE,
        keep_expression: float = 0.0,
        control: Control = NO_CONTROL,
        driving: MotionTrack | None = None,
        liveliness: float | None = None,
        on_progress: OnProgress = unheard,
    ) -> TalkingVideo:
        """Predict the motion of a portrait from a voice; frames are rendered when the result is iterated over or saved.

        Args:
            audio: a file that FFmpeg reads, or ``(samples, sample rate)``; at least 0.2 s.
            image, framing, size, fps, face, background, keep_expression, control: as for
                :meth:`~emotalker.inference.animation.Animator.animate`.
            seed: of all random numbers (sampled codes, blinks).
            emotion: replaces the recognised one: ``"happy"``, ``"sad:0.6,angry:0.2"``, ``{"sad": 0.6}`` (the recognised
                emotion gets the rest to a sum of 1) or an :class:`~emotalker.inference.emotion_track.EmotionTrack`.
            intensity: of the emotion, 0..3; 0 is neutral, 1 unchanged.
            style: amplitudes of face, head and lips, and blink rate; its emotion and intensity count where these are None.
            decoding: "sample" samples codes, "continuous" is the published method, "nearest" uses the nearest codes.
            temperature, top_p: of "sample"; see :func:`emotalker.models.sampling.sample_codes`.
            performance: the steps around the published method and their constants.
            driving: first frames of the motion, from which it continues; :mod:`emotalker.inference.driving` loads them.
            liveliness: deprecated name of ``performance.sampling_weight``.
            on_progress: called with stage, frames done and all frames, see :data:`~emotalker.core.progress.OnProgress`; may
                raise :class:`~emotalker.core.errors.Cancelled`.

        Raises:
            AudioError, ImageError, FaceNotFoundError: the input cannot be used; the message gives the reason.
            FramingError: the background is unknown, or cannot be replaced without the segmenter.
            StyleError: the emotion is unknown, the intensity out of range, or the checkpoints have no emotion input.
            ControlError: a reference or the driving frames do not fit the motion.
        """
        if liveliness is not None:
            warnings.warn("liveliness is now PerformanceConfig.sampling_weight", DeprecationWarning, stacklevel=2)
            performance = replace(performance, sampling_weight=liveliness)
        style = style.with_emotion(emotion, intensity)
        seconds: dict[str, float] = {}
        on_progress("reading", 0, None)
        with timed(seconds, "load"):
            samples = load_audio(audio)
        framed = self.frame(image, framing, size, face, background, keep_expression, seconds, on_progress)
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
                on_frame=lambda done, total: on_progress("motion", done, total),
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
        emotion: Emotion | None = None,
        intensity: float | None = None,
        on_progress: OnProgress = unheard,
        **options: Unpack[MotionOptions],
    ) -> DubbedVideo:
        """Give a video of a speaker the lips and the expression of another voice; see :mod:`emotalker.inference.dubbing`.

        Args:
            audio: the voice, as for :meth:`generate`.
            video: a file with one clearly visible face.
            ending: what follows its last frame if the voice is longer.
            expression: weight of the new voice's brows, cheeks and smile.
            control: replaces parts of the motion. The video keeps its pose.
            emotion, intensity, on_progress: as for :meth:`generate`.
            options: as for :meth:`generate`; see :class:`MotionOptions`.

        Raises:
            AudioError, VideoError, FaceNotFoundError, StyleError: the input cannot be used.
        """
        from emotalker.inference.dubbing import dub  # the tracker's parts take half a second to import

        options["style"] = options.get("style", DEFAULT_STYLE).with_emotion(emotion, intensity)
        on_progress("reading", 0, None)
        samples, rest = load_audio(audio), np.zeros(self.generator.space.dim, np.float32)
        motion = self.generator.generate(
            samples, rest, **options, on_frame=lambda done, total: on_progress("motion", done, total)
        )
        motion = replace(motion, coefficients=control.apply(motion.coefficients, motion.space))
        return dub(
            video,
            motion,
            self.landmarker,
            self.face_model,
            self.make_renderer,
            ending,
            expression,
            audio=samples,
            on_frame=lambda done: on_progress("faces", done, None),
        )

    def stream(
        self,
        image: ImageSource,
        *,
        sample_rate: int = SAMPLE_RATE,
        size: int = 512,
        keep_expression: float = 0.0,
        emotion: Emotion | None = None,
        intensity: float | None = None,
        **options: Unpack[StreamOptions],
    ) -> TalkingStream:
        """Prepare a portrait to talk while the voice arrives.

        Args:
            image: as for :meth:`generate`.
            sample_rate: of the audio that will arrive, Hz; other rates than 16 kHz are resampled.
            size: width and height of the frames, pixels; even.
            keep_expression, emotion, intensity: as for :meth:`generate`.
            options: as for :meth:`generate`, and ``look_ahead``, seconds; see :class:`StreamOptions`.

        Raises:
            AudioError, ImageError, FaceNotFoundError, StyleError: as :meth:`generate`.
        """
        options["style"] = options.get("style", DEFAULT_STYLE).with_emotion(emotion, intensity)
        pixels, name = as_picture(image)
        portrait = Portrait.from_image(
            pixels, self.landmarker, self.face_model, size, name, keep_expression, segmenter=self.segmenter
        )
        motion = MotionStream(self.generator, portrait.reference(self.generator.space), **options)
        return TalkingStream(motion, self.make_renderer(portrait), portrait, sample_rate)
