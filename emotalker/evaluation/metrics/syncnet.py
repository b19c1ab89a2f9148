"""LSE-D and LSE-C (Prajwal et al. 2020): distance and confidence of SyncNet v2, whose weights the user gives."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.nn import functional as F

from emotalker.audio.mfcc import mfcc
from emotalker.core.errors import DataError
from emotalker.face.crop import Crop
from emotalker.models.published_weights import load_published
from emotalker.models.syncnet import FRAMES, SIZE, SyncNet

#: Side of the face's square in longer sides of the landmarks' box. SyncNet's own pipeline cuts a detector's box enlarged by
#: 40 % on each side; scores of other crops differ.
CROP_SCALE = 1.6
SHIFT = 15  # frames


class SyncNetMeter:
    """Scores videos.

    Args:
        path: ``syncnet_v2.model``.

    Raises:
        CheckpointError: the file is missing or not SyncNet's.
    """

    def __init__(self, path: str | os.PathLike):
        self.network = load_published(SyncNet(), path)

    def __call__(self, frames: np.ndarray, points: np.ndarray, audio: np.ndarray) -> tuple[float, float]:
        """LSE-D and LSE-C.

        Args:
            frames: ``(T, H, W, 3)`` uint8 RGB at 25 fps.
            points: ``(T, 478, 2)`` landmarks; the crop is the mean over time of the face's square.
            audio: ``(N,)`` at 16 kHz.

        Raises:
            DataError: the clip is shorter than six frames.
        """
        known = points[np.isfinite(points).all((1, 2))]
        low, high = known.min(1).mean(0), known.max(1).mean(0)
        side = CROP_SCALE * float((high - low).max())
        x, y = (low + high) / 2 - side / 2
        crop = Crop(float(x), float(y), side, SIZE)
        faces = torch.from_numpy(np.stack([crop.take(frame) for frame in frames]))
        lips, sound = self.network.embed_clip(faces, torch.from_numpy(mfcc(audio).T))
        if not len(lips):
            raise DataError(f"SyncNet needs more than {FRAMES} frames with sound; leave this clip out")
        distances = shifted_distances(lips, sound)
        return float(distances.min()), float(distances.median() - distances.min())


def shifted_distances(lips: torch.Tensor, sound: torch.Tensor, shift: int = SHIFT) -> torch.Tensor:
    """Mean distance of lips ``(W, D)`` from sound ``(W, D)`` shifted by -shift .. shift windows: ``(2 shift + 1,)``.

    As in SyncNet's evaluation, sound beyond the ends is zero.
    """
    padded = F.pad(sound, (0, 0, shift, shift))
    return torch.stack([F.pairwise_distance(lips, padded[s : s + len(lips)]).mean() for s in range(2 * shift + 1)])
