"""Optional face restoration of rendered frames (docs/method.md 11): GFPGAN, with weights that the user provides."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from emotalker.coefficients import ARKIT
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.errors import CheckpointError, MissingExtraError
from emotalker.face.portrait import Portrait
from emotalker.face.topology import EYE_CORNERS
from emotalker.render.base import Renderer, RendererFactory

SIDE = 512  # of the aligned face that the network takes, pixels
#: Right eye, left eye (as seen: left, right), nose tip and the corners of the mouth in the aligned face: the means of FFHQ's
#: alignment, which GFPGAN was trained with.
ALIGNED = np.array([[193.0, 240.0], [318.9, 240.2], [256.6, 314.0], [201.3, 371.4], [313.1, 371.2]])
NOSE_TIP, MOUTH_CORNERS = 1, (61, 291)
#: Width of the soft border of the restored face, relative to the aligned face.
BORDER = 0.12

#: Restores an aligned face ``(512, 512, 3)`` uint8 RGB.
Restore = Callable[[np.ndarray], np.ndarray]


class Gfpgan:
    """Restores aligned faces with GFPGAN (Wang et al. 2021) through the ``spandrel`` package.

    Args:
        weights: ``GFPGANv1.4.pth`` or another version in the "clean" architecture.
        device: torch device; a frame takes seconds on a CPU.

    Raises:
        CheckpointError: the file is missing or is no GFPGAN.
        MissingExtraError: spandrel is not installed.
    """

    def __init__(self, weights: str | os.PathLike, device: str | torch.device = "cpu"):
        try:
            from spandrel import ModelLoader
        except ImportError as error:
            raise MissingExtraError("--enhancer gfpgan needs an extra package: pip install 'emotalker[enhancer]'") from error
        if not Path(weights).is_file():
            raise CheckpointError(
                f"{weights}, the weights of GFPGAN, is not a file; download GFPGANv1.4.pth from its authors' page, mind its "
                "licence, and give its path with --enhancer-weights"
            )
        try:
            loaded: Any = ModelLoader(device=device).load_from_file(str(weights))
        except Exception as error:  # spandrel raises several types, torch others
            raise CheckpointError(f"{weights} cannot be read as weights of GFPGAN ({error}); download it again") from error
        if loaded.architecture.id != "GFPGAN":
            raise CheckpointError(f"{weights} contains {loaded.architecture.id}, not GFPGAN; give GFPGANv1.4.pth")
        self._network, self._device = loaded.model.eval(), device

    @torch.inference_mode()
    def __call__(self, face: np.ndarray) -> np.ndarray:
        """Restore ``(512, 512, 3)`` uint8 RGB; the network's colours are in -1..1."""
        x = torch.from_numpy(np.ascontiguousarray(face)).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1
        y = self._network(x)[0]
        return ((y[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


class EnhancedRenderer:
    """Restores the face in every frame of another renderer; see :class:`emotalker.render.base.Renderer`.

    The face is aligned by five points of the fitted head in the frame's pose, restored, and blended back with a soft border.

    Args:
        portrait: the picture and its fit.
        make_renderer: makes the renderer whose frames are restored.
        restore: restores aligned faces.
    """

    def __init__(self, portrait: Portrait, make_renderer: RendererFactory, restore: Restore):
        self._renderer: Renderer = make_renderer(portrait)
        self._restore, self._camera = restore, portrait.fit.camera
        self._origin = portrait.fit.translation[0].astype(np.float64)
        self._points, self._rest = _five(portrait.surface_landmarks()), _five(portrait.landmarks)
        border = round(BORDER * SIDE)
        mask = np.zeros((SIDE, SIDE), np.float32)
        mask[border:-border, border:-border] = 1
        self._mask = cv2.GaussianBlur(mask, (0, 0), border / 3)

    def render(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render motion ``(T, 58)``; see :meth:`emotalker.render.base.Renderer.render`."""
        for_poses, for_frames = tee(motion)
        for row, frame in zip(for_poses, self._renderer.render(for_frames), strict=True):
            yield self.enhance(frame, np.asarray(row)[ARKIT.pose])

    def enhance(self, frame: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Restore the face in a frame ``(S, S, 3)`` uint8 of a relative pose ``(6,)``."""
        moved = (self._points - self._origin) @ rotation_matrix(pose[:3]).T + self._origin + pose[3:]
        points = self._rest + self._camera.project(moved) - self._camera.project(self._points)
        matrix = similarity_transform(points - 0.5, ALIGNED - 0.5)  # pixel centres are at integers in OpenCV
        aligned = cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        restored = self._restore(aligned)
        size, inverse = frame.shape[1::-1], cv2.WARP_INVERSE_MAP
        mask = cv2.warpAffine(self._mask, matrix, size, flags=cv2.INTER_LINEAR | inverse)[..., None]
        back = cv2.warpAffine(restored, matrix, size, flags=cv2.INTER_AREA | inverse, borderMode=cv2.BORDER_REPLICATE)
        return np.round(frame + mask * (back.astype(np.float32) - frame)).clip(0, 255).astype(np.uint8)


def _five(points: np.ndarray) -> np.ndarray:
    """The points of ALIGNED from the 478 landmarks ``(478, K)``: ``(5, K)``."""
    outer_right, inner_right, inner_left, outer_left = points[EYE_CORNERS]
    eyes = [(outer_right + inner_right) / 2, (outer_left + inner_left) / 2]
    return np.stack([*eyes, points[NOSE_TIP], *points[list(MOUTH_CORNERS)]])


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares rotation, scale and shift ``(2, 3)`` from points ``(N, 2)`` to others (Umeyama 1991)."""
    a, b = (x[:, 0] + 1j * x[:, 1] for x in (source, target))
    turn = np.vdot(a - a.mean(), b - b.mean()) / np.vdot(a - a.mean(), a - a.mean()).real
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
