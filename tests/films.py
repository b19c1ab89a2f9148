"""Shared by the tests of evaluation: small videos of a rendered face."""

from pathlib import Path

import numpy as np
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.video.writer import VideoWriter

RATE = 16000


def film(jaw: list[float], size: int) -> list[np.ndarray]:
    """Frames ``(size, size, 3)`` of the astronaut with an opening of the jaw in each."""
    motion = np.zeros((len(jaw), ARKIT.dim), np.float32)
    motion[:, ARKIT.index("jawOpen")] = jaw
    portrait = Portrait.from_image(data.astronaut(), FaceLandmarker(), FaceModel.load(), size)
    return list(WarpRenderer(portrait, shading=0).render(motion))


def write_film(path: Path, frames: list[np.ndarray], seconds: float | None = None, fps: int = 25) -> None:
    """Write a video, with noise as its sound where ``seconds`` are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    audio = None if seconds is None else (0.1 * rng.normal(0, 1, int(seconds * RATE))).astype(np.float32)
    with VideoWriter(path, frames[0].shape[1], frames[0].shape[0], fps, audio, RATE) as writer:
        for frame in frames:
            writer.write(frame)
