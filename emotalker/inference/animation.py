"""Animating a portrait with a motion: framing, rendering, encoding."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.coefficients import MotionTrack
from emotalker.coefficients.resample import change_frame_rate, frames_at
from emotalker.core.errors import CheckpointError
from emotalker.core.progress import OnProgress, unheard
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.matte import PersonSegmenter
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.inference.control import NO_CONTROL, Control
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.framing import CROP_SIZE, Background, Framing, fit_picture
from emotalker.inference.generator import GeneratedMotion
from emotalker.render.base import PlanarRenderer, Renderer, RendererFactory, warp_renderer
from emotalker.video.alpha import AlphaVideoWriter
from emotalker.video.image import Picture, as_picture
from emotalker.video.notebook import NotebookVideo
from emotalker.video.provenance import SYNTHETIC
from emotalker.video.writer import VideoWriter

if TYPE_CHECKING:
    from emotalker.render.mesh_renderer import Head, MeshBackend

AudioSource = str | os.PathLike | tuple[np.ndarray, int]
ImageSource = str | os.PathLike | np.ndarray | Picture


@dataclass(repr=False)
class TalkingVideo(NotebookVideo):
    """A talking portrait: the motion is predicted, frames are rendered when they are iterated over. Notebooks show it as a
    player.

    Attributes:
        motion: the coefficients of every frame.
        audio: ``(N,)`` float32 at 16 kHz; its duration differs from the video's by less than one frame. None for
            a silent video.
        framing: the portrait of the person, and what surrounds it in the video.
        make_renderer: makes the renderer of the portrait.
        fps: frames per second of the video; the motion keeps its own rate.
        seconds: wall time of each stage so far.
    """

    motion: MotionTrack
    audio: np.ndarray | None
    framing: Framing
    make_renderer: RendererFactory
    fps: int
    seconds: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return frames_at(len(self.motion.coefficients), self.motion.space.fps, self.fps)

    def __repr__(self) -> str:
        width, height = self.framing.size
        return f"<TalkingVideo: {len(self)} frames of {width} x {height} pixels at {self.fps} frames/s>"

    @property
    def notebook_suffix(self) -> str:
        """Of the file that a notebook shows."""
        return ".webm" if self.framing.transparent else ".mp4"

    @property
    def portrait(self) -> Portrait:
        """Crop, landmarks and fit of the person."""
        return self.framing.portrait

    @property
    def emotion(self) -> EmotionTrack | None:
        """The emotion that a generated motion shows, heard or requested, before intensity; None for other motions."""
        return self.motion.emotion if isinstance(self.motion, GeneratedMotion) else None

    def as_mesh(self, head: Head, backend: MeshBackend = "auto") -> TalkingVideo:
        """The same motion on a head model instead of the photo, in a square of the portrait's size; ``backend`` as of
        :class:`~emotalker.render.mesh_renderer.MeshRenderer`."""
        from emotalker.render.mesh_renderer import MeshRenderer

        portrait = replace(self.portrait, matte=None, whole_matte=None, backdrop=None, transparent=False)
        return replace(
            self, framing=Framing(portrait), make_renderer=lambda p: MeshRenderer(head, p.size, backend), seconds={}
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames ``(H, W, 3)`` uint8 RGB, with a transparent background ``(H, W, 4)`` RGBA, rendered one at a time, so that
        memory does not grow with length."""
        with timed(self.seconds, "prepare"):
            renderer = self.make_renderer(self.portrait)
        motion = change_frame_rate(self.motion.coefficients, self.motion.space, self.fps)
        for frame in renderer.render(motion):
            yield self.framing.place(frame)

    def save(
        self, path: str | os.PathLike, on_frame: Callable[[int, int], None] | None = None, *, mark: str | None = None
    ) -> Path:
        """Write H.264 and AAC, with a transparent background ProRes 4444 (.mov) or VP9 (.webm), tagged as synthetic.

        Args:
            path: file to write.
            on_frame: called with the frames done and all frames after every frame. An exception that it raises, such as
                :class:`~emotalker.core.errors.Cancelled`, ends the work.
            mark: text that is visible in every frame, for example "AI generated".

        Raises:
            OutputError: the file cannot be written. After this and any other exception, an existing file is kept and no
                unfinished one stays.
            ValueError: the mark is no printable ASCII text.
        """
        make_writer = AlphaVideoWriter if self.framing.transparent else VideoWriter
        started, prepared = time.perf_counter(), self.seconds.get("prepare", 0.0)
        options = {"metadata": SYNTHETIC, "mark": mark}
        with make_writer(path, *self.framing.size, self.fps, self.audio, SAMPLE_RATE, **options) as writer:
            with timed(self.seconds, "prepare"):
                renderer = self.make_renderer(self.portrait)
            for done, _ in enumerate(self._write(renderer, writer), start=1):
                if on_frame:
                    on_frame(done, len(self))
        preparation = self.seconds["prepare"] - prepared
        self.seconds["render and encode"] = time.perf_counter() - started - preparation
        return Path(path)

    def _write(self, renderer: Renderer, writer: VideoWriter) -> Iterator[None]:
        """Render and write all frames, in the encoder's own format where the renderer draws it; yields after each."""
        from emotalker.render.compositor import planar_yuv  # imported here, because numba takes a fifth of a second

        motion = change_frame_rate(self.motion.coefficients, self.motion.space, self.fps)
        if self.framing.transparent or not isinstance(renderer, PlanarRenderer):
            for frame in renderer.render(motion):
                yield writer.write(self.framing.place(frame))
            return
        whole = None if self.framing.still is None else planar_yuv(self.framing.still)
        for frame in renderer.render_planar(motion):
            if whole is not None:
                self.framing.place_planar(frame, whole)
            yield writer.write_planar(frame if whole is None else whole)

    def summary(self, path: str | os.PathLike) -> str:
        """One line: output path, number of frames, duration and the wall time of each stage."""
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())
        return f"wrote {path}: {len(self)} frames, {len(self) / self.fps:.1f} s of video ({stages})"


