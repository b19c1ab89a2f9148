"""The emotion of a voice over time: recognised in overlapping windows (docs/method.md 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import scipy
import torch
from torch import Tensor

from emotalker.audio.activity import SAMPLES_PER_FRAME, pauses
from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.models import AudioEncoder, EmotionRecognizer
from emotalker.models.emotion_recognizer import HeardWindows
from emotalker.models.hubert import FRAMES_PER_SECOND

#: Recordings up to this length are one window, seconds: about one sentence, as in the recogniser's training corpora.
ONE_WINDOW_SECONDS = 3.0
#: Length of the windows and distance of their starts, seconds. Windows of 2 s are recognised less well (docs/method.md 9).
WINDOW_SECONDS, HOP_SECONDS = 2.5, 0.5
#: Windows with less speech than this are left out, seconds.
LEAST_SPEECH_SECONDS = 0.5
#: Weight of the whole recording's probabilities in the geometric mean with a window's. docs/method.md 9 has figures.
WHOLE_WEIGHT = 0.3
#: Amplitude of the expression when the voice's emotion is certainly not strong, and when it certainly is.
AMPLITUDES = (0.3, 1.6)
_SMALLEST = 1e-6  # probability, before logarithms
_MARGIN = 5  # video frames of a pause that count as speech


class WindowRecognizer(Protocol):
    """A network that recognises emotion in windows of a recording."""

    def windows(self, wave: Tensor, seconds: float, hop: float) -> HeardWindows:
        """Probabilities in overlapping windows.

        Args:
            wave: ``(N,)`` at 16 kHz.
            seconds: length of a window; a shorter recording is one window.
            hop: distance of the starts of windows, seconds.
        """


class EncodedRecording:
    """An emotion recogniser on one recording, which is encoded once, for all windows.

    Args:
        recognizer: with the audio encoder attached.
        hidden: the encoder's hidden states of the recording ``(T, layers + 1, dim)``, if they are known.
    """

    def __init__(self, recognizer: EmotionRecognizer, hidden: Tensor | None = None):
        self.recognizer, self.hidden = recognizer, hidden
        self._frames: tuple[Tensor, Tensor, Tensor] | None = None

    def windows(self, wave: Tensor, seconds: float, hop: float) -> HeardWindows:
        """As :meth:`WindowRecognizer.windows`; ``wave`` is always the same recording."""
        if self._frames is None:
            self._frames = self.recognizer.frames(wave, self.hidden)
        return self.recognizer.windows_of(self._frames, seconds, hop)


class EncoderRecognizer:
    """The emotion head of the audio encoder on a recording whose features are known.

    Windows are taken from the features of the whole recording, which is as accurate as encoding each window by itself, and
    without its pauses: a window that is half silent would be taken for sad.

    Args:
        encoder: with or without an emotion head; without one all probabilities are zero.
        features: ``(1, T, dim)`` of the recording.
    """

    def __init__(self, encoder: AudioEncoder, features: Tensor):
        self.encoder, self.features = encoder, features

    def windows(self, wave: Tensor, seconds: float, hop: float) -> HeardWindows:
        """As :meth:`WindowRecognizer.windows`; ``wave`` is the recording of the features."""
        total = self.features.shape[1]
        complete = seconds * SAMPLE_RATE >= len(wave)  # the features of the last frame reach beyond the wave
        length = total if complete else min(total, round(seconds * FRAMES_PER_SECOND))
        step = max(1, round(hop * FRAMES_PER_SECOND))
        starts = sorted({*range(0, total - length + 1, step), total - length})  # the last window ends with the recording
        kept = np.ones(total, bool) if complete else self._near_speech(wave)
        heard = []
        for start in starts:
            window, near = self.features[:, start : start + length], torch.from_numpy(kept[start : start + length])
            heard.append(self.encoder.recognize_emotion(window[:, near] if near.any() else window))
        centres = (np.array(starts) + length / 2) / FRAMES_PER_SECOND
        return HeardWindows(centres, np.stack([emotion_probabilities(probabilities) for probabilities in heard]))

    def _near_speech(self, wave: Tensor) -> np.ndarray:
        """Features outside pauses or within _MARGIN frames of speech, ``(T,)`` bool."""
        spoken = ~pauses(wave.cpu().numpy(), self.features.shape[1] // 2)
        return np.repeat(scipy.ndimage.binary_dilation(spoken, iterations=_MARGIN), 2)


def emotion_probabilities(recognized: Mapping[str, float]) -> np.ndarray:
    """Probabilities by a recogniser's names to ``(8,)`` float32 of EMOTIONS; all zero if there are none."""
    probabilities = np.zeros(len(EMOTIONS), np.float32)
    for name, probability in recognized.items():
        emotion = emotion_of(name)
        if emotion is not None:
            probabilities[EMOTIONS.index(emotion)] += probability
    return probabilities


