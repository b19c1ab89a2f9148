"""Self-reenactment of held-out clips: rendered frames against the real ones (docs/method.md 8)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from emotalker.data.face_videos import FaceVideo
from emotalker.data.reenactment import Reenactment, read_reenactment
from emotalker.evaluation.metrics.cpbd import cpbd
from emotalker.evaluation.metrics.landmark_distance import landmark_distances
from emotalker.evaluation.metrics.similarity import psnr, ssim
from emotalker.evaluation.tables import markdown_table
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.topology import FACE_OVAL, IBUG_68
from emotalker.render.base import Renderer, RendererFactory
from emotalker.video.image import save_image
from emotalker.video.sheet import frame_grid

#: Columns of :func:`compare`.
MEASURES = (
    "SSIM", "PSNR, dB", "SSIM, face", "PSNR, face, dB", "CPBD", "F-LMD", "M-LMD", "F-LMD, centred", "M-LMD, centred",
)  # fmt: skip


#: Further column: processor time of a rendered frame in milliseconds, all threads together.
TIME = "CPU ms"
SHEET_COLUMNS = 6  # frames of a clip in a sheet


def evaluate(
    videos: Iterable[FaceVideo],
    renderers: Mapping[str, RendererFactory],
    landmarker: FaceLandmarker,
    model: FaceModel,
    size: int = 256,
    frames: int | None = None,
    every: int = 1,
    sheets: Path | None = None,
) -> dict[str, dict[str, list[np.ndarray]]]:
    """Measures by corpus and renderer, one array for each clip: those of :func:`compare`, and :data:`TIME`.

    ``real`` is the real frames, of which only the sharpness is of interest, and ``still`` the first frame without motion.

    Args:
        size: side of the frames, pixels.
        frames: of each clip, at most.
        every: compare every n-th frame.
        sheets: folder for a picture of each clip: the real frames above those of each renderer.

    Raises:
        FaceNotFoundError, VideoError: a clip cannot be used.
    """
    results: dict[str, dict[str, list[np.ndarray]]] = {}
    for video in videos:
        clip = read_reenactment(video.path, landmarker, model, size, frames)
        made = {"real": rendered(clip, None, every)}
        made["still"] = np.repeat(clip.frames[:1], len(made["real"]), 0)
        seconds = dict.fromkeys(made, np.nan)
        for name, factory in renderers.items():
            renderer = factory(clip.portrait)
            started = time.process_time()
            made[name] = rendered(clip, renderer, every)
            seconds[name] = (time.process_time() - started) / len(clip)
        for name, images in made.items():
            values = np.append(compare(clip, images, landmarker, every), 1000 * seconds[name])
            results.setdefault(video.corpus.name, {}).setdefault(name, []).append(values)
        if sheets:
            columns = np.linspace(0, len(made["real"]) - 1, SHEET_COLUMNS).round().astype(int)
            save_image(
                sheets / f"{video.corpus.name}_{video.path.stem}.png",
                frame_grid([images[i] for images in made.values() for i in columns], SHEET_COLUMNS, size),
            )
    return results


def rendered(clip: Reenactment, renderer: Renderer | None, every: int) -> np.ndarray:
    """Every k-th frame after the first, ``(N, S, S, 3)`` uint8, rendered; the real ones without a renderer.

    The renderer is given every frame's motion, because a frame may depend on its neighbours.
    """
    chosen = compared(clip, every)
    if renderer is None:
        return clip.frames[chosen]
    kept = set(chosen.tolist())
    return np.array([frame for t, frame in enumerate(renderer.render(clip.motion)) if t in kept])


def compared(clip: Reenactment, every: int) -> np.ndarray:
    """Indices of every k-th frame, without the first, which the renderer is given."""
    return np.arange(min(every, len(clip) - 1), len(clip), every)


def compare(clip: Reenactment, frames: np.ndarray, landmarker: FaceLandmarker, every: int) -> np.ndarray:
    """Measures ``(len(MEASURES),)`` of frames ``(N, S, S, 3)``, from :func:`rendered` or real, against the real ones.

    The landmarks of both are the landmarker's, in pixels of the frame scaled to 256. The face is the box around the outline
    of the real face.

    Frames in which no face is found have no distances and are left out of their means.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    chosen = compared(clip, every)
    real, points = clip.frames[chosen], clip.landmarks[chosen]
    scale = 256 / real.shape[1]
    landmarker.reset()
    rows = []
    for frame, target, landmarks in zip(frames, real, points, strict=True):
        oval = landmarks[FACE_OVAL]
        low = np.clip(oval.min(0), 0, len(frame) - 16).astype(int)
        high = np.ceil(np.clip(oval.max(0), low + 16, len(frame))).astype(int)
        box = slice(low[1], high[1]), slice(low[0], high[0])
        face = landmarker.track(np.ascontiguousarray(frame))
        distances = np.full((2, 2), np.nan)
        if face is not None:
            found = face.points[IBUG_68, :2]
            distances = landmark_distances(scale * found[None], scale * landmarks[None, IBUG_68])
        rows.append([*similarity(frame, target), *similarity(frame[box], target[box]), cpbd(frame), *distances.ravel()])
    landmarker.reset()
    return np.array([_mean(column) for column in np.transpose(rows)])


def similarity(frame: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """SSIM with its border and PSNR in dB of two pictures ``(H, W, 3)`` uint8."""
    return ssim(frame, target, border=True), psnr(frame, target)


def reenactment_table(results: Mapping[str, Mapping[str, Sequence[np.ndarray]]]) -> str:
    """Means over clips, from the result of :func:`evaluate`."""
    rows, titles = [], [*MEASURES, TIME]
    for corpus, renderers in results.items():
        for name, values in renderers.items():
            mean = np.array([_mean(column) for column in np.transpose(values)])
            if name == "real":  # identical to itself but for sharpness
                mean = np.where(np.array(titles) == "CPBD", mean, np.nan)
            rows.append([f"{corpus}, {name}", *map(float, mean)])
    return markdown_table(["", *titles], rows)


def _mean(values: np.ndarray) -> float:
    """Mean of the finite ones of ``(N,)``, NaN if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
