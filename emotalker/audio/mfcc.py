"""Mel-frequency cepstral coefficients as SyncNet was trained on: HTK's mel scale, 13 coefficients at 100 Hz."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

SAMPLE_RATE = 16000
WINDOW, HOP, N_FFT = 400, 160, 512  # 25 ms, 10 ms
FILTERS, COEFFICIENTS, LIFTER = 26, 13, 22
PRE_EMPHASIS = 0.97


def mfcc(samples: np.ndarray) -> np.ndarray:
    """``(N,)`` float32 in -1..1 at 16 kHz to ``(M, 13)``; the first coefficient is the log energy of the window.

    The settings and the scale of 16-bit integers are those of the package ``python_speech_features`` with its defaults, which
    SyncNet's evaluation uses: rectangular windows, pre-emphasis 0.97, 26 triangular filters in 0-8000 Hz, orthonormal cosine
    transform, lifter 22.
    """
    wave = np.round(samples.astype(np.float64) * 32768).clip(-32768, 32767)
    wave = np.append(wave[:1], wave[1:] - PRE_EMPHASIS * wave[:-1])
    count = 1 + max(0, -(-(len(wave) - WINDOW) // HOP))
    wave = np.pad(wave, (0, max(0, (count - 1) * HOP + WINDOW - len(wave))))
    windows = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP][:count]
    power = np.abs(np.fft.rfft(windows, N_FFT)) ** 2 / N_FFT
    tiny = np.finfo(float).eps
    energy = np.maximum(power.sum(1), tiny)
    filtered = np.maximum(power @ _filters().T, tiny)
    cepstrum = dct(np.log(filtered), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstrum *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstrum[:, 0] = np.log(energy)
    return cepstrum


def _filters() -> np.ndarray:
    """``(26, 257)`` triangles of height 1, equidistant on HTK's mel scale."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    bins = np.floor((N_FFT + 1) * hertz / SAMPLE_RATE)
    at = np.arange(N_FFT // 2 + 1)
    left, centre, right = bins[:-2, None], bins[1:-1, None], bins[2:, None]
    rising = (at - left) / np.maximum(centre - left, 1)
    falling = (right - at) / np.maximum(right - centre, 1)
    return np.where((at >= left) & (at < centre), rising, np.where((at >= centre) & (at < right), falling, 0.0))
