"""Recordings: formats, channels, sample rates, and errors."""

import wave

import av
import numpy as np
import pytest
from helpers import save_wav

from emotalker.audio.io import load_audio, resample
from emotalker.core.errors import AudioError


def tone(seconds=1.0, rate=16000, frequency=440.0, level=0.4):
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encode(path, samples, rate, codec, layout="mono", packed=None):
    """Write ``(channels, N)`` float samples with one of FFmpeg's encoders."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        converter = av.AudioResampler(format=packed or stream.format.name, layout=layout, rate=rate)
        for part in (*converter.resample(frame), *converter.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def best_lag(x, y, reach=400):
    n = min(len(x), len(y)) - 2 * reach
    scores = [np.dot(x[reach + k : reach + k + n], y[reach : reach + n]) for k in range(-reach, reach + 1)]
    return int(np.argmax(scores)) - reach


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_wav_is_resampled_without_delay(tmp_path, rate):
    save_wav(tmp_path / "a.wav", tone(1.0, rate), rate)
    audio = load_audio(tmp_path / "a.wav")
    assert audio.dtype == np.float32 and audio.shape == (16000,)
    assert np.abs(audio - tone())[200:-200].max() < 2e-3


FORMATS = [("mp3", "libmp3lame", 44100), ("m4a", "aac", 48000), ("opus", "libopus", 48000), ("flac", "flac", 44100)]


@pytest.mark.parametrize(("suffix", "codec", "rate"), FORMATS)
def test_compressed_formats(tmp_path, suffix, codec, rate):
    noise = np.random.default_rng(0).normal(0, 0.1, round(1.5 * rate)).astype(np.float32)
    speech_band = resample(resample(noise, rate, 8000), 8000, rate)
    path = tmp_path / f"a.{suffix}"
    try:
        encode(path, np.stack([speech_band, speech_band]), rate, codec, "stereo")
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"PyAV cannot encode {codec}: {error}")
    expected = resample(speech_band, rate, 16000)
    audio = load_audio(path)
    assert abs(len(audio) - len(expected)) <= 0.06 * 16000
    assert abs(best_lag(audio, expected)) <= 1
    assert np.corrcoef(audio[: len(expected)], expected[: len(audio)])[0, 1] > 0.95


def test_channels_are_averaged(tmp_path):
    left, right = tone(frequency=300), tone(frequency=700)
    encode(tmp_path / "a.wav", np.stack([left, right]), 16000, "pcm_f32le", "stereo", "flt")
    assert np.abs(load_audio(tmp_path / "a.wav") - (left + right) / 2).max() < 1e-4
    assert np.abs(load_audio((np.stack([left, right], axis=1), 16000)) - (left + right) / 2).max() < 1e-6


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.int32, np.uint8])
def test_arrays_of_any_type(dtype):
    samples = tone()
    if dtype == np.uint8:
        given = np.round(samples * 127 + 128).astype(dtype)
    elif np.issubdtype(dtype, np.integer):
        given = np.round(samples * np.iinfo(dtype).max).astype(dtype)
    else:
        given = samples.astype(dtype)
    audio = load_audio((given, 16000))
    assert audio.dtype == np.float32 and np.abs(audio - samples).max() < 0.01


def test_other_sample_rates():
    assert load_audio((tone(), 16000), sample_rate=24000).shape == (24000,)


def test_silence_is_accepted(tmp_path):
    save_wav(tmp_path / "a.wav", np.zeros(8000))
    assert not load_audio(tmp_path / "a.wav").any()


def test_minimum_duration():
    assert len(load_audio((tone(0.2), 16000))) == 3200
    with pytest.raises(AudioError, match=r"too short: 0\.199 s"):
        load_audio((tone(0.199), 16000))


def test_unusable_files_raise_audio_errors(tmp_path):
    with pytest.raises(AudioError, match="no such audio file"):
        load_audio(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="no such audio file"):
        load_audio(tmp_path)
    (tmp_path / "text.wav").write_text("not a recording " * 50)
    with pytest.raises(AudioError, match="cannot be decoded"):
        load_audio(tmp_path / "text.wav")
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match="cannot be decoded"):
        load_audio(tmp_path / "empty.wav")
    with wave.open(str(tmp_path / "no_samples.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    with pytest.raises(AudioError, match="no audio samples"):
        load_audio(tmp_path / "no_samples.wav")
    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="no audio stream"):
        load_audio(tmp_path / "mute.mp4")


@pytest.mark.parametrize(("step", "refused"), [(50, True), (5000, False)])
def test_a_small_fraction_of_damaged_packets_is_accepted(tmp_path, step, refused):
    path = tmp_path / "a.mp3"
    encode(path, np.random.default_rng(0).normal(0, 0.1, (1, 132300)), 44100, "libmp3lame")
    content = bytearray(path.read_bytes())
    for i in range(len(content) // 4, len(content) * 3 // 4, step):
        content[i] = (content[i] * 7 + 13) % 256
    path.write_bytes(content)
    if refused:
        with pytest.raises(AudioError, match="damaged"):
            load_audio(path)
    else:
        assert len(load_audio(path)) / 16000 == pytest.approx(3, abs=0.1)


def test_unusable_arrays_raise_audio_errors():
    with pytest.raises(AudioError, match="not numbers"):
        load_audio((np.append(tone(), np.nan), 16000))
    with pytest.raises(AudioError, match="no audio samples"):
        load_audio((np.zeros(0), 16000))
    for wrong in (np.zeros((1, 16000)), np.zeros((16000, 2, 1)), np.array(0.5)):
        with pytest.raises(AudioError, match="samples, channels"):
            load_audio((wrong, 16000))
    with pytest.raises(AudioError, match="samples, channels"):
        load_audio((tone(), 0))
    with pytest.raises(AudioError, match="not bool"):
        load_audio((np.zeros(16000, bool), 16000))


def test_longer_than_the_callers_limit(tmp_path):
    path = save_wav(tmp_path / "voice.wav", np.zeros(16000 * 3))
    assert len(load_audio(path, max_seconds=3)) == 48000
    with pytest.raises(AudioError, match=r"longer than 2\.5 s; cut it"):
        load_audio(path, max_seconds=2.5)
