"""Lip sync as a sync expert hears and sees it (SyncNet's measures, docs/method.md 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emotalker.audio.mel import MelSpectrogram
from emotalker.evaluation.tables import markdown_table
from emotalker.models.sync import MAX_SHIFT, SyncExpert


@dataclass(frozen=True)
class SyncScore:
    """Attributes:
    distances: ``(2 MAX_SHIFT + 1,)`` mean distance of lips and sound, the sound shifted by -MAX_SHIFT .. MAX_SHIFT frames.
    """

    distances: np.ndarray

    @property
    def distance(self) -> float:
        """LSE-D: the least distance; between 0 and 2, on the expert's own scale."""
        return float(self.distances.min())

    @property
    def confidence(self) -> float:
        """LSE-C: how far the least distance lies below the median."""
        return float(np.median(self.distances) - self.distances.min())

    @property
    def offset(self) -> int:
        """The shift of the least distance in frames: positive where the lips are ahead of their sound."""
        return int(self.distances.argmin()) - MAX_SHIFT


class SyncMeter:
    """Scores clips.

    Args:
        expert: in evaluation mode.
    """

    def __init__(self, expert: SyncExpert):
        self.expert = expert
        self.mel = MelSpectrogram()

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray, motion: np.ndarray) -> SyncScore:
        """Score sound ``(N,)`` at 16 kHz and motion ``(T, D)`` in the expert's space.

        The first and the last sound stand for what lies beyond the ends, so that all frames count at every shift.
        """
        frames = len(motion)
        wave = torch.from_numpy(np.ascontiguousarray(audio, np.float32))[None]
        heard = self.expert.embed_audio(self.expert.windows(self.mel(wave), frames))[0]
        lips = torch.from_numpy(np.ascontiguousarray(motion[:, self.expert.space.lip], np.float32))[None]
        seen = self.expert.embed_lips(self.expert.standardize(lips))[0]
        partner = torch.arange(frames) + torch.arange(-MAX_SHIFT, MAX_SHIFT + 1)[:, None]
        distances = (seen - heard[partner.clamp(0, frames - 1)]).norm(dim=-1).mean(1)
        return SyncScore(distances.numpy())


def sync_table(groups: dict[str, Iterable[SyncScore]]) -> str:
    """LSE-D, confidence and how often the true pair ranks first among all shifts, by group."""
    header = ["", "clips", "LSE-D", "confidence", "offset 0", "offset within 1", "mean abs. offset"]
    return markdown_table(header, [[name, *_summary(list(scores))] for name, scores in groups.items()])


def _summary(scores: Sequence[SyncScore]) -> list[str | float]:
    offsets = np.abs([score.offset for score in scores])
    means = [float(np.mean([getattr(score, name) for score in scores])) for name in ("distance", "confidence")]
    return [str(len(scores)), *means, f"{(offsets == 0).mean():.0%}", f"{(offsets <= 1).mean():.0%}", f"{offsets.mean():.2f}"]
