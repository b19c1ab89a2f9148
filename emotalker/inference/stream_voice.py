"""What is heard of a voice while it speaks: samples, loudness, speech features and emotion (docs/method.md 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from emotalker.audio.activity import QUIETEST, log_energy, silence_level
from emotalker.audio.io import SAMPLE_RATE
from emotalker.inference.hearing import WINDOW_SECONDS
from emotalker.inference.history import History
from emotalker.inference.performance import Performance
from emotalker.inference.running_emotion import RunningEmotion
from emotalker.models.hubert import EXTRA_SAMPLES, SAMPLES_PER_VIDEO_FRAME
from emotalker.models.vqvae import FRAMES_PER_CODE

if TYPE_CHECKING:
    from emotalker.inference.generator import MotionGenerator

#: Video frames before a hop that the audio encoder sees, 1.5 s.
CONTEXT_FRAMES = 37
#: Frames from which the levels of speech and noise, and of the encoder's input, are estimated: 60 s.
LEVEL_FRAMES = 1500
#: Hops between the windows in which emotion is recognised: 0.48 s.
EMOTION_HOPS = 3
#: The encoder's input has unit variance. Before anything is heard the variance of speech is this, ...
_VARIANCE = 0.03**2
#: ... which counts like so many frames.
_VARIANCE_FRAMES = 5


class VoiceStream:
    """Samples of a voice, and what is computed from them hop by hop.

    Args:
        generator: the networks.
        steps: the performance.
        look_ahead: samples after a hop that the audio encoder sees, a multiple of its hop.
        history_frames: video frames whose samples are kept.

    Attributes:
        samples: ``(N,)`` at 16 kHz, the last ones.
        threshold: level below which a frame is silent, dB.
    """

    def __init__(self, generator: MotionGenerator, steps: Performance, look_ahead: int, history_frames: int):
        self.encoder, self.look_ahead, self.device = generator.encoder, look_ahead, generator.device
        kept = max(history_frames, CONTEXT_FRAMES + FRAMES_PER_CODE) * SAMPLES_PER_VIDEO_FRAME + look_ahead + SAMPLE_RATE
        self.samples = History(kept)
        self.threshold = -np.inf
        self._levels = History(LEVEL_FRAMES, (3,))  # level, sum and sum of squares of each frame's samples
        fps = generator.space.fps
        self._window_frames = round(WINDOW_SECONDS * fps)
        self._features = History(2 * self._window_frames, (self.encoder.dim,))
        self._emotion, self._fps = RunningEmotion(self.encoder, generator.recognizer, fps, steps.sharpened), fps

    def audio(self, start: int, end: int) -> np.ndarray:
        """Samples ``start .. end`` of the stream, zero before its start and after what is known; ``(end - start,)``."""
        first, last = max(0, start), max(0, min(end, self.samples.end))
        return np.pad(self.samples(first, last) if last > first else np.zeros(0, np.float32), (first - start, end - last))

    def hear(self, hop: int) -> tuple[np.ndarray, np.ndarray]:
        """Listen to hop ``hop``, the one after the last; returns heard weights ``(4, 8)`` and strength ``(4,)``."""
        start, end = hop * FRAMES_PER_CODE, (hop + 1) * FRAMES_PER_CODE
        self._measure(start, end)
        if hop % EMOTION_HOPS == EMOTION_HOPS - 1 and hop:
            last = self._features.end // 2  # a frame; the encoder is one hop behind
            first = max(0, last - self._window_frames)
            wave = self.audio(first * SAMPLES_PER_VIDEO_FRAME, last * SAMPLES_PER_VIDEO_FRAME)
            spoken = (self._levels(first, last)[:, 0] >= self.threshold).sum() / self._fps
            seconds = EMOTION_HOPS * FRAMES_PER_CODE / self._fps
            self._emotion.hear(wave, self._features(2 * first, 2 * last), spoken, seconds)
        return self._emotion.follow(end - start)

    def features(self, hop: int) -> torch.Tensor:
        """Speech features ``(1, 8, dim)`` of hop ``hop``, the one after the last, with all samples after it as context."""
        features = self._encode(hop * FRAMES_PER_CODE, (hop + 1) * FRAMES_PER_CODE)
        self._features.append(features)
        return torch.from_numpy(features[None]).to(self.device)

    def _measure(self, start: int, end: int) -> None:
        """Levels of new frames, and the threshold of silence. Once known, it holds while nothing tells speech from noise."""
        samples = self.audio(start * SAMPLES_PER_VIDEO_FRAME, end * SAMPLES_PER_VIDEO_FRAME)
        frames = samples.reshape(end - start, SAMPLES_PER_VIDEO_FRAME)
        level = log_energy(samples, end - start, floor=QUIETEST)
        self._levels.append(np.stack([level, frames.mean(1), np.square(frames).mean(1)], 1))
        threshold = silence_level(self._levels(self._levels.start, self._levels.end)[:, 0])
        if np.isfinite(threshold) or not np.isfinite(self.threshold):
            self.threshold = threshold

    def _encode(self, start: int, end: int) -> np.ndarray:
        """Features of frames ``start .. end``, with context before and after, ``(2 F, dim)``."""
        first, pad = max(0, start - CONTEXT_FRAMES), EXTRA_SAMPLES // 2
        last = end * SAMPLES_PER_VIDEO_FRAME + self.look_ahead
        wave = self.audio(first * SAMPLES_PER_VIDEO_FRAME - pad, last + pad)
        if self.encoder.config.normalize:
            known = self._levels(self._levels.start, self._levels.end)
            mean, square = known[:, 1].mean(), known[:, 2].mean()
            share = len(known) / (len(known) + _VARIANCE_FRAMES)
            wave = (wave - mean) / np.sqrt(share * max(0.0, square - mean**2) + (1 - share) * _VARIANCE)
        features = self.encoder.encode_all(torch.from_numpy(wave.astype(np.float32))[None].to(self.device))[0, :, -1]
        return features[2 * (start - first) : 2 * (end - first)].float().cpu().numpy()
