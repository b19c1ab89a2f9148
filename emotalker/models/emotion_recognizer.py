"""Emotion recogniser: the emotion of a voice from the audio encoder's hidden states and prosody (docs/method.md 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.core.checkpoint import register_model
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import CheckpointError
from emotalker.models.hubert import EXTRA_SAMPLES, FRAMES_PER_SECOND, HOP_LENGTH, AudioEncoder
from emotalker.models.prosody import STATISTICS, is_speech, prosody, prosody_statistics
from emotalker.settings.networks import EmotionRecognizerSize

#: Classes of the network: the emotions, and RAVDESS' calm, whose probability is added to neutral.
CLASSES = (*EMOTIONS, "calm")
NEUTRAL, CALM = CLASSES.index("neutral"), CLASSES.index("calm")
#: Windows with less speech than this count as neutral, seconds.
LEAST_SPEECH_SECONDS = 0.2
#: Longer windows are divided into pieces whose probabilities are averaged: training examples are not longer.
LONGEST_SECONDS = 5.0
#: The encoder takes long recordings in pieces of this length, seconds.
_CHUNK_SECONDS = 20.0


@dataclass(frozen=True)
class EmotionRecognizerConfig(EmotionRecognizerSize):
    """The size, and what the audio encoder determines.

    Attributes:
        encoder_dim, encoder_layers: width and number of layers of the audio encoder.
    """

    encoder_dim: int = 512
    encoder_layers: int = 2

    @property
    def inputs(self) -> int:
        """Entries of a window's description."""
        return 2 * self.encoder_dim * (self.encoder_layers + 1) + STATISTICS


class HeardWindows(NamedTuple):
    """What is heard in the windows of a recording.

    Attributes:
        times: ``(W,)`` centres in seconds.
        probabilities: ``(W, 8)`` of EMOTIONS.
        strength: ``(W,)`` probability that the emotion is strong, 0..1; None if the recogniser does not hear it.
    """

    times: np.ndarray
    probabilities: np.ndarray
    strength: np.ndarray | None = None


