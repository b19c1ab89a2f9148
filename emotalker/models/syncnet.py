"""SyncNet (Chung and Zisserman 2016, "Out of time: automated lip sync in the wild"), version 2: embeds 0.2 s of sound and
five frames of a face near each other if they belong together.

Its weights are not part of this project: ``syncnet_v2.model`` of the authors is a state dict with the names used here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DIM = 1024
FRAMES = 5  # of a window, at 25 fps
MFCC_FRAMES, MFCC_PER_FRAME, COEFFICIENTS = 20, 4, 13
SIZE = 224  # side of the face in pixels


def _audio_block(inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()]


def _lip_block(inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int, padding: int) -> list[nn.Module]:
    convolution = nn.Conv3d(inputs, outputs, kernel, stride=(1, stride, stride), padding=(0, padding, padding))
    return [convolution, nn.BatchNorm3d(outputs), nn.ReLU()]


def _head(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, dim))


class SyncNet(nn.Module):
    """Two streams with the names and layers of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_audio_block(1, 64), nn.MaxPool2d(1), *_audio_block(64, 192), nn.MaxPool2d(3, (1, 2)), *_audio_block(192, 384),
            *_audio_block(384, 256), *_audio_block(256, 256), nn.MaxPool2d(3, 2), *_audio_block(256, 512, (5, 4), 0),
        )  # fmt: skip
        self.netfcaud = _head(DIM)
        self.netfclip = _head(DIM)
        pool = ((1, 3, 3), (1, 2, 2))
        self.netcnnlip = nn.Sequential(
            *_lip_block(3, 96, (5, 7, 7), 2, 0), nn.MaxPool3d(*pool),
            *_lip_block(96, 256, (1, 5, 5), 2, 1), nn.MaxPool3d(*pool, padding=(0, 1, 1)),
            *_lip_block(256, 256, (1, 3, 3), 1, 1), *_lip_block(256, 256, (1, 3, 3), 1, 1),
            *_lip_block(256, 256, (1, 3, 3), 1, 1), nn.MaxPool3d(*pool), *_lip_block(256, 512, (1, 6, 6), 1, 0),
        )  # fmt: skip

    def embed_audio(self, mfcc: Tensor) -> Tensor:
        """``(B, 1, 13, 20)`` MFCC of 0.2 s to ``(B, 1024)``."""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))

    def embed_lips(self, frames: Tensor) -> Tensor:
        """``(B, 3, 5, 224, 224)`` faces in BGR, 0..255, to ``(B, 1024)``."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))

    @torch.inference_mode()
    def embed_clip(self, frames: Tensor, mfcc: Tensor, batch: int = 20) -> tuple[Tensor, Tensor]:
        """Embeddings of every window of five frames.

        Args:
            frames: ``(T, 224, 224, 3)`` uint8 RGB at 25 fps.
            mfcc: ``(13, M)`` at 100 Hz, see :func:`emotalker.audio.mfcc.mfcc`.
            batch: windows at a time.

        Returns:
            lips and sound, each ``(W, 1024)``.
        """
        windows = min(len(frames), mfcc.shape[1] // MFCC_PER_FRAME) - FRAMES
        lips, sound = [], []
        for start in range(0, max(windows, 0), batch):
            chosen = range(start, min(windows, start + batch))
            faces = torch.stack([frames[i : i + FRAMES] for i in chosen]).flip(-1).permute(0, 4, 1, 2, 3).float()
            parts = [mfcc[None, :, MFCC_PER_FRAME * i : MFCC_PER_FRAME * i + MFCC_FRAMES] for i in chosen]
            lips.append(self.embed_lips(faces))
            sound.append(self.embed_audio(torch.stack(parts).float()))
        empty = torch.zeros(0, DIM)
        return (torch.cat(lips), torch.cat(sound)) if lips else (empty, empty)
