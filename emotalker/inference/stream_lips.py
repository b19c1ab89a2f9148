"""The lip branch on a voice while it speaks (docs/method.md 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from emotalker.audio.mel import HOP_LENGTH, MEL_RATE, MelSpectrogram, lip_windows
from emotalker.inference.history import History
from emotalker.inference.performance import neutral_weights
from emotalker.models.hubert import SAMPLES_PER_VIDEO_FRAME
from emotalker.models.vqvae import FRAMES_PER_CODE

if TYPE_CHECKING:
    from emotalker.inference.generator import MotionGenerator

#: Video frames whose starts are also starts of mel frames: 0.2 s are 5 and 16.
_ALIGNED = 5
#: Mel frames at either end of a piece that the zeros beyond it reach.
_EDGE = MelSpectrogram.n_fft // 2 // HOP_LENGTH


class StreamLips:
    """Lips of frame after frame for a face, and for a face at rest with the emotion and with neutral, as
    :meth:`~emotalker.inference.performance.Performance.join_lips` takes them.

    Args:
        generator: the networks.
        reference: ``(1, D)`` of the portrait.
        audio: samples ``start .. end`` of the stream, zero where it has none.
        history_frames: frames of lips that are kept.

    Attributes:
        history: ``(F, 3, L)``: lips for the face, at rest with the emotion, at rest with neutral.
    """

    def __init__(
        self,
        generator: MotionGenerator,
        reference: Tensor,
        audio: Callable[[int, int], np.ndarray],
        history_frames: int,
    ):
        self.lip, self.mel, self.audio = generator.lip, generator.mel, audio
        self.reference = reference.expand(3, -1)
        self.neutral = torch.from_numpy(neutral_weights()).to(reference)
        self.reach = generator.lip.config.temporal_layers  # frames on either side that a frame's lips depend on
        self._embeddings = History(FRAMES_PER_CODE + 2 * self.reach, (generator.lip.config.audio_dim,))
        self.history = History(history_frames, (3, len(generator.space.lip)))

    def advance(self, start: int, known: int, face: np.ndarray, emotion: np.ndarray) -> np.ndarray:
        """Predict the lips of the four frames from ``start`` on.

        Args:
            start: first frame.
            known: number of samples that have arrived.
            face: ``(reach + 4 + reach, len(space.face))`` of the frames around; provisional after the four.
            emotion: weights of the same frames ``(.., 8)``.

        Returns:
            Provisional lips ``(reach, 3, L)`` of the frames after.
        """
        before, total = min(self.reach, start), FRAMES_PER_CODE + self.reach
        embeddings = self.lip.encode_audio(self._windows(start, total, known))[0].cpu().numpy()
        context = self._embeddings(start - before, start) if before else embeddings[:0]
        self._embeddings.append(embeddings[:FRAMES_PER_CODE])
        embedded = torch.from_numpy(np.concatenate([context, embeddings])).to(self.reference)
        face, emotion = (torch.from_numpy(x[self.reach - before :]).to(self.reference) for x in (face, emotion))
        expression = face[:, : len(self.lip.face_expression)]
        rest = torch.zeros_like(expression)
        weights = torch.stack([emotion, emotion, self.neutral.expand_as(emotion)]) if self.lip.config.num_emotions else None
        lips = self.lip.predict(embedded.expand(3, -1, -1), torch.stack([expression, rest, rest]), self.reference, weights)
        lips = lips.transpose(0, 1).cpu().numpy()
        self.history.replace_last(lips[:before])  # now with the frames after them
        self.history.append(lips[before : before + FRAMES_PER_CODE])
        return lips[before + FRAMES_PER_CODE :]

    def _windows(self, start: int, count: int, known: int) -> Tensor:
        """Mel windows of ``count`` frames from ``start`` on, ``(1, count, 80, 16)``; mel frames that need samples beyond
        ``known`` repeat the last one."""
        origin = max(0, (start - 2 * _ALIGNED) // _ALIGNED * _ALIGNED)
        wave = torch.from_numpy(self.audio(origin * SAMPLES_PER_VIDEO_FRAME, known))[None].to(self.reference)
        mel = self.mel(wave)
        mel = mel[..., : max(1, mel.shape[-1] - _EDGE)]
        return lip_windows(mel, count, self.lip.space.fps, start, origin * MEL_RATE // self.lip.space.fps)
