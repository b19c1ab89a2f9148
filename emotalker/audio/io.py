"""Reading recordings."""

from __future__ import annotations

import os
from math import gcd
from pathlib import Path

import av
import numpy as np

from emotalker.core.errors import AudioError
from emotalker.core.limits import MAX_CHANNELS, MAX_SAMPLE_RATE, MAX_SECONDS, MIN_SAMPLE_RATE

SAMPLE_RATE = 16000
MIN_SECONDS = 0.2

#: Accepted fraction of undecodable packets; trimmed MP3 files often begin with one.
MAX_DAMAGE = 0.05

#: Samples beyond the stated duration that are treated as the encoder's padding of its last block (AAC: 1024 or 2048).
MAX_PADDING = 2048


def load_audio(
    source: str | os.PathLike | tuple[np.ndarray, int], sample_rate: int = SAMPLE_RATE, max_seconds: float = MAX_SECONDS
) -> np.ndarray:
    """Load a recording as mono samples, without trimming or normalisation.

    Args:
        source: any file that FFmpeg reads, including videos with sound, or ``(samples, rate)`` with samples ``(N,)`` or
            ``(N, channels)``, floating point in -1..1 or full-scale integers.
        sample_rate: of the result, Hz.
        max_seconds: a longer file is refused as soon as this much of it is decoded.

    Returns:
        ``(N,)`` float32, all channels averaged.

    Raises:
        AudioError: the file is missing, contains no audio or cannot be decoded, or the recording is empty, shorter than
            0.2 s, or not finite, or beyond the limits of :mod:`emotalker.core.limits`. Silence is accepted.
    """
    if isinstance(source, tuple):
        samples, rate = source
        samples, name = _to_float(np.asarray(samples)), "the given array"
        if samples.ndim == 2 and samples.shape[1] <= samples.shape[0]:
            samples = samples.mean(axis=1)
        if samples.ndim != 1 or rate <= 0:
            raise AudioError(f"audio is (samples,) or (samples, channels) at a rate in Hz, not {samples.shape} at {rate}")
    else:
        samples, rate = _decode(Path(source), max_seconds)
        name = str(source)
    if not len(samples):
        raise AudioError(f"{name} contains no audio samples")
    if len(samples) < MIN_SECONDS * rate:
        raise AudioError(f"{name} is too short: {len(samples) / rate:.3f} s of audio; at least {MIN_SECONDS} s are needed")
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} contains samples that are not numbers (NaN or infinite); export it again")
    return resample(samples, int(rate), sample_rate)


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Samples ``(N,)`` at ``rate`` to ``(ceil(N new_rate / rate),)`` float32 at ``new_rate``, without delay."""
    if rate != new_rate:
        common = gcd(rate, new_rate)
        from scipy.signal import resample_poly  # imported here because the import takes half a second

        samples = resample_poly(samples, new_rate // common, rate // common)
    return samples.astype(np.float32, copy=False)


def _decode(path: Path, max_seconds: float) -> tuple[np.ndarray, int]:
    """All samples of a file's first audio stream, channels averaged, and its rate."""
    if not path.is_file():
        raise AudioError(f"no such audio file: {path}")
    try:
        # FFmpeg takes what precedes a colon in a relative name for a protocol.
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise AudioError(f"{path} contains no audio stream; give a recording or a video with sound")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise AudioError(f"{path} has sound of an unknown or damaged kind; convert it to WAV")
            rate = stream.rate
            _check_format(path, rate, stream.channels)
            duration = stream.duration and stream.duration * stream.time_base
            to_float = _Interleaver(rate)
            chunks: list[np.ndarray] = []
            packets = damaged = count = 0
            for packet in container.demux(stream):
                packets += 1
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    damaged += 1
                    continue
                for part in (part for frame in frames for part in to_float(frame)):
                    chunks.append(part.to_ndarray().reshape(part.samples, -1).mean(axis=1))
                    count += part.samples
                if count > max_seconds * rate:
                    limit = f"{max_seconds:g} s" if max_seconds < 7200 else f"{max_seconds / 3600:g} hours"
                    raise AudioError(f"{path} is longer than {limit}; cut it into shorter recordings")
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(f"{path} cannot be decoded as audio ({_reason(error)}); convert it to WAV") from error
    if damaged > MAX_DAMAGE * packets:
        raise AudioError(f"{path} is damaged: {damaged} of {packets} audio packets cannot be decoded; export it again")
    samples = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
    if duration and 0 < len(samples) - round(duration * rate) <= MAX_PADDING:
        samples = samples[: round(duration * rate)]
    return samples, rate


class _Interleaver:
    """Converts frames to interleaved floating point at one rate: planar frames give access to 8 channels only.

    Channels are kept, since FFmpeg's mono mix is 3 dB too loud in floating point. Streams may change their layout.
    """

    def __init__(self, rate: int):
        self._rate, self._format, self._resampler = rate, None, None

    def __call__(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        given = frame.format.name, frame.layout.name, frame.sample_rate
        if given != self._format:
            self._format, self._resampler = given, av.AudioResampler(format="flt", rate=self._rate)
        return self._resampler.resample(frame)


def _check_format(path: Path, rate: int, channels: int) -> None:
    if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        raise AudioError(f"{path} has a sample rate of {rate} Hz; convert it to one of 8000 to 192000 Hz")
    if channels > MAX_CHANNELS:
        raise AudioError(f"{path} has {channels} channels; mix it down to {MAX_CHANNELS} or fewer")


def _to_float(samples: np.ndarray) -> np.ndarray:
    if samples.dtype == np.uint8:  # the only unsigned format of WAV files
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.signedinteger):
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32)
    raise AudioError(f"audio samples are floating-point numbers or integers, not {samples.dtype}")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
