"""The emotion of a voice that is heard while it speaks (docs/method.md 12)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.emotions import EMOTIONS
from emotalker.inference.hearing import (
    LEAST_SPEECH_SECONDS,
    WHOLE_WEIGHT,
    WindowRecognizer,
    amplitude,
    emotion_probabilities,
    mixed_with_whole,
)
from emotalker.inference.performance import neutral_weights
from emotalker.models import AudioEncoder

#: Time constant of the probabilities that stand for the whole recording's, seconds.
WHOLE_SECONDS = 20.0
#: Time constant of the weights, seconds: the face follows what was heard, without jumps.
FOLLOW_SECONDS = 0.4


class RunningEmotion:
    """Emotion weights and strength frame by frame, from windows that end now.

    Args:
        encoder: its emotion head is used without a recogniser.
        recognizer: of the voice's emotion.
        fps: frames per second.
        sharpen: :meth:`~emotalker.inference.performance.Performance.sharpened`.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        recognizer: WindowRecognizer | None,
        fps: int,
        sharpen: Callable[[np.ndarray], np.ndarray],
    ):
        self.encoder, self.recognizer, self.fps, self.sharpen = encoder, recognizer, fps, sharpen
        self._whole, self._heard_seconds = np.zeros(len(EMOTIONS), np.float32), 0.0
        self._weights, self._target = neutral_weights(), neutral_weights()
        self._whole_strength, self._strength, self._strength_target = 0.0, 1.0, 1.0

    def hear(self, wave: np.ndarray, features: np.ndarray, spoken_seconds: float, seconds: float) -> None:
        """Recognise a window that ends now. One with little speech says nothing.

        Args:
            wave: ``(N,)`` at 16 kHz, up to WINDOW_SECONDS.
            features: ``(T, dim)`` of the window, for the encoder's emotion head. A recogniser encodes the window anew: with
                the context and the positions of the stream's features it errs more often.
            spoken_seconds: of speech in the window.
            seconds: since the last window.
        """
        if spoken_seconds < LEAST_SPEECH_SECONDS:
            return
        device, seconds_heard = next(self.encoder.parameters()).device, len(wave) / SAMPLE_RATE
        if self.recognizer is None:
            named = self.encoder.recognize_emotion(torch.from_numpy(features).to(device))
            found, strength = emotion_probabilities(named), None
        else:
            heard = self.recognizer.windows(torch.from_numpy(wave).to(device), seconds_heard, seconds_heard)
            found, strength = heard.probabilities[0], None if heard.strength is None else float(heard.strength[0])
        self._heard_seconds += seconds
        share = max(1 - math.exp(-seconds / WHOLE_SECONDS), seconds / self._heard_seconds)  # at first, the mean
        self._whole += share * (found - self._whole)
        if self._whole.any():
            self._target = self.sharpen(mixed_with_whole(found[None], self._whole)[0])
        if strength is not None:
            self._whole_strength += share * (strength - self._whole_strength)
            mixed = (1 - WHOLE_WEIGHT) * strength + WHOLE_WEIGHT * self._whole_strength
            self._strength_target = float(amplitude(np.array(mixed)))

    def follow(self, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights ``(frames, 8)`` and strength ``(frames,)`` float32 of the next frames, which approach what was heard last.

        At first, the emotion is neutral and the strength 1.
        """
        left = np.exp(-np.arange(1, frames + 1) / (FOLLOW_SECONDS * self.fps)).astype(np.float32)
        weights = self._target + left[:, None] * (self._weights - self._target)
        strength = self._strength_target + left * (self._strength - self._strength_target)
        self._weights, self._strength = weights[-1], float(strength[-1])
        return weights.astype(np.float32), strength.astype(np.float32)