class Animator:
    """Animates portraits with given motions.

    >>> Animator.from_pretrained().animate(MotionTrack.load("m.csv"), "person.jpg", "voice.wav").save("edited.mp4")

    Args:
        landmarker, face_model: face detection and fit in portraits.
        make_renderer: makes the renderer of one portrait.
        segmenter: separates the person from the background; without it, the background near the head moves with the head and
            cannot be replaced.
    """

    def __init__(
        self,
        landmarker: FaceLandmarker,
        face_model: FaceModel,
        make_renderer: RendererFactory = warp_renderer,
        segmenter: PersonSegmenter | None = None,
    ):
        self.landmarker, self.face_model = landmarker, face_model
        self.make_renderer, self.segmenter = make_renderer, segmenter

    @classmethod
    def from_pretrained(cls, *, landmarker: str | os.PathLike | None = None) -> Animator:
        """Load the models that find and separate people; CheckpointError if the landmarker's file cannot be had."""
        return cls(FaceLandmarker(landmarker), FaceModel.load(), segmenter=find_segmenter())

    def animate(
        self,
        motion: MotionTrack,
        image: ImageSource,
        audio: AudioSource | None = None,
        *,
        framing: Literal["crop", "full"] = "crop",
        size: int | None = None,
        fps: int | None = None,
        face: int | None = None,
        background: Background | str | os.PathLike | None = None,
        keep_expression: float = 0.0,
        control: Control = NO_CONTROL,
        on_progress: OnProgress = unheard,
    ) -> TalkingVideo:
        """Prepare a portrait for a motion; frames are rendered when the result is iterated over or saved.

        Args:
            motion: without missing frames.
            image: a file, ``(H, W, 3)`` uint8 RGB, or a :class:`~emotalker.video.image.Picture`.
            audio: of the video; None for a silent one.
            framing: "crop" shows head and shoulders in a square, "full" the whole picture, in which the person moves.
            size: width and height of the square (default: 512), or longer side of the whole picture (default: its own, up to
                3840 x 2160 pixels); even.
            fps: frames per second; the motion is interpolated (default: the motion's rate, 25).
            face: which one, counted from 1 at the left of the picture (default: the largest).
            background: replaces the picture's own: see :meth:`emotalker.inference.framing.Background.parse`.
            keep_expression: share of the picture's own expression that the face at rest keeps, 0..1. At 0, a smile falls and
                an open mouth closes before the face performs.
            control: replaces parts of the motion.
            on_progress: called before each stage, see :data:`~emotalker.core.progress.OnProgress`; may raise
                :class:`~emotalker.core.errors.Cancelled`.

        Raises:
            AudioError, ImageError, FaceNotFoundError: the input cannot be used; the message gives the reason.
            FramingError: the background is unknown, or cannot be replaced without the segmenter.
            ControlError: a reference does not fit the motion.
        """
        seconds: dict[str, float] = {}
        on_progress("reading", 0, None)
        with timed(seconds, "load"):
            samples = None if audio is None else load_audio(audio)
        framed = self.frame(image, framing, size, face, background, keep_expression, seconds, on_progress)
        controlled = replace(motion, coefficients=control.apply(motion.coefficients, motion.space))
        return TalkingVideo(controlled, samples, framed, self.make_renderer, fps or motion.space.fps, seconds)

    def frame(
        self,
        image: ImageSource,
        framing: Literal["crop", "full"],
        size: int | None,
        face: int | None,
        background: Background | str | os.PathLike | None,
        keep_expression: float,
        seconds: dict[str, float],
        on_progress: OnProgress = unheard,
    ) -> Framing:
        """The portrait of a picture and what surrounds it; as for :meth:`animate`. Times are added to ``seconds``."""
        with timed(seconds, "load"):
            pixels, name = as_picture(image)
            if background is not None and not isinstance(background, Background):
                background = Background.parse(background)
        on_progress("portrait", 0, None)
        with timed(seconds, "portrait"):
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
            if self.segmenter and portrait.matte is None:
                warnings.warn(
                    f"the person in {name} was not told apart from the background, which moves with the head", stacklevel=3
                )
            return Framing.of(portrait, whole, background)


def find_segmenter() -> PersonSegmenter | None:
    """The segmenter; None with a warning if its file cannot be had."""
    try:
        return PersonSegmenter()
    except CheckpointError as error:
        warnings.warn(f"{error}; until then the background near the head moves with it", stacklevel=3)
        return None


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the block's wall time to ``seconds[stage]``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
