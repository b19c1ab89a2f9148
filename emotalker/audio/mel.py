"""The lip branch's log-mel spectrogram and its per-frame windows (docs/method.md 5, after Wav2Lip)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE = 16000
HOP_LENGTH = 200
MEL_RATE = SAMPLE_RATE // HOP_LENGTH  # 80 mel frames per second
NUM_MELS = 80
WINDOW_FRAMES = 16  # 0.2 s, the lip branch's input for one video frame


def hertz_to_mel(hertz: Tensor) -> Tensor:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz = 15 mel, logarithmic above. Any shape."""
    return torch.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * torch.log(hertz.clamp_min(1000) / 1000) / math.log(6.4))


def mel_to_hertz(mel: Tensor) -> Tensor:
    """The inverse of :func:`hertz_to_mel`. Any shape."""
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int, low: float, high: float) -> Tensor:
    """Triangular filters of unit area in hertz (Slaney's normalisation), ``(n_mels, n_fft // 2 + 1)``."""
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    limits = hertz_to_mel(torch.tensor([low, high], dtype=torch.float64)).tolist()
    corners = mel_to_hertz(torch.linspace(*limits, n_mels + 2, dtype=torch.float64))
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = torch.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)).clamp_min(0)
    return (triangles * 2 / (right - left)).float()


class MelSpectrogram(nn.Module):
    """Waveform to normalised log-mel: pre-emphasis 0.97, magnitude STFT (n_fft and window 800, hop 200, centred, zeros beyond
    the ends), 80 Slaney mels in 55-7600 Hz, decibels over a reference of 20 dB, [-100, 0] dB mapped to [-4, 4] and clipped.

    Shapes: ``(B, N)`` at 16 kHz in [-1, 1] to ``(B, 80, 1 + N // 200)``. Source: docs/method.md 5, Wav2Lip.
    """

    n_fft = 800
    pre_emphasis = 0.97
    reference_db = 20.0
    min_db = -100.0
    max_value = 4.0
    chunk_frames = 4800  # mel frames per chunk: one minute

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        filters = mel_filterbank(SAMPLE_RATE, self.n_fft, NUM_MELS, 55.0, 7600.0)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        emphasised = wav - self.pre_emphasis * F.pad(wav, (1, 0))[:, :-1]
        padded = F.pad(emphasised, (self.n_fft // 2, self.n_fft // 2))
        total = 1 + wav.shape[-1] // HOP_LENGTH
        # the spectrum is ten times larger than the mel spectrogram, so it is computed in chunks of bounded memory
        chunks = [(first, min(first + self.chunk_frames, total)) for first in range(0, total, self.chunk_frames)]
        return torch.cat(
            [self._log_mel(padded[:, a * HOP_LENGTH : (b - 1) * HOP_LENGTH + self.n_fft]) for a, b in chunks], -1
        )

    def _log_mel(self, padded: Tensor) -> Tensor:
        spectrum = torch.stft(padded, self.n_fft, HOP_LENGTH, window=self.window, center=False, return_complex=True)
        decibels = 20 * torch.log10((self.filters @ spectrum.abs()).clamp_min(10 ** (self.min_db / 20))) - self.reference_db
        scaled = 2 * self.max_value * (decibels - self.min_db) / -self.min_db - self.max_value
        return scaled.clamp(-self.max_value, self.max_value)


def lip_windows(mel: Tensor, num_frames: int, fps: int = 25, first: int = 0, first_mel: int = 0) -> Tensor:
    """Mel window of each video frame i: mel frames ``[int(80 (i - 2) / fps), +16)``, -80..+120 ms at 25 fps.

    Windows that extend beyond an end repeat the mel frame at that end (docs/method.md 5).

    Args:
        mel: ``(B, 80, T)``.
        num_frames: number of video frames.
        fps: of the video.
        first: first video frame, counted from the start of the recording.
        first_mel: first mel frame that ``mel`` contains.

    Returns:
        ``(B, num_frames, 80, 16)``.
    """
    frames = first + torch.arange(num_frames, device=mel.device)
    start = torch.div(MEL_RATE * (frames - 2), fps, rounding_mode="trunc")
    index = start[:, None] + torch.arange(WINDOW_FRAMES, device=mel.device) - first_mel
    return mel[:, :, index.clamp(0, mel.shape[-1] - 1)].transpose(1, 2)
