"""Dubbing: a video of a speaker keeps its frames and its head motion; lips and expression become those of another voice.

Each frame is warped in a window around the face as the portrait of its own moment (docs/method.md 11). Nothing outside the
window, and nothing inside it that does not move, changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d

from emotalker.audio.io import SAMPLE_RATE
from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import FaceNotFoundError
from emotalker.face.fit import FaceFit, fit_sequence
from emotalker.face.geometry import Camera
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.face.resting import ADDED
from emotalker.render.base import RendererFactory
from emotalker.tracking.shots import CutDetector, is_jump
from emotalker.video.notebook import NotebookVideo
from emotalker.video.provenance import SYNTHETIC
from emotalker.video.random_access import VideoFrames, ping_pong
from emotalker.video.writer import VideoWriter

Ending = Literal["ping-pong", "hold"]
#: Side of the window around the face, in heights of the landmarks' box.
_WINDOW = 1.7
#: Standard deviation of the filter on the landmarks over time, frames: their jitter would show as trembling lips.
_SMOOTHING = 0.7
#: Entries that stay those of the video: eyes that are closed or turned there cannot be opened or turned convincingly.
_KEPT = np.array([name.startswith("eye") for name in ARKIT.expression_names])
_LIPS = np.isin(np.arange(len(ARKIT.expression_names)), ARKIT.lip)


@dataclass
class Shot:
    """The face in the frames of one shot.

    Attributes:
        start: number of its first frame.
        low: ``(x, y)`` of the window's first pixel.
        side: of the window, pixels.
        fit: of all frames; NaN in frames without a face.
        rest: ``(52,)`` median of the fitted blendshapes.
    """

    start: int
    low: tuple[int, int]
    side: int
    fit: FaceFit
    rest: np.ndarray

    def portrait(self, frame: np.ndarray, number: int, model: FaceModel) -> Portrait | None:
        """The face of a frame ``(H, W, 3)`` in its window; None if there is none."""
        at = number - self.start
        if not np.isfinite(self.fit.blendshapes[at]).all():
            return None
        x, y = self.low
        per_frame = ("blendshapes", "angles", "translation", "landmarks_2d")
        single = {name: getattr(self.fit, name)[at : at + 1] for name in per_frame}
        window = np.ascontiguousarray(frame[y : y + self.side, x : x + self.side])
        landmarks = self.fit.landmarks_2d[at].astype(np.float64)
        return Portrait(window, landmarks, replace(self.fit, **single), model, keep_expression=1.0)


def find_faces(
    frames: VideoFrames, landmarker: FaceLandmarker, model: FaceModel, on_frame: Callable[[int], None] | None = None
) -> list[Shot]:
    """Shots of a video with the fitted face of every frame.

    Args:
        frames: of the video.
        landmarker, model: of faces.
        on_frame: called with the number of frames seen.

    Raises:
        FaceNotFoundError: no frame has a face.
        VideoError: the video cannot be decoded.
    """
    detect_cut, bounds, points, scores, size, last = CutDetector(), [0], [], [], (0, 0), None
    landmarker.reset()
    for number, frame in enumerate(frames):
        cut = detect_cut(frame)
        if cut:
            landmarker.reset()
        face, size = landmarker.track(frame), (frame.shape[1], frame.shape[0])
        jump = face is not None and last is not None and is_jump(last, face.points[:, :2])
        if cut or jump:
            bounds.append(number)
        last = None if face is None else face.points[:, :2]
        points.append(np.full((478, 2), np.nan) if face is None else face.points[:, :2])
        scores.append(np.full(52, np.nan) if face is None else face.scores)
        if on_frame:
            on_frame(number + 1)
    points, scores = np.array(points, np.float64), np.array(scores, np.float64)
    if not np.isfinite(points).any():
        raise FaceNotFoundError(f"no face found in {frames.path}; give a video with one clearly visible face")
    shots = []
    for start, stop in zip(bounds, [*bounds[1:], len(points)], strict=True):
        found = np.asarray(np.isfinite(points[start:stop]).all((1, 2)))
        if found.any():
            shots.append(_shot(start, points[start:stop], scores[start:stop], found, size, model))
    return shots


def _shot(
    start: int, points: np.ndarray, scores: np.ndarray, found: np.ndarray, size: tuple[int, int], model: FaceModel
) -> Shot:
    smooth = np.full_like(points, np.nan)
    smooth[found] = gaussian_filter1d(points[found], _SMOOTHING, axis=0, mode="nearest")
    low, high = smooth[found].min((0, 1)), smooth[found].max((0, 1))
    tallest = np.ptp(smooth[found], axis=1).max()
    side = min(int(max((high - low).max() + (_WINDOW - 1) * tallest, 64)), *size) // 2 * 2
    x, y = (int(np.clip((low[i] + high[i]) / 2 - side / 2, 0, size[i] - side)) for i in range(2))
    fit = fit_sequence(model, smooth - (x, y), Camera.default(side, side), scores)
    return Shot(start, (x, y), side, fit, np.nanmedian(fit.blendshapes, axis=0))


@dataclass(repr=False)
class DubbedVideo(NotebookVideo):
    """A dubbed video; frames are made when it is iterated over.

    Attributes:
        motion: the new voice's, of ARKIT at 25 fps.
        frames: the video's.
        shots: of :func:`find_faces`.
        model: the head model.
        make_renderer: makes the renderer of a frame's face.
        ending: what follows the video's last frame if the voice is longer: "ping-pong" runs backwards and forwards again,
            "hold" repeats it.
        audio: ``(N,)`` float32 at 16 kHz of the new voice; None for a silent video.
        numbers: ``(T,)`` the video's frame that is shown at each frame.
        expression: weight of the new voice's brows, cheeks and smile; 0 keeps the video's.
    """

    motion: MotionTrack
    frames: VideoFrames
    shots: list[Shot]
    model: FaceModel
    make_renderer: RendererFactory
    ending: Ending = "ping-pong"
    expression: float = 1.0
    audio: np.ndarray | None = None
    numbers: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        count, fps = len(self.motion.coefficients), self.motion.space.fps
        times = np.array(self.frames.times)
        # The source is played at 25 fps, each frame the nearest in time.
        last = times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 1 / fps)
        sampled = np.arange(max(1, round(last * fps))) / fps
        after = np.searchsorted(times, sampled).clip(0, len(times) - 1)
        before = np.maximum(after - 1, 0)
        timeline = np.where(np.abs(times[before] - sampled) < np.abs(times[after] - sampled), before, after)
        order = np.arange(count).clip(max=len(timeline) - 1)
        if self.ending == "ping-pong" and len(timeline) > 1:
            order = ping_pong(len(timeline), count)
        self.numbers = timeline[order]

    def __len__(self) -> int:
        return len(self.motion.coefficients)

    def __repr__(self) -> str:
        return f"<DubbedVideo: {len(self)} frames of {self.frames.path} at {self.fps} frames/s>"

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames ``(H, W, 3)`` uint8 RGB of the video's size."""
        for vector, number, frame in zip(self.motion.coefficients, self.numbers, self.frames.take(self.numbers), strict=True):
            yield self._dubbed(vector, int(number), frame)

    @property
    def fps(self) -> int:
        """Frames per second."""
        return self.motion.space.fps

    def save(
        self, path: str | os.PathLike, on_frame: Callable[[int, int], None] | None = None, *, mark: str | None = None
    ) -> Path:
        """Write H.264 and AAC, without an odd last row or column; arguments as of
        :meth:`emotalker.inference.animation.TalkingVideo.save`.

        Raises:
            OutputError: the file cannot be written; an existing file is kept.
            VideoError: the video cannot be decoded again.
        """
        frames = iter(self)
        first = next(frames)
        height, width = (side // 2 * 2 for side in first.shape[:2])
        options = {"metadata": SYNTHETIC, "mark": mark}
        with VideoWriter(path, width, height, self.fps, self.audio, SAMPLE_RATE, **options) as writer:
            for done, frame in enumerate(chain([first], frames), start=1):
                writer.write(frame[:height, :width])
                if on_frame:
                    on_frame(done, len(self))
        return Path(path)

    def summary(self, path: str | os.PathLike) -> str:
        """One line: output path, number of frames and duration."""
        return f"wrote {path}: {len(self)} frames, {len(self) / self.fps:.1f} s of dubbed video"

    def _dubbed(self, vector: np.ndarray, number: int, frame: np.ndarray) -> np.ndarray:
        shot = next((s for s in reversed(self.shots) if s.start <= number < s.start + len(s.fit.blendshapes)), None)
        portrait = None if shot is None else shot.portrait(frame, number, self.model)
        if shot is None or portrait is None:
            return frame
        shown = portrait.fit.blendshapes[0]
        generated = vector[ARKIT.expression]
        expressive = shot.rest + generated
        target = np.where(_LIPS & ~ADDED, generated, shown + self.expression * (expressive - shown)).clip(0, 1)
        target = np.where(_KEPT, shown, target)
        change = np.zeros(ARKIT.dim, np.float32)
        change[ARKIT.expression] = target - shown + portrait.removed
        portrait.only = change[ARKIT.expression]
        (window,) = self.make_renderer(portrait).render(change[None])
        x, y = shot.low
        dubbed = frame.copy()
        dubbed[y : y + shot.side, x : x + shot.side] = window
        return dubbed


def dub(
    video: str | os.PathLike,
    motion: MotionTrack,
    landmarker: FaceLandmarker,
    model: FaceModel,
    make_renderer: RendererFactory,
    ending: Ending = "ping-pong",
    expression: float = 1.0,
    audio: np.ndarray | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> DubbedVideo:
    """Give a video the lips and the expression of a motion; see :class:`DubbedVideo` and :func:`find_faces`."""
    frames = VideoFrames(video)
    shots = find_faces(frames, landmarker, model, on_frame)
    return DubbedVideo(motion, frames, shots, model, make_renderer, ending, expression, audio)
