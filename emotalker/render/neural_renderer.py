"""Renderers with a trained network behind the same interface as the warp renderer (docs/method.md 11)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from emotalker.coefficients import ARKIT
from emotalker.core.checkpoint import load_checkpoint, shipped
from emotalker.core.errors import CheckpointError
from emotalker.face.portrait import Portrait
from emotalker.models.renderer import FaceRefiner, PortraitGenerator
from emotalker.render.base import RendererFactory
from emotalker.render.face_box import FaceBox, cut, spread
from emotalker.render.warp import sample
from emotalker.render.warp_renderer import WarpRenderer

#: File of a shipped network in the folder ``checkpoints/renderer``.
FILE = "renderer.safetensors"


class NeuralRenderer:
    """Renders one portrait with a trained network; see :class:`emotalker.render.base.Renderer`.

    A :class:`~emotalker.models.renderer.FaceRefiner` corrects the face in each frame of the warp renderer at the frame's own
    resolution: its flow and its changes of colour are scaled up. A :class:`~emotalker.models.renderer.PortraitGenerator`
    renders whole frames at its own resolution.

    Args:
        portrait: the picture and its fit.
        network: the trained network.
        make_warp: makes the warp renderer whose frames are refined.
    """

    def __init__(
        self,
        portrait: Portrait,
        network: FaceRefiner | PortraitGenerator,
        make_warp: RendererFactory = WarpRenderer,
    ):
        self.portrait, self.network = portrait, network
        self._device = network.mapping.standardizer.mean.device
        self._reach = network.config.window // 2
        self._warp = make_warp(portrait) if network.uses_warp else None
        self._box = FaceBox(portrait)
        size = network.config.size
        still = self._box(np.zeros(6))
        if network.uses_warp:
            source = cut(portrait.image, still, size)
        else:
            source = cv2.resize(portrait.image, (size, size), interpolation=cv2.INTER_AREA)
        self._source = self._tensor(source)

    def _tensor(self, picture: np.ndarray) -> Tensor:
        """``(S, S, 3)`` uint8 to ``(1, 3, S, S)`` in 0..1."""
        return torch.from_numpy(picture).to(self._device).permute(2, 0, 1)[None].float() / 255

    def render(self, motion: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Render motion ``(T, 58)``; see :meth:`emotalker.render.base.Renderer.render`.

        A frame is rendered when the motion of the following ``window // 2`` frames is known.
        """
        if self._warp is None:
            for window in windows(motion, self._reach):
                yield self._generate(window)
            return
        for_warp, for_windows = tee(motion)
        for window, frame in zip(windows(for_windows, self._reach), self._warp.render(for_warp), strict=True):
            yield self._refine(frame, window)

    @torch.inference_mode()
    def _generate(self, window: np.ndarray) -> np.ndarray:
        picture = self.network(self._source, None, torch.from_numpy(window).to(self._device)[None]).picture
        frame = (picture[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        size = self.portrait.size
        if len(frame) == size:
            return np.ascontiguousarray(frame)
        return cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC)

    @torch.inference_mode()
    def _refine(self, frame: np.ndarray, window: np.ndarray) -> np.ndarray:
        size = self.network.config.size
        box = self._box(window[self._reach, ARKIT.pose])
        crop = self._tensor(cut(frame, box, size))
        flow, edit = self.network.fields(self._source, crop, torch.from_numpy(window).to(self._device)[None])
        fields = torch.cat([flow * float(box[2] / size), edit * 255], 1)[0].permute(1, 2, 0).cpu().numpy()
        values, part = spread(np.ascontiguousarray(fields), box, frame.shape[:2])
        rows, columns = (np.arange(s.start, s.stop, dtype=np.float32) for s in part)
        grid = np.stack(np.meshgrid(columns, rows), -1)
        refined = frame.copy()
        moved = sample(frame, grid + values[..., :2])
        refined[part] = cv2.add(moved, np.ascontiguousarray(values[..., 2:]), dtype=cv2.CV_8U)
        return refined


def windows(motion: Iterable[np.ndarray], reach: int) -> Iterator[np.ndarray]:
    """For each frame ``(D,)`` the frames around it, ``(2 reach + 1, D)`` float32; the first and last are repeated beyond."""
    held: deque[np.ndarray] = deque(maxlen=2 * reach + 1)
    for row in motion:
        row = np.asarray(row, np.float32)
        if not held:
            held.extend([row] * reach)
        held.append(row)
        if len(held) == 2 * reach + 1:
            yield np.array(held)
    if not held:
        return
    missing = min(reach, len(held) - reach)  # frames whose future was not complete
    if len(held) < 2 * reach + 1:
        held.extend([held[-1]] * (2 * reach + 1 - len(held)))
        yield np.array(held)
        missing -= 1
    for _ in range(missing):
        held.append(held[-1])
        yield np.array(held)


def renderer_factory(
    name: Literal["warp", "neural"],
    checkpoint: str | os.PathLike | None = None,
    shading: float = 1.5,
    device: str | torch.device = "cpu",
) -> RendererFactory:
    """Makes the renderer of a portrait.

    Args:
        name: ``warp`` needs no trained network, ``neural`` one of :mod:`emotalker.models.renderer`.
        checkpoint: of ``neural``; by default the shipped one.
        shading: strength of the warp renderer's shading.
        device: where the network runs.

    Raises:
        CheckpointError: there is no checkpoint of a renderer.
    """
    warp = partial(WarpRenderer, shading=shading)
    if name == "warp":
        return warp
    return partial(NeuralRenderer, network=load_network(checkpoint, device), make_warp=warp)


def load_network(
    checkpoint: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> FaceRefiner | PortraitGenerator:
    """A trained network from its checkpoint, by default the shipped one; CheckpointError if there is none."""
    try:
        path = Path(checkpoint) if checkpoint else shipped("renderer") / FILE
    except CheckpointError as error:
        raise CheckpointError(
            "no neural renderer is shipped with this installation; train one with scripts/train_renderer.py and give its "
            "checkpoint with --renderer-checkpoint, or use --renderer warp"
        ) from error
    network = load_checkpoint(path, device=device)
    if not isinstance(network, FaceRefiner | PortraitGenerator):
        raise CheckpointError(f"{path} contains no renderer but a {type(network).__name__}; give a checkpoint of one")
    return network