@register_model("emotion_recognizer")
class EmotionRecognizer(nn.Module):
    """Classifies the statistics of a window: mean and standard deviation over its speech of all hidden states of the audio
    encoder (Snyder et al. 2018 for the pooling), and of prosody. The directions in which speakers and recordings differ most
    are removed (nuisance attribute projection, Solomonoff et al. 2005). Probabilities of several classifiers are averaged.
    A logistic regression on the same description tells how strong the emotion is.

    ``mean`` and ``std`` of the descriptions, ``nuisance``, the calibration's ``bias`` and ``temperature``, and
    ``strength_weights`` and ``strength_bias`` are set by training.
    Frames of the whole recording are computed once; windows differ only in the frames they pool.
    """

    Config = EmotionRecognizerConfig

    def __init__(self, config: EmotionRecognizerConfig):
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.input_dropout),
                nn.Linear(config.inputs, config.hidden_dim),
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_dim, len(CLASSES)),
            )
            for _ in range(config.members)
        )
        self.register_buffer("mean", torch.zeros(config.inputs))
        self.register_buffer("std", torch.ones(config.inputs))
        self.register_buffer("nuisance", torch.zeros(config.nuisance, config.inputs))
        self.register_buffer("bias", torch.zeros(len(CLASSES)))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("strength_weights", torch.zeros(config.inputs))
        self.register_buffer("strength_bias", torch.zeros(()))
        self._encoder: list[AudioEncoder] = []  # a list, because the encoder's weights are not the recogniser's

    def attach(self, encoder: AudioEncoder) -> EmotionRecognizer:
        """Set the audio encoder whose hidden states :meth:`windows` uses; CheckpointError if it has another size."""
        found = (encoder.dim, len(encoder.hubert.encoder.layers))
        if found != (self.config.encoder_dim, self.config.encoder_layers):
            raise CheckpointError(
                f"the emotion recogniser was trained with an audio encoder of width {self.config.encoder_dim} and "
                f"{self.config.encoder_layers} layers, this one has {found[0]} and {found[1]}; use the one of its training"
            )
        self._encoder = [encoder]
        return self

    def standardize(self, descriptions: Tensor) -> Tensor:
        """Zero mean, unit variance, and without outliers: ``(..., inputs)`` to the same shape."""
        return ((descriptions - self.mean) / self.std).clamp(-self.config.clip, self.config.clip)

    def project(self, descriptions: Tensor) -> Tensor:
        """Standardised descriptions without the nuisance directions, ``(B, inputs)`` to the same shape."""
        x = self.standardize(descriptions)
        return x - (x @ self.nuisance.T) @ self.nuisance

    def member_logits(self, descriptions: Tensor) -> Tensor:
        """``(B, inputs)`` to the logits of all classifiers ``(members, B, 9)``, before calibration."""
        x = self.project(descriptions)
        return torch.stack([member(x) for member in self.members])

    def strength(self, descriptions: Tensor) -> Tensor:
        """Probability that the emotion is strong: ``(B, inputs)`` to ``(B,)``."""
        return (self.project(descriptions) @ self.strength_weights + self.strength_bias).sigmoid()

    def forward(self, descriptions: Tensor) -> Tensor:
        """Calibrated logarithms of the probabilities of :data:`CLASSES`: ``(B, inputs)`` to ``(B, 9)``."""
        mixed = self.member_logits(descriptions).log_softmax(-1).logsumexp(0) - math.log(self.config.members)
        return (mixed / self.temperature + self.bias).log_softmax(-1)

    def probabilities(self, descriptions: Tensor) -> Tensor:
        """Probabilities of EMOTIONS: ``(B, inputs)`` to ``(B, 8)``."""
        found = self(descriptions).exp()
        calm = F.one_hot(torch.tensor(NEUTRAL), len(EMOTIONS)).to(found) * found[:, CALM:]
        return found[:, :CALM] + calm

    @torch.no_grad()
    def windows(self, wave: Tensor, seconds: float = 2.0, hop: float = 0.5) -> HeardWindows:
        """Emotion over time; windows without speech are neutral with strength 0. A recogniser that was trained without strong
        speech hears no strength.

        Args:
            wave: ``(N,)`` at 16 kHz.
            seconds: length of a window; a shorter recording is one window.
            hop: distance of the starts of windows in seconds; the last window ends with the recording.
        """
        return self.windows_of(self.frames(wave), seconds, hop)

    @torch.no_grad()
    def windows_of(self, heard: tuple[Tensor, Tensor, Tensor], seconds: float, hop: float) -> HeardWindows:
        """:meth:`windows` of a recording whose :func:`frames` are known."""
        hidden, spoken, frames = heard
        total = len(hidden)
        complete = seconds * FRAMES_PER_SECOND >= total - 2  # a video frame more than the wave at most
        length = total if complete else max(1, round(seconds * FRAMES_PER_SECOND))
        step = max(1, round(hop * FRAMES_PER_SECOND))
        starts = sorted({*range(0, total - length + 1, step), total - length})
        found = [self._window(hidden[s : s + length], spoken[s : s + length], frames[s : s + length]) for s in starts]
        probabilities, strength = (torch.stack(values).cpu().numpy() for values in zip(*found, strict=True))
        known = bool(self.strength_weights.any())
        centres = (np.array(starts) + length / 2) / FRAMES_PER_SECOND
        return HeardWindows(centres, probabilities, strength if known else None)

    def recognize(self, wave: Tensor) -> Tensor:
        """Probabilities ``(8,)`` of EMOTIONS of a whole recording ``(N,)``."""
        return torch.from_numpy(self.windows(wave, math.inf).probabilities[0])

    def _window(self, hidden: Tensor, spoken: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities ``(8,)`` and strength ``()`` of a window, means of a long one's pieces by their amount of speech."""
        pieces = math.ceil(len(hidden) / (LONGEST_SECONDS * FRAMES_PER_SECOND))
        parts = list(zip(*(x.tensor_split(pieces) for x in (hidden, spoken, frames)), strict=True))
        least = LEAST_SPEECH_SECONDS * FRAMES_PER_SECOND
        parts = [part for part in parts if part[1].sum() >= least]
        if not parts:
            neutral = torch.tensor(NEUTRAL, device=hidden.device)
            return F.one_hot(neutral, len(EMOTIONS)).float(), hidden.new_zeros(())
        weights = torch.stack([part[1].sum() for part in parts]).float()
        weights, described = weights / weights.sum(), torch.stack([describe(*part) for part in parts])
        return weights @ self.probabilities(described), weights @ self.strength(described)

    @torch.no_grad()
    def frames(self, wave: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """:func:`frames` with the attached encoder."""
        if not self._encoder:
            raise CheckpointError("the emotion recogniser has no audio encoder; attach one")
        return frames(self._encoder[0], wave, hidden)


@torch.no_grad()
def frames(encoder: AudioEncoder, wave: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """What windows are described from, at 50 Hz.

    Args:
        encoder: its hidden states are used.
        wave: ``(N,)`` at 16 kHz.
        hidden: the encoder's hidden states of this recording ``(T, layers + 1, dim)``, if they are known.

    Returns:
        All hidden states ``(T, layers + 1, dim)``, frames that are speech ``(T,)`` bool, and prosody ``(T, 8)``.
    """
    if hidden is None:
        padded, parts = encoder.prepare(wave[None]), []
        total = (padded.shape[-1] - EXTRA_SAMPLES) // HOP_LENGTH
        pieces = math.ceil(total / (_CHUNK_SECONDS * FRAMES_PER_SECOND))
        for place in torch.arange(total).tensor_split(pieces):
            piece = padded[:, place[0] * HOP_LENGTH : (place[-1] + 1) * HOP_LENGTH + EXTRA_SAMPLES]
            parts.append(encoder.encode_all(piece)[0])
        hidden = torch.cat(parts)
    measured = prosody(wave)
    return hidden.float(), is_speech(measured), measured


def describe(hidden: Tensor, spoken: Tensor, prosody: Tensor) -> Tensor:
    """A window's description: ``(T, layers, dim)``, ``(T,)`` with some speech and ``(T, 8)`` to ``(inputs,)``."""
    heard = hidden[spoken]
    pooled = torch.stack([heard.mean(0), heard.std(0, correction=0)]).flatten()
    return torch.cat([pooled, prosody_statistics(prosody, spoken)])
