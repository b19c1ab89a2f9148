"""The motion of one recording, in blocks, so that memory does not grow with its length (docs/method.md 12)."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from emotalker.core.threads import one_thread
from emotalker.inference.performance import Performance, neutral_weights
from emotalker.inference.style import apply_amplitudes
from emotalker.models.code_decoder import CodeDecoder, Mode
from emotalker.models.hubert import SAMPLES_PER_VIDEO_FRAME
from emotalker.models.vqvae import FRAMES_PER_CODE

if TYPE_CHECKING:
    from emotalker.inference.generator import MotionGenerator

#: Frames of the longest block, 60 s; a recording up to this length is one block.
BLOCK_FRAMES = 1500
#: Frames that two blocks share, 4 s. They are cross-faded in the middle 1.6 s: the frames before and after are context of
#: filters, pauses and emotion windows.
OVERLAP_FRAMES, FADE_FRAMES = 100, 40


def block_spans(frames: int) -> list[tuple[int, int]]:
    """First and last frame (excluded) of blocks of equal length that overlap by OVERLAP_FRAMES or more; starts of codes."""
    if frames <= BLOCK_FRAMES:
        return [(0, frames)]
    count = math.ceil((frames - OVERLAP_FRAMES) / (BLOCK_FRAMES - OVERLAP_FRAMES))
    hop = (frames - OVERLAP_FRAMES) / count
    starts = [int(hop * i) // FRAMES_PER_CODE * FRAMES_PER_CODE for i in range(count)]
    ends = [(start + OVERLAP_FRAMES) // FRAMES_PER_CODE * FRAMES_PER_CODE for start in starts[1:]]
    return list(zip(starts, [*ends, frames], strict=True))


def in_blocks(
    samples: np.ndarray,
    frames: int,
    block: Callable[[np.ndarray, int], tuple[np.ndarray, ...]],
    widths: tuple[int, ...],
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[np.ndarray, ...]:
    """Process a recording in blocks and cross-fade the results.

    Args:
        samples: ``(N,)`` at 16 kHz.
        frames: F, of the recording.
        block: maps samples and the frame at which they begin to arrays ``(frames of the block, width)``.
        widths: of these arrays.
        on_frame: called with the frames done and all frames, before the first block and after each.

    Returns:
        Arrays ``(F, width)`` float32; for one block, what it returns.
    """
    spans = block_spans(frames)
    on_frame(0, frames)
    if len(spans) == 1:
        result = block(samples, 0)
        on_frame(frames, frames)
        return result
    results, done = tuple(np.empty((frames, width), np.float32) for width in widths), 0
    for start, end in spans:
        parts = block(samples[start * SAMPLES_PER_VIDEO_FRAME : end * SAMPLES_PER_VIDEO_FRAME], start)
        shared = done - start
        ramp = ((np.arange(shared) - (shared - FADE_FRAMES) / 2) / FADE_FRAMES).clip(0, 1).astype(np.float32)[:, None]
        for result, part in zip(results, parts, strict=True):
            result[start:done] += ramp * (part[:shared] - result[start:done])
            result[done:end] = part[shared:]
        done = end
        on_frame(done, frames)
    return results


class RecordingMotion:
    """Motion of consecutive blocks of one recording. Codes continue from block to block; filters, means and pauses are those
    of a block.

    Args:
        generator: the networks.
        steps: the performance.
        reference: ``(D,)`` coefficients of the portrait.
        seed: of all random numbers.
        decoding, temperature, top_p: see :meth:`MotionGenerator.generate`.
        prefix: codes ``(P,)`` that the recording begins with; see :class:`~emotalker.models.code_decoder.CodeDecoder`.
    """

    def __init__(
        self,
        generator: MotionGenerator,
        steps: Performance,
        reference: np.ndarray,
        seed: int,
        decoding: Mode,
        temperature: float,
        top_p: float,
        prefix: Tensor | None = None,
    ):
        self.generator, self.steps = generator, steps
        self.reference = steps.reference(generator.tensor(reference), generator.lip.standardizer)
        self.decoder = code_decoder(generator, steps, self.reference, seed, decoding, temperature, top_p, prefix)
        rng = np.random.default_rng(seed)
        self.added_blinks, self.blinks = steps.blink_times(rng), steps.style.blink_times(generator.space.fps, rng)
        self.neutral = generator.tensor(neutral_weights())
        self._codes: Tensor | None = None  # vectors of the codes from _first on
        self._first = 0

    def block(self, samples: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Motion ``(F, D)``, emotion weights ``(F, 8)`` and strength ``(F, 1)`` of samples that begin at ``start``.

        The lips' audio is encoded by another thread meanwhile. Both use one thread of PyTorch: two threads per operation wait
        for each other, and beside another program that takes more processor time than the operations.
        """
        with one_thread(), ThreadPoolExecutor(1, "lips") as executor:
            return self._block(samples, start, executor)

    def _block(
        self, samples: np.ndarray, start: int, executor: ThreadPoolExecutor
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        generator, steps, wav = self.generator, self.steps, self.generator.tensor(samples)
        frames = -(-wav.shape[1] // SAMPLES_PER_VIDEO_FRAME)
        # inference mode is a thread's own
        predictor = executor.submit(torch.inference_mode()(generator.lip_predictor), wav, frames, self.reference)
        features, recognizer = generator.encode(wav)
        weights, strengths = generator.emotion(wav, features, recognizer, steps, start)
        del recognizer
        emotion, strength = generator.tensor(weights), generator.tensor(strengths)
        face = steps.face(self.decode(features, weights, start)[:, :frames])
        lips = steps.lips(predictor.result(), face, emotion, self.neutral, strength)
        face, lips = steps.correct(steps.vary(face), lips, emotion, strength)
        face, lips = steps.rest(steps.gestures(face, samples, self.added_blinks, start), lips, samples)
        motion = generator.space.merge(face[0].cpu().numpy(), lips[0].cpu().numpy())
        motion[:, generator.space.pose] = steps.pose(motion[:, generator.space.pose])
        motion = apply_amplitudes(motion, generator.space, steps.style, self.blinks, start)
        return motion, weights, strengths[:, None]

    def decode(self, features: Tensor, weights: np.ndarray, start: int) -> Tensor:
        """Decode the codes of a block that are not decoded yet, then the face motion of all rows ``(R, 4 L, len(face))``.

        Args:
            features: ``(1, T, dim)`` of the block.
            weights: emotion weights of its frames ``(F, 8)``.
            start: its first frame, the first of a code.
        """
        generator, first = self.generator, start // FRAMES_PER_CODE
        known = self.decoder.position - first  # codes of this block that the last one decoded
        new = features[:, known * generator.transformer.config.frames_per_code :]
        has_emotions = generator.transformer.config.num_emotions > 0
        codes = self.decoder.extend(
            new,
            generator.tensor(code_means(weights, FRAMES_PER_CODE)[known:]) if has_emotions else None,
            self.neutral if has_emotions else None,
        ).features
        context = math.ceil(generator.vqvae.decoder_reach / FRAMES_PER_CODE)
        if self._codes is not None:
            kept = max(self._first, first - context)
            codes = torch.cat([self._codes[:, kept - self._first :], codes], dim=1)
            self._first = kept
        self._codes = codes
        return generator.vqvae.decode(codes)[:, (first - self._first) * FRAMES_PER_CODE :]


def code_decoder(
    generator: MotionGenerator,
    steps: Performance,
    reference: Tensor,
    seed: int,
    decoding: Mode,
    temperature: float,
    top_p: float,
    prefix: Tensor | None = None,
) -> CodeDecoder:
    """The decoder of a recording's codes, a row for each decoding mode of the performance; ``reference`` is ``(1, D)``.

    ``prefix`` is ``(P,)`` codes that the recording begins with.
    """
    modes = steps.decoding_modes(decoding)
    return CodeDecoder(
        generator.transformer,
        reference.expand(len(modes), -1),
        generator.vqvae.quantizer.codebook,
        modes,
        temperature=temperature,
        top_p=top_p,
        generators=generator.random_generators(seed, modes),
        guidance_scale=steps.style.intensity,
        prefix=prefix,
    )


def code_means(weights: np.ndarray, frames_per_code: int) -> np.ndarray:
    """Mean of each code's frames, ``(F, 8)`` to ``(ceil(F / frames_per_code), 8)``; the last frame fills the last code."""
    padded = np.pad(weights, ((0, -len(weights) % frames_per_code), (0, 0)), mode="edge")
    return padded.reshape(-1, frames_per_code, weights.shape[1]).mean(1, dtype=np.float64)
