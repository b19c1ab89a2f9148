"""Lip sync of motion as the sync judge measures it: SyncNet's distance, confidence and offset (docs/method.md 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.data.shards import Clip
from emotalker.evaluation.tables import markdown_table
from emotalker.models.hubert import AudioEncoder
from emotalker.models.sync import MAX_SHIFT
from emotalker.models.sync_judge import FEATURES_PER_FRAME, SyncJudge

OFFSET_CLIPS = 60  # on which a corpus' offset of sound and picture is measured


@dataclass(frozen=True)
class SyncScore:
    """Attributes:
    distances: ``(2 MAX_SHIFT + 1,)`` mean distance of lips and sound, the sound shifted by -MAX_SHIFT .. MAX_SHIFT frames.
    """

    distances: np.ndarray

    @property
    def distance(self) -> float:
        """LSE-D: the smallest distance; between 0 and 2, on the judge's own scale."""
        return float(self.distances.min())

    @property
    def confidence(self) -> float:
        """LSE-C: median distance less the smallest."""
        return float(np.median(self.distances) - self.distances.min())

    @property
    def confidence_in_sync(self) -> float:
        """Median distance less the distance at offset 0; negative where most other offsets fit better."""
        return float(np.median(self.distances) - self.distances[MAX_SHIFT])

    @property
    def offset(self) -> int:
        """The shift of the smallest distance in frames: positive where the lips are ahead of their sound."""
        return int(self.distances.argmin()) - MAX_SHIFT


class SyncMeter:
    """Scores clips.

    Args:
        judge: in evaluation mode.
        encoder: of the speech features that the judge was trained on.
    """

    def __init__(self, judge: SyncJudge, encoder: AudioEncoder):
        self.judge, self.encoder = judge, encoder

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray, motion: np.ndarray, origin: int = 0) -> SyncScore:
        """Score sound ``(N,)`` at 16 kHz and motion ``(T, D)`` in the judge's space.

        The first and the last frame of sound are repeated beyond the ends, so that all frames count at every shift.

        Args:
            origin: shift in frames that counts as offset 0, see :func:`corpus_offset`.
        """
        frames, judge = len(motion), self.judge
        sound = judge.embed_audio(judge.standardize_audio(self._features(audio, frames)))[0]
        entries = torch.from_numpy(np.ascontiguousarray(motion[:, judge.space.lip], np.float32))[None]
        lips = judge.embed_lips(judge.standardize_lips(entries))[0]
        partner = torch.arange(frames) + torch.arange(-MAX_SHIFT, MAX_SHIFT + 1)[:, None] + origin
        distances = (lips - sound[partner.clamp(0, frames - 1)]).norm(dim=-1).mean(1)
        return SyncScore(distances.numpy())

    def _features(self, audio: np.ndarray, frames: int) -> Tensor:
        """``(1, 2 frames, audio_dim)``; the last one is repeated where the sound is shorter than the motion."""
        wave = torch.from_numpy(np.ascontiguousarray(audio, np.float32))[None]
        features = self.encoder.encode_long(wave)[:, : FEATURES_PER_FRAME * frames]
        missing = FEATURES_PER_FRAME * frames - features.shape[1]
        return F.pad(features.transpose(1, 2), (0, missing), mode="replicate").transpose(1, 2)


def corpus_offset(meter: SyncMeter, clips: Sequence[Clip]) -> int:
    """Offset of sound and picture in a corpus: the median over real pairs, in frames.

    Recordings and trackers of different corpora are offset by a frame or two against each other. As in SyncNet's evaluation
    this constant is removed before offsets are compared.

    Args:
        clips: of the validation split; at most OFFSET_CLIPS of them are scored.
    """
    chosen = [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, OFFSET_CLIPS).round().astype(int))]
    return int(np.median([meter(clip.audio, clip.motion).offset for clip in chosen]))


def sync_table(groups: dict[str, Iterable[SyncScore]]) -> str:
    """Distance, confidence, and how often the smallest distance is at offset 0 or within one frame of it, by group."""
    header = ["", "clips", "LSE-D", "LSE-C", "LSE-C at 0", "offset 0", "offset within 1", "mean abs. offset"]
    return markdown_table(header, [[name, *_summary(list(scores))] for name, scores in groups.items()])


def _summary(scores: Sequence[SyncScore]) -> list[str | float]:
    offsets = np.abs([score.offset for score in scores])
    names = ("distance", "confidence", "confidence_in_sync")
    means = [float(np.mean([getattr(score, name) for score in scores])) for name in names]
    return [str(len(scores)), *means, f"{(offsets == 0).mean():.0%}", f"{(offsets <= 1).mean():.0%}", f"{offsets.mean():.2f}"]
