"""Mel spectrogram and the windows of the lip branch."""

import math

import numpy as np
import pytest
import torch

from emotalker.audio.mel import NUM_MELS, MelSpectrogram, hertz_to_mel, lip_windows, mel_filterbank, mel_to_hertz


@pytest.fixture(scope="module")
def mel():
    return MelSpectrogram()


def tone(hertz, seconds=1.0, amplitude=0.5):
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(int(16000 * seconds)) / 16000)[None]


def reference_mel(wav):
    """docs/method.md 5 frame by frame, in NumPy."""
    emphasised = wav - 0.97 * np.concatenate([[0], wav[:-1]])
    padded = np.pad(emphasised, 400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    columns = []
    for t in range(1 + len(wav) // 200):
        magnitude = np.abs(np.fft.rfft(hann * padded[200 * t : 200 * t + 800]))
        decibels = 20 * np.log10(np.maximum(1e-5, mel_filterbank(16000, 800, 80, 55, 7600).numpy() @ magnitude)) - 20
        columns.append(np.clip(8 * (decibels + 100) / 100 - 4, -4, 4))
    return np.stack(columns, axis=-1)


def test_mel_scale_matches_slaney_and_is_invertible():
    hertz = torch.tensor([0.0, 200.0, 1000.0, 6400.0], dtype=torch.float64)
    assert torch.allclose(hertz_to_mel(hertz), torch.tensor([0.0, 3.0, 15.0, 42.0], dtype=torch.float64))
    hertz = torch.linspace(1, 8000, 50, dtype=torch.float64)
    assert torch.allclose(mel_to_hertz(hertz_to_mel(hertz)), hertz)


def test_filters_have_unit_area_within_their_band():
    filters = mel_filterbank(16000, 800, 80, 55.0, 7600.0)
    assert filters.shape == (80, 401) and (filters >= 0).all()
    areas = filters.sum(1) * 20  # bins are 20 Hz apart
    assert (areas[40:] - 1).abs().max() < 0.02  # the narrow ones have too few bins
    bins = torch.linspace(0, 8000, 401)
    assert (filters[:, (bins <= 55) | (bins >= 7600)] == 0).all()


def test_filters_equal_those_of_torchaudio():
    try:
        from torchaudio.functional import melscale_fbanks
    except (ImportError, OSError) as error:
        pytest.skip(f"torchaudio cannot be used here: {error}")
    theirs = melscale_fbanks(401, 55.0, 7600.0, 80, 16000, norm="slaney", mel_scale="slaney").T
    assert torch.allclose(mel_filterbank(16000, 800, 80, 55.0, 7600.0), theirs, atol=1e-6)


def test_spectrogram_equals_the_definition(mel):
    wav = np.random.default_rng(0).normal(size=3333) * 0.1
    ours = mel(torch.from_numpy(wav).float()[None])[0].numpy()
    np.testing.assert_allclose(ours, reference_mel(wav), atol=1e-3)


@pytest.mark.parametrize("samples", [1, 199, 200, 3200, 16001])
def test_one_frame_per_200_samples(mel, samples):
    assert mel(torch.randn(2, samples) * 0.1).shape == (2, NUM_MELS, 1 + samples // 200)


def test_values_are_limited(mel):
    assert (mel(torch.zeros(1, 1600)) == -4).all()
    assert mel(torch.randn(1, 1600) * 1e4).max() == 4


def test_ten_decibels_are_a_difference_of_0_8(mel):
    loud, soft = mel(tone(1000, amplitude=0.1)), mel(tone(1000, amplitude=0.1 / math.sqrt(10)))
    band = loud[0, :, 40].argmax()
    assert (loud - soft)[0, band, 40].item() == pytest.approx(0.8, abs=1e-3)


def test_a_tone_has_its_maximum_in_its_band(mel):
    limits = hertz_to_mel(torch.tensor([55.0, 7600.0]))
    centres = mel_to_hertz(torch.linspace(*limits.tolist(), 82)[1:-1])
    for hertz in (300, 1000, 4000):
        band = mel(tone(hertz))[0, :, 40].argmax()
        assert abs(centres[band] - hertz) < 0.06 * hertz


def test_chunked_computation_equals_computation_at_once(mel):
    wav = torch.randn(1, 20000) * 0.1
    chunked = MelSpectrogram()
    chunked.chunk_frames = 7
    assert torch.allclose(chunked(wav), mel(wav), atol=1e-5)


def test_lip_windows_start_as_specified():
    ramp = torch.arange(300.0).expand(2, NUM_MELS, -1)
    windows = lip_windows(ramp, num_frames=80)
    assert windows.shape == (2, 80, NUM_MELS, 16)
    for i in range(80):
        expected = np.clip(int(80 * (i - 2) / 25) + np.arange(16), 0, 299)
        assert np.array_equal(windows[1, i, 5].numpy(), expected)


def test_lip_windows_repeat_the_edges(mel):
    spectrogram = mel(torch.randn(1, 3200) * 0.1)  # 0.2 s: 5 video frames, 17 mel frames
    windows = lip_windows(spectrogram, 5)
    assert torch.equal(windows[0, 0, :, :6], spectrogram[0, :, :1].expand(-1, 6))  # frame 0 starts at -6
    assert torch.equal(windows[0, 4, :, 11:], spectrogram[0, :, -1:].expand(-1, 5))  # frame 4 is 6..21, the last is 16
    assert lip_windows(spectrogram[..., :1], 3).shape == (1, 3, NUM_MELS, 16)


def test_lip_windows_at_another_frame_rate():
    windows = lip_windows(torch.arange(300.0).expand(1, NUM_MELS, -1), 30, fps=30)
    assert windows[0, 17, 0, 0] == 40