def hear_over_time(recognizer: WindowRecognizer, wave: Tensor, over_time: bool = True) -> EmotionTrack:
    """The emotion of a recording.

    A window alone is too short to be reliable. Its probabilities p_t are combined with those of the whole recording q:
    ``p_t^(1 - a) q^a``, scaled to the sum of p_t; a is WHOLE_WEIGHT. Windows with less than LEAST_SPEECH_SECONDS of speech
    are left out, because pauses say nothing about the emotion. The strength of the track is the amplitude of the expression
    between AMPLITUDES, by the probability that the emotion is strong, which is combined with the whole recording's too.

    Args:
        recognizer: of windows.
        wave: ``(N,)`` at 16 kHz.
        over_time: False recognises one emotion in the whole recording, as recordings up to ONE_WINDOW_SECONDS do.

    Returns:
        probabilities and strength at the centres of the windows; strength 1 if the recogniser does not hear it.
    """
    seconds = len(wave) / SAMPLE_RATE
    heard = recognizer.windows(wave, seconds, seconds)
    whole, strength = heard.probabilities.mean(0), None if heard.strength is None else heard.strength.mean(0)
    constant = EmotionTrack.constant(whole, 1.0 if strength is None else amplitude(strength))
    if not over_time or seconds <= ONE_WINDOW_SECONDS or not whole.any():
        return constant
    heard = recognizer.windows(wave, WINDOW_SECONDS, HOP_SECONDS)
    spoken = _speech_seconds(wave, heard.times) >= LEAST_SPEECH_SECONDS
    if not spoken.any():
        return constant
    windows = mixed_with_whole(heard.probabilities[spoken], whole)
    if strength is None or heard.strength is None:
        return EmotionTrack(heard.times[spoken], windows)
    strengths = (1 - WHOLE_WEIGHT) * heard.strength[spoken] + WHOLE_WEIGHT * strength
    return EmotionTrack(heard.times[spoken], windows, amplitude(strengths))


def amplitude(strength: np.ndarray) -> np.ndarray:
    """Amplitude of the expression from the probability that the voice's emotion is strong, ``(...)`` to the same shape."""
    weakest, strongest = AMPLITUDES
    return weakest + (strongest - weakest) * np.asarray(strength)


def mixed_with_whole(windows: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Probabilities of windows ``(W, 8)`` combined with those of the whole recording ``(8,)``; see :func:`hear_over_time`."""
    mixed = np.maximum(windows, _SMALLEST) ** (1 - WHOLE_WEIGHT) * np.maximum(whole, _SMALLEST) ** WHOLE_WEIGHT
    return mixed * (windows.sum(1, keepdims=True) / mixed.sum(1, keepdims=True))


def _speech_seconds(wave: Tensor, centres: np.ndarray) -> np.ndarray:
    """Duration outside pauses in the windows of WINDOW_SECONDS around these times, ``(W,)`` to ``(W,)`` seconds."""
    frames = -(-len(wave) // SAMPLES_PER_FRAME)
    spoken = np.concatenate([[0], np.cumsum(~pauses(wave.cpu().numpy(), frames))])
    edges = centres[:, None] + np.array([-0.5, 0.5]) * WINDOW_SECONDS
    first, last = (edges * SAMPLE_RATE / SAMPLES_PER_FRAME).round().astype(int).clip(0, frames).T
    return (spoken[last] - spoken[first]) * SAMPLES_PER_FRAME / SAMPLE_RATE
