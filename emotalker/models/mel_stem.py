"""A log-mel stem for HuBERT: what its waveform convolutions would have to learn first, given from the start.

Source: MelHuBERT (Lin et al. 2023) for HuBERT on mel spectrograms; Whisper (Radford et al. 2022) for this very stem.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.audio.mel import SAMPLE_RATE, mel_filterbank

WINDOW, HOP_LENGTH = 400, 160  # samples of a mel frame and between mel frames: 25 ms and 10 ms
NUM_MELS = 80
#: Root mean square that recordings of unit variance are brought to: that of ordinary speech in [-1, 1].
SPEECH_LEVEL = 0.06
FLOOR = -6.5  # smallest log10 power of a band, about 80 dB below the peaks of speech at that level


class LogMelStem(nn.Module):
    """Log-mel at 100 Hz, two convolutions down to 50 Hz, sinusoidal positions; takes the place of
    ``HubertModel.feature_extractor`` and keeps its geometry: 400 samples see the first frame, 320 more each other one.

    In training mode positions start at a random one, so that short crops teach all positions alike, and
    ``distort``, if set, is applied to the scaled log-mel ``(B, 80, T)``.

    Args:
        dim: channels.
        max_position: random starts end before this position; 1500 frames are 30 s.
    """

    def __init__(self, dim: int, max_position: int = 1500):
        super().__init__()
        self.conv1 = nn.Conv1d(NUM_MELS, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.max_position = max_position
        self.distort = None
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        filters = mel_filterbank(SAMPLE_RATE, WINDOW, NUM_MELS, 0.0, SAMPLE_RATE / 2)
        self.register_buffer("filters", filters, persistent=False)

    def log_mel(self, wav: Tensor) -> Tensor:
        """Whisper's log-mel, with a fixed floor in place of one below the recording's maximum, so that a frame does not
        depend on distant ones. Shapes: ``(B, N)`` of unit variance to ``(B, 80, 1 + (N - 400) // 160)``."""
        frames = (wav * SPEECH_LEVEL).unfold(-1, WINDOW, HOP_LENGTH) * self.window
        with torch.autocast(wav.device.type, enabled=False):
            power = torch.fft.rfft(frames).abs().square() @ self.filters.T
        return ((power.clamp_min(1e-10).log10().clamp_min(FLOOR) + 4) / 4).transpose(1, 2)

    def forward(self, wav: Tensor) -> Tensor:
        """Shapes: ``(B, 320 T + 80)`` of unit variance to ``(B, dim, T)``."""
        mel = self.log_mel(wav)
        if self.training and self.distort is not None:
            mel = self.distort(mel)
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(mel))))
        batch, dim, frames = hidden.shape
        start = torch.zeros(batch, 1, device=wav.device)
        if self.training:
            start = torch.randint(0, max(1, self.max_position - frames), (batch, 1), device=wav.device)
        position = start + torch.arange(frames, device=wav.device)
        return hidden + sinusoids(position, dim).transpose(1, 2)


def sinusoids(position: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of wavelengths 2 pi .. 20000 pi: ``(...)`` to ``(..., dim)``. Source: Whisper, section 2.2."""
    scale = torch.exp(-math.log(10000) / (dim // 2 - 1) * torch.arange(dim // 2, device=position.device))
    angle = position[..., None] * scale
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
