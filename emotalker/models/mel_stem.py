"""A log-mel stem that replaces HuBERT's waveform convolutions.

Source: MelHuBERT (Lin et al. 2023) for HuBERT on mel spectrograms; Whisper (Radford et al. 2022) for this stem.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.audio.mel import SAMPLE_RATE, mel_filterbank

WINDOW, HOP_LENGTH = 400, 160  # samples of a mel frame and between mel frames: 25 ms and 10 ms
NUM_MELS = 80
#: Root mean square to which recordings of unit variance are scaled: typical of speech in [-1, 1].
SPEECH_LEVEL = 0.06
FLOOR = -6.5  # minimum log10 power of a band, about 80 dB below speech peaks at that level


class LogMelStem(nn.Module):
    """Log-mel at 100 Hz, two convolutions to 50 Hz, sinusoidal positional encoding. Replaces
    ``HubertModel.feature_extractor`` with the same receptive field (400 samples) and hop (320 samples).

    In training mode the first position is random, so that short crops train all positions, and ``distort``, if set, is
    applied to the scaled log-mel ``(B, 80, T)``.

    Args:
        dim: channels.
        max_position: upper bound of positions in training; 1500 frames are 30 s.
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
        """Whisper's log-mel, with a fixed floor instead of one relative to the recording's maximum, so that a frame does
        not depend on distant frames. Shapes: ``(B, N)`` of unit variance to ``(B, 80, 1 + (N - 400) // 160)``."""
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
    """Sinusoidal encoding (Whisper, section 2.2): sines, then cosines, of wavelengths 2 pi .. 20000 pi; ``(...)`` to
    ``(..., dim)``."""
    scale = torch.exp(-math.log(10000) / (dim // 2 - 1) * torch.arange(dim // 2, device=position.device))
    angle = position[..., None] * scale
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
