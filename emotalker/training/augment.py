"""Augmentation of speech and mel, so that a branch trained on few voices and rooms generalises to others.

All functions are pure; random numbers come from the generator argument.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve, resample_poly

from emotalker.coefficients import CoefficientSpace
from emotalker.settings.run import MotionAugmentation, WaveAugmentation

SAMPLE_RATE = 16000  # Hz
#: Speed factors are multiples of 1/20, so that resampling stays a cheap polyphase filter.
SPEED_STEPS = 20


def random_gain(wave: np.ndarray, rng: np.random.Generator, low_db: float = -18.0, high_db: float = 6.0) -> np.ndarray:
    """Scale ``(N,)`` by a random gain, kept below clipping."""
    gain = 10 ** (rng.uniform(low_db, high_db) / 20)
    peak = np.abs(wave).max() + 1e-9
    return (wave * min(gain, 0.99 / peak)).astype(np.float32)


def add_noise(wave: np.ndarray, rng: np.random.Generator, low_snr: float = 5.0, high_snr: float = 40.0) -> np.ndarray:
    """Add noise of a random colour (power falls with f^0 to f^2) at a random signal-to-noise ratio in dB."""
    spectrum = np.fft.rfft(rng.standard_normal(len(wave)))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** (-rng.uniform(0, 2) / 2)
    noise = np.fft.irfft(spectrum, len(wave))
    ratio = np.sqrt(np.mean(wave**2) / (np.mean(noise**2) + 1e-12)) * 10 ** (-rng.uniform(low_snr, high_snr) / 20)
    return (wave + ratio * noise).astype(np.float32)


def random_filter(
    wave: np.ndarray, rng: np.random.Generator, max_db: float = 10.0, low_pass: float = 0.3, bands: int = 6
) -> np.ndarray:
    """A random smooth equaliser with ``bands`` log-spaced points, and with probability ``low_pass`` a low-pass at 2-7 kHz."""
    frequency = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    points = np.geomspace(60, SAMPLE_RATE / 2, bands)
    gain_db = np.interp(np.log(np.maximum(frequency, 30)), np.log(points), rng.uniform(-max_db, max_db, bands))
    cutoff = np.exp(rng.uniform(np.log(2000), np.log(7000)))
    if rng.random() < low_pass:
        gain_db = gain_db - 24 * np.maximum(0, np.log2(np.maximum(frequency, 1) / cutoff))  # 24 dB per octave
    return np.fft.irfft(np.fft.rfft(wave) * 10 ** (gain_db / 20), len(wave)).astype(np.float32)


def add_reverberation(wave: np.ndarray, rng: np.random.Generator, low: float = 0.1, high: float = 0.7) -> np.ndarray:
    """Add a random room to ``(N,)``: exponentially decaying noise as impulse response (Polack 1988).

    Args:
        wave: 16 kHz.
        rng: random generator.
        low, high: range of the reverberation time (decay by 60 dB) in seconds. The energy of the reverberation is -15 to 3 dB
            of the direct sound's.
    """
    seconds = np.exp(rng.uniform(np.log(low), np.log(high)))
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    response = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    response[: SAMPLE_RATE // 500] = 0  # first reflection after 2 ms
    response *= 10 ** (rng.uniform(-15, 3) / 20) / (np.sqrt(np.sum(response**2)) + 1e-9)
    response[0] = 1
    return fftconvolve(wave, response)[: len(wave)].astype(np.float32)


def limit_band(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep the band of a telephone or a low-rate codec: from 50-350 Hz to 3-6 kHz, 48 dB per octave outside."""
    frequency = np.maximum(np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE), 1)
    low, high = rng.uniform(50, 350), np.exp(rng.uniform(np.log(3000), np.log(6000)))
    octaves = np.maximum(0, np.log2(low / frequency)) + np.maximum(0, np.log2(frequency / high))
    return np.fft.irfft(np.fft.rfft(wave) * 10 ** (-48 * octaves / 20), len(wave)).astype(np.float32)


def random_speed(rng: np.random.Generator, slowest: float = 0.85, fastest: float = 1.2) -> float:
    """A speed factor, a multiple of 1/20: 1.1 is 10% faster, with pitch and formants 10% higher."""
    low, high = np.ceil(slowest * SPEED_STEPS), np.floor(fastest * SPEED_STEPS)
    return int(rng.integers(int(low), int(high) + 1)) / SPEED_STEPS


def resample_wave(wave: np.ndarray, speed: float) -> np.ndarray:
    """Resample ``(N,)`` to be faster by ``speed``, a multiple of 1/20: ``(ceil(N / speed),)``."""
    if speed == 1:
        return wave
    return resample_poly(wave, SPEED_STEPS, round(speed * SPEED_STEPS)).astype(np.float32)


def warp_mel(mel: np.ndarray, factor: float) -> np.ndarray:
    """Scale the frequency axis of ``(..., M, T)``: 1.1 moves formants up by 10%, as a shorter vocal tract does."""
    bands = mel.shape[-2]
    source = np.clip(np.arange(bands) / factor, 0, bands - 1)
    before = np.minimum(source.astype(int), bands - 2)
    weight = (source - before)[:, None].astype(mel.dtype)
    return mel[..., before, :] * (1 - weight) + mel[..., before + 1, :] * weight


def mask_mel(mel: np.ndarray, rng: np.random.Generator, fill: float, bands: int = 12, steps: int = 6) -> np.ndarray:
    """SpecAugment (Park et al. 2019) on ``(M, T)``: a band of up to ``bands`` rows and one of up to ``steps`` columns."""
    mel = mel.copy()
    height, width = int(rng.integers(0, bands + 1)), int(rng.integers(0, steps + 1))
    top, left = int(rng.integers(0, mel.shape[0] - height + 1)), int(rng.integers(0, max(1, mel.shape[1] - width + 1)))
    mel[top : top + height] = fill
    mel[:, left : left + width] = fill
    return mel


def augment_motion(
    motion: np.ndarray, space: CoefficientSpace, options: MotionAugmentation, rng: np.random.Generator
) -> np.ndarray:
    """Mirror ``(T, D)`` and scale its amplitude at random; blendshapes stay below 1."""
    scale, mirror = rng.uniform(*options.scales), rng.random() < options.mirror
    if mirror and space.name == "arkit":
        motion = space.mirrored(motion)
    motion = motion * np.float32(scale)
    if space.name == "arkit":
        motion[:, space.expression] = motion[:, space.expression].clip(None, 1)
    return motion


@dataclass(frozen=True)
class SpeechAugmentation(WaveAugmentation):
    """Random filtering, noise and gain, each with its probability; with all probabilities 0 the wave is unchanged."""

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """``(N,)`` float32 to the same shape."""
        chosen = rng.random(3)
        if chosen[0] < self.filter:
            wave = random_filter(wave, rng)
        if chosen[1] < self.noise:
            wave = add_noise(wave, rng)
        if chosen[2] < self.gain:
            wave = random_gain(wave, rng)
        return wave
