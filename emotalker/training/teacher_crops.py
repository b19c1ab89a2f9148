"""Training examples of the audio encoder: augmented crops of recordings with the teacher's hidden states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from emotalker.audio.io import SAMPLE_RATE
from emotalker.coefficients.resample import change_speed
from emotalker.data.recordings import CORPORA, Recording
from emotalker.models.hubert import HOP_LENGTH
from emotalker.training.augment import SpeechAugmentation, random_speed, resample_wave
from emotalker.training.sampling import Key


class TeacherCrops(Dataset):
    """Crops of recordings with the teacher's states: ``wave (N,)``, ``targets (layers, N / 320, dim)``, ``valid (N / 320,)``
    (false beyond the recording's end) and ``emotion ()``. A long recording is listed once per crop length it contains.

    Args:
        recordings: to crop.
        seconds: length of a crop, a multiple of 0.04.
        augmentation: None takes the middle of the recording without changes.
        speeds: slowest and fastest speed factor, with augmentation.
        copies: how often a recording with an emotion label is listed.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        seconds: float,
        augmentation: SpeechAugmentation | None,
        speeds: tuple[float, float] = (0.85, 1.2),
        copies: int = 1,
    ):
        self.frames = round(seconds * SAMPLE_RATE / HOP_LENGTH)
        self.augmentation, self.speeds = augmentation, speeds
        self.items = []
        for recording in recordings:
            length = self.frames * HOP_LENGTH
            times = copies if recording.emotion >= 0 else max(1, round(len(recording.samples) / length))
            self.items += [recording] * times

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> dict:
        rng, recording = key.rng(), self.items[key.index]
        speed = random_speed(rng, *self.speeds) if self.augmentation else 1.0
        length = int(np.ceil(self.frames * speed))
        first, last = 0, len(recording.samples) // HOP_LENGTH
        if CORPORA[recording.corpus].sentence:
            start, stop = (sample // HOP_LENGTH for sample in recording.speech)
            pauses = rng.random(2) if self.augmentation else np.ones(2)  # users' recordings have pauses of any length
            first, last = round(start * (1 - pauses[0])), round(stop + (last - stop) * pauses[1])
        slack = max(0, last - first - length)
        start = first + (int(rng.integers(0, slack + 1)) if self.augmentation else slack // 2)
        crop = recording.samples[start * HOP_LENGTH : (start + length) * HOP_LENGTH].astype(np.float32) / 32768
        wave = resample_wave(crop, speed)[: self.frames * HOP_LENGTH]
        valid = np.arange(self.frames) < len(wave) // HOP_LENGTH
        wave = np.pad(wave, (0, self.frames * HOP_LENGTH - len(wave)))
        if self.augmentation:
            wave = self.augmentation(wave, rng)
        return {
            "wave": wave,
            "targets": change_speed(recording.targets[:, start : start + length].float().numpy(), speed, self.frames, axis=1),
            "valid": valid,
            "emotion": recording.emotion,
        }


def distort_mel(mel: Tensor, warp: float = 0.12, shift: float = 0.1, bands: int = 10, steps: int = 12) -> Tensor:
    """Another vocal tract length, another level and SpecAugment's masks (Park et al. 2019) for each of ``(B, M, T)``.

    Args:
        warp: largest relative scaling of the frequency axis, either way.
        shift: largest shift of all bands; in Whisper's scale 0.25 is 10 dB.
        bands, steps: widest mask; masked values become the recording's mean.
    """
    batch, height, width = mel.shape
    device = mel.device
    factor = 1 + warp * (2 * torch.rand(batch, 1, device=device) - 1)
    source = (torch.arange(height, device=device) / factor).clamp(0, height - 1)
    before = source.long().clamp_max(height - 2)
    weight = (source - before)[:, :, None]
    low = mel.gather(1, before[:, :, None].expand(-1, -1, width))
    high = mel.gather(1, (before + 1)[:, :, None].expand(-1, -1, width))
    mel = torch.lerp(low, high, weight) + shift * (2 * torch.rand(batch, 1, 1, device=device) - 1)
    masked = _span(batch, height, bands, device)[:, :, None] | _span(batch, width, steps, device)[:, None, :]
    return torch.where(masked, mel.mean((1, 2), keepdim=True), mel)


def _span(batch: int, length: int, widest: int, device: torch.device) -> Tensor:
    """One random span of up to ``widest`` places in each row: ``(batch, length)`` bool."""
    width = torch.randint(0, widest + 1, (batch, 1), device=device)
    start = torch.randint(0, max(1, length - widest), (batch, 1), device=device)
    place = torch.arange(length, device=device)
    return (place >= start) & (place < start + width)
