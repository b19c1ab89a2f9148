"""Audio that arrives in chunks: from a program, a microphone or a pipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import BinaryIO

import av
import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.errors import AudioError, MissingExtraError

#: Sample rates that are accepted, Hz.
LOWEST_RATE, HIGHEST_RATE = 8000, 192000
#: Seconds of a microphone's or a pipe's chunks.
CHUNK_SECONDS = 0.02


class ChunkReader:
    """Chunks of any size at any rate to samples at 16 kHz, with the filter's state kept between chunks.

    Args:
        rate: of the chunks, Hz.

    Raises:
        AudioError: the rate is not a whole number from 8000 to 192000.
    """

    def __init__(self, rate: int = SAMPLE_RATE):
        if rate != int(rate) or not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise AudioError(f"a stream's sample rate is a whole number from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {rate}")
        self.rate = int(rate)
        self._resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE) if self.rate != SAMPLE_RATE else None

    def read(self, chunk: np.ndarray) -> np.ndarray:
        """A chunk ``(N,)``, floating point in -1..1 or int16, to the samples that are complete, ``(M,)`` float32.

        Raises:
            AudioError: the chunk has another shape or type, or samples that are not numbers.
        """
        chunk = np.asarray(chunk)
        if chunk.ndim != 1:
            raise AudioError(f"a chunk of audio is mono samples (N,), not {chunk.shape}; average the channels")
        if chunk.dtype == np.int16:
            samples = chunk.astype(np.float32) / 32768
        elif np.issubdtype(chunk.dtype, np.floating):
            samples = chunk.astype(np.float32)
        else:
            raise AudioError(f"samples of a stream are floating-point numbers in -1..1 or int16, not {chunk.dtype}")
        if not np.isfinite(samples).all():
            raise AudioError("a chunk contains samples that are not numbers (NaN or infinite); replace them by 0")
        if self._resampler is None or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = self.rate
        return self._resampled(frame)

    def finish(self) -> np.ndarray:
        """The samples that the filter has kept, ``(M,)``."""
        return np.zeros(0, np.float32) if self._resampler is None else self._resampled(None)

    def _resampled(self, frame: av.AudioFrame | None) -> np.ndarray:
        parts = [part.to_ndarray()[0] for part in self._resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *parts])


def pcm_chunks(file: BinaryIO, rate: int) -> Iterator[np.ndarray]:
    """Chunks ``(N,)`` int16 of a file or pipe of raw 16-bit mono samples, little-endian, as they arrive."""
    size = 2 * math.ceil(rate * CHUNK_SECONDS)
    while data := file.read(size):
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2")


@contextmanager
def microphone(rate: int = SAMPLE_RATE, device: int | str | None = None) -> Iterator[Iterator[np.ndarray]]:
    """Chunks ``(N,)`` float32 of a microphone, without end.

    Args:
        rate: Hz.
        device: number or name of an input of ``python -m sounddevice``; None for the default.

    Raises:
        MissingExtraError: sounddevice is not installed.
        AudioError: there is no such microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the PortAudio library is missing
        raise MissingExtraError(
            f"the microphone needs sounddevice and PortAudio ({error}); run: pip install 'emotalker[live]'"
        ) from error
    queue: Queue[np.ndarray] = Queue()
    try:
        stream = sounddevice.InputStream(
            rate,
            math.ceil(rate * CHUNK_SECONDS),
            device,
            1,
            "float32",
            callback=lambda data, *_: queue.put(data[:, 0].copy()),
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(
            f"cannot record from the microphone {device if device is not None else ''}: {error}; "
            "list the inputs with: python -m sounddevice"
        ) from error
    with stream:
        yield iter(queue.get, None)
