"""Prosody of speech frame by frame: pitch, voicing, energy and spectral balance, which emotion changes in all languages."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLE_RATE = 16000
HOP_LENGTH = 320  # samples between frames, as the audio encoder's
WINDOW, FFT = 640, 1024  # samples: 40 ms contain two periods of 50 Hz
LOWEST, HIGHEST = 65.0, 500.0  # pitch, Hz
#: Autocorrelation at the pitch period, relative to that at lag 0, from which a frame counts as voiced.
VOICED = 0.5
#: Frames this far below the loudest twentieth count as pauses, dB.
SILENCE_DB = 30.0
_BANDS = (0, 500, 1000, 2000, 4000, 7500)  # Hz
_SHORT_LAG = 5e-4  # cost of a lag in samples: of equally good multiples of the period the shortest is chosen
#: Columns of :func:`prosody`.
PITCH, VOICING, ENERGY, BALANCE = 0, 1, 2, slice(3, 8)
COLUMNS = 8


def prosody(wave: Tensor) -> Tensor:
    """Prosody of a recording at 50 Hz; the recording's level has no effect.

    Args:
        wave: ``(N,)`` at 16 kHz.

    Returns:
        ``(ceil(N / 640) * 2, 8)``: pitch in semitones above 100 Hz (meaningful in voiced frames only), autocorrelation at the
        pitch period (Boersma 1993), energy in dB relative to the recording, and the level differences of neighbouring bands
        (0-500, 500-1000, 1000-2000, 2000-4000, 4000-7500 Hz) and of the halves below and above 1 kHz, in dB.
    """
    frames = -(-len(wave) // (2 * HOP_LENGTH)) * 2
    wave = wave / (wave.square().mean().sqrt() + 1e-5)
    start = (WINDOW - HOP_LENGTH) // 2
    padded = F.pad(wave, (start, frames * HOP_LENGTH - len(wave) + start))
    taper = torch.hann_window(WINDOW, device=wave.device)
    power = torch.fft.rfft(padded.unfold(0, WINDOW, HOP_LENGTH) * taper, FFT).abs().square()
    energy = 10 * (power.sum(1) + 1e-4).log10()

    shortest, longest = int(SAMPLE_RATE / HIGHEST), int(SAMPLE_RATE / LOWEST)
    correlation = torch.fft.irfft(power, FFT)[:, : longest + 1]
    of_taper = torch.fft.irfft(torch.fft.rfft(taper, FFT).abs().square(), FFT)[: longest + 1]
    correlation = correlation / (correlation[:, :1] + 1e-4) / (of_taper / of_taper[0] + 1e-3)
    lags = torch.arange(shortest, longest + 1, device=wave.device)
    best = (correlation[:, shortest:] - _SHORT_LAG * lags).argmax(1) + shortest
    voicing = correlation.gather(1, best[:, None])[:, 0].clamp(-1, 1)
    pitch = 12 * (SAMPLE_RATE / best / 100).log2()

    hertz = torch.arange(FFT // 2 + 1, device=wave.device) * (SAMPLE_RATE / FFT)
    level = torch.stack([_decibels(power, hertz, low, high) for low, high in pairwise(_BANDS)], dim=1)
    halves = _decibels(power, hertz, 0, 1000) - _decibels(power, hertz, 1000, 5000)
    return torch.cat([torch.stack([pitch, voicing, energy], 1), level[:, :-1] - level[:, 1:], halves[:, None]], dim=1)


def is_speech(prosody: Tensor) -> Tensor:
    """Frames that are no pause: ``(T, 8)`` of a recording to ``(T,)`` bool."""
    energy = prosody[:, ENERGY]
    return energy > energy.quantile(0.95) - SILENCE_DB


def prosody_statistics(prosody: Tensor, speech: Tensor) -> Tensor:
    """Statistics of a window: ``(T, 8)`` and the frames that are speech ``(T,)`` to ``(41,)``.

    Mean, standard deviation, 10th, 25th, 75th and 90th percentile of pitch, energy and voicing; mean, deviation, 10th and
    90th percentile of the spectral balance; fraction of voiced frames, mean step of the pitch and of the energy.
    """
    voiced = speech & (prosody[:, VOICING] > VOICED)
    voiced = voiced if voiced.sum() >= 3 else speech
    pitch, energy, voicing = prosody[voiced, PITCH], prosody[speech, ENERGY], prosody[speech, VOICING]
    balance = prosody[voiced, BALANCE]
    few, many = (torch.tensor(q, device=prosody.device) for q in ((0.1, 0.9), (0.1, 0.25, 0.75, 0.9)))
    parts = []
    for values in (pitch, energy - energy.max(), voicing):
        parts += [values.mean()[None], values.std(correction=0)[None], values.quantile(many) - values.median()]
    parts += [balance.mean(0), balance.std(0, correction=0), balance.quantile(few, dim=0).flatten()]
    both = voiced[1:] & voiced[:-1]
    steps = prosody[1:, PITCH][both] - prosody[:-1, PITCH][both]
    steps = steps.abs()[steps.abs() < 3]  # larger steps are errors of an octave
    energy_steps = (prosody[1:, ENERGY] - prosody[:-1, ENERGY])[speech[1:]]
    parts += [voiced.sum()[None] / speech.sum().clamp_min(1), _mean(steps), _mean(energy_steps.abs())]
    return torch.cat(parts)


#: Entries of :func:`prosody_statistics`.
STATISTICS = 3 * 6 + 5 * 4 + 3


def _mean(values: Tensor) -> Tensor:
    """``(1,)``, 0 for no values."""
    return values.sum()[None] / max(1, len(values))


def _decibels(power: Tensor, hertz: Tensor, low: float, high: float) -> Tensor:
    """Level of a band, ``(T, bins)`` to ``(T,)``."""
    return 10 / math.log(10) * (power[:, (hertz >= low) & (hertz < high)].sum(1) + 1e-4).log()
