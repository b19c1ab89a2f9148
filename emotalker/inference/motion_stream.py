"""The motion of a voice while it speaks (docs/method.md 12).

The stream is processed in hops of one code, 4 frames, at absolute positions, so that the motion does not depend on how the
samples are divided into chunks. Every hop does the same work, on windows of constant length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import CheckpointError
from emotalker.core.threads import one_thread
from emotalker.inference.gestures import BLINK, BLINK_GAP, SHUT, BlinkTimes, blink_at
from emotalker.inference.history import History
from emotalker.inference.performance import PERFORMANCE, Performance, PerformanceConfig, neutral_weights
from emotalker.inference.recording import code_decoder
from emotalker.inference.stream_lips import StreamLips
from emotalker.inference.stream_voice import VoiceStream
from emotalker.inference.style import BLINK_THRESHOLD, DEFAULT_STYLE, Style, apply_amplitudes
from emotalker.models.code_decoder import Mode
from emotalker.models.hubert import HOP_LENGTH, SAMPLES_PER_VIDEO_FRAME
from emotalker.models.vqvae import FRAMES_PER_CODE

if TYPE_CHECKING:
    from emotalker.inference.generator import MotionGenerator

#: Seconds of audio after a hop that its lips need: their mel windows reach 92.5 ms beyond the frames.
LOOK_AHEAD = 0.1
#: Codes by which brows, eyes and head follow the voice, 0.32 s: the audio encoder needs to hear what comes next for one
#: (docs/method.md 12), and the VQ-VAE's decoder needs the next code.
FACE_DELAY = 2
#: Frames by which accents follow the voice, because a maximum is one only when the level has fallen.
ACCENT_DELAY = FRAMES_PER_CODE
#: Provisional frames at the end of a window.
MORE = FRAMES_PER_CODE
#: Frames of the window over which means, filters and pauses are computed: 12 s.
WINDOW_FRAMES = 300
#: Codes before a hop that the VQ-VAE's decoder sees.
CONTEXT_CODES = 14


class MotionStream:
    """Motion from audio that arrives in chunks. Memory and time for each frame are constant, for any length.

    A frame is ready when the audio to the end of its hop and the look-ahead after it have arrived.

    Args:
        generator: the networks.
        reference: ``(D,)`` coefficients of the portrait.
        seed, style, decoding, temperature, top_p, performance: see :meth:`MotionGenerator.generate`.
        look_ahead: seconds of audio after a hop that are waited for. More makes the lips better.

    Raises:
        CheckpointError: the lip branch needs the mean of the whole recording.
        StyleError: the style requests an emotion and the networks have no emotion input.
    """

    def __init__(
        self,
        generator: MotionGenerator,
        reference: np.ndarray,
        *,
        seed: int = 0,
        style: Style = DEFAULT_STYLE,
        decoding: Mode = "sample",
        temperature: float = 1.0,
        top_p: float = 0.9,
        performance: PerformanceConfig = PERFORMANCE,
        look_ahead: float = LOOK_AHEAD,
    ):
        if generator.lip.config.normalize_mel:
            raise CheckpointError(
                "this lip branch subtracts the mean of the whole recording; stream with one of normalize_mel=false"
            )
        generator.check_style(style)
        self.generator, self.space = generator, generator.space
        self.steps = Performance(performance, style, self.space, generator.expression)
        portrait = self.steps.reference(generator.tensor(reference), generator.lip.standardizer)
        self.decoder = code_decoder(generator, self.steps, portrait, seed, decoding, temperature, top_p)
        rng = np.random.default_rng(seed)
        self._added, self._replaced = self.steps.blink_times(rng), style.blink_times(self.space.fps, rng)
        self.look_ahead = round(look_ahead * SAMPLE_RATE / HOP_LENGTH) * HOP_LENGTH  # samples
        hop = FRAMES_PER_CODE * SAMPLES_PER_VIDEO_FRAME
        self.voice = VoiceStream(
            generator, self.steps, self.look_ahead + (FACE_DELAY - 1) * hop, WINDOW_FRAMES + ACCENT_DELAY
        )
        self.lips = StreamLips(generator, portrait, self.voice.audio, WINDOW_FRAMES)
        self._waiting = np.zeros(0, np.float32)  # samples of the next hop
        self._codes = History(CONTEXT_CODES + 1, (len(self.decoder.modes), generator.vqvae.config.code_dim))
        self._face = History(WINDOW_FRAMES, (len(self.space.face),))
        self._weights, self._strength = History(WINDOW_FRAMES, (len(EMOTIONS),)), History(WINDOW_FRAMES)
        # the face of the four frames after the last hop; it begins at rest
        self._provisional = np.zeros((FRAMES_PER_CODE, len(self.space.face)), np.float32)
        self._last: np.ndarray | None = None  # the frame before the next, without added blinks
        self._lids = History(round(BLINK_GAP * self.space.fps), (2,))
        self._blinks: list[int] = []  # first frames of blinks that are not over
        self._neutral = generator.tensor(neutral_weights())
        self._eyelids = self.space.indices([n for n in self.space.expression_names if n.startswith("eyeBlink")])
        self._hops = 0

    @property
    def emotion(self) -> np.ndarray:
        """Weights of the emotions ``(8,)`` in the last frame, before the style's intensity; neutral at first."""
        return self._weights(self._weights.end - 1, self._weights.end)[0] if self._weights.end else neutral_weights()

    @property
    def latency(self) -> float:
        """Seconds from the end of a frame's audio to the audio that completes its hop, at most."""
        return (FRAMES_PER_CODE - 1) / self.space.fps + self.look_ahead / SAMPLE_RATE

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Add samples ``(N,)`` float32 at 16 kHz; returns the frames that are ready now, ``(F, D)``, F >= 0."""
        hop, frames = FRAMES_PER_CODE * SAMPLES_PER_VIDEO_FRAME, [np.zeros((0, self.space.dim), np.float32)]
        while len(samples):  # up to the end of each hop, so that nothing depends on the chunk's length
            missing = (self._hops + 1) * hop + self.look_ahead - self._received
            self._waiting = np.concatenate([self._waiting, samples[:missing]])
            samples = samples[missing:]
            if self._received == (self._hops + 1) * hop + self.look_ahead:
                self.voice.samples.append(self._waiting)
                self._waiting = self._waiting[:0]
                with one_thread(), torch.inference_mode():
                    frames.append(self._hop())
        return np.concatenate(frames)

    def finish(self) -> np.ndarray:
        """The frames that are left, ``(F, D)``: with those before, one for every 640 samples, rounded up."""
        first, frames = self._hops * FRAMES_PER_CODE, -(-self._received // SAMPLES_PER_VIDEO_FRAME)
        end = -(-frames // FRAMES_PER_CODE) * FRAMES_PER_CODE * SAMPLES_PER_VIDEO_FRAME + self.look_ahead
        return self.push(np.zeros(end - self._received, np.float32))[: frames - first]

    @property
    def _received(self) -> int:
        """Samples so far."""
        return self.voice.samples.end + len(self._waiting)

    def _hop(self) -> np.ndarray:
        """The next four frames, ``(4, D)``."""
        start = self._hops * FRAMES_PER_CODE
        end, reach = start + FRAMES_PER_CODE, self.lips.reach
        heard, strength = self.voice.hear(self._hops)
        self._weights.append(self._requested(self.steps.with_requested, heard, start))
        self._strength.append(self._requested(self.steps.strength_with_requested, strength, start))
        self._face.append(self._decode())
        ahead = self.lips.advance(
            start,
            self.voice.samples.end,
            self._face_around(start - reach, end + reach),
            self._weights(start - reach, end + reach),
        )
        self._hops += 1
        return self._blink(self._continued(self._perform(end, ahead)), start)

    def _requested(self, step: Callable[[np.ndarray, int], np.ndarray], heard: np.ndarray, start: int) -> np.ndarray:
        """A step of the performance on four frames ``(4, ...)``; what it requests is smoothed over the frames around."""
        margin = 4 * round(self.steps.config.emotion_smoothing * self.space.fps)
        around = np.pad(heard, ((margin, margin), *[(0, 0)] * (heard.ndim - 1)), mode="edge")
        return step(around, start - margin)[margin : margin + len(heard)]

    def _decode(self) -> np.ndarray:
        """The face of the next four frames ``(4, len(space.face))``: the motion for the voice FACE_DELAY codes before.

        Four frames are decoded once as the last ones and once with the code after them; these are cross-faded.
        """
        before, code = self._provisional, self._hops - FACE_DELAY + 1
        if code < 0:
            return before
        last = self._weights.end - (FACE_DELAY - 1) * FRAMES_PER_CODE
        has_emotions = self.generator.transformer.config.num_emotions > 0
        weights = self.generator.tensor(self._weights(last - FRAMES_PER_CODE, last).mean(0)[None])
        codes = self.decoder.extend(
            self.voice.features(code),
            weights if has_emotions else None,
            self._neutral if has_emotions else None,
        )
        self._codes.append(codes.features.transpose(0, 1).cpu().numpy())
        known = self._codes(self._codes.start, self._codes.end)
        face = self.steps.face(self.generator.vqvae.decode(self.generator.tensor(known)[0].transpose(0, 1)))[0].cpu().numpy()
        self._provisional = face[-FRAMES_PER_CODE:]
        anew = face[-2 * FRAMES_PER_CODE : -FRAMES_PER_CODE] if code else face[:1]
        ramp = np.linspace(0, 1, FRAMES_PER_CODE + 1, dtype=np.float32)[1:, None]
        return before + ramp * (anew - before)

    def _face_around(self, start: int, end: int) -> np.ndarray:
        """Face of frames ``start .. end``, provisional after the last hop; the first and the last frame are repeated."""
        last = self._face.end
        rows = [self._face(start, min(end, last)), self._provisional[: end - last]]
        missing = max(0, end - last - FRAMES_PER_CODE)
        return np.concatenate([*rows, np.repeat(self._provisional[-1:], missing, 0)])

    def _perform(self, end: int, ahead: np.ndarray) -> np.ndarray:
        """The performance of the window up to frame ``end``: its last five frames ``(<= 5, D)``.

        The window goes on with provisional frames, so that filters are not cut off; ``ahead`` ``(A, 3, L)`` are its lips.
        """
        steps, tensor, more = self.steps, self.generator.tensor, MORE
        start = self._face.start
        face = tensor(self._face_around(start, end + more))
        lips = np.concatenate([self.lips.history(start, end), ahead[:more]])
        lips = tensor(np.pad(lips, ((0, end + more - start - len(lips)), (0, 0), (0, 0)), mode="edge"))
        emotion, strength = tensor(self._weights(start, end + more)), tensor(self._strength(start, end + more))
        lips = steps.join_lips(*lips.unbind(2), strength) if steps.splits_lips else lips[:, :, 0]
        face, lips = steps.correct(steps.vary(face), lips, emotion, strength)
        face = steps.gestures(face, self._samples(start - ACCENT_DELAY, end + more - ACCENT_DELAY), BlinkTimes(None))
        face, lips = steps.rest(face, lips, self._samples(start, end + more), self.voice.threshold)
        motion = self.space.merge(face[0].cpu().numpy(), lips[0].cpu().numpy())
        motion[:, self.space.pose] = steps.pose(motion[:, self.space.pose])
        return apply_amplitudes(motion, self.space, steps.style)[:-more][-FRAMES_PER_CODE - 1 :]

    def _samples(self, start: int, end: int) -> np.ndarray:
        """Samples of frames; the last known frame is repeated, so that what is not known yet does not look like silence."""
        known = min(end, self.voice.samples.end // SAMPLES_PER_VIDEO_FRAME)
        samples = self.voice.audio(start * SAMPLES_PER_VIDEO_FRAME, known * SAMPLES_PER_VIDEO_FRAME)
        return np.concatenate([samples, *[samples[-SAMPLES_PER_VIDEO_FRAME:]] * (end - known)])

    def _continued(self, motion: np.ndarray) -> np.ndarray:
        """Four frames without a step to those before: what the last frame was estimated anew by fades out over the hop."""
        frames = motion[-FRAMES_PER_CODE:]
        if self._last is not None:
            fade = np.linspace(1, 0, FRAMES_PER_CODE + 1, dtype=np.float32)[1:, None]
            frames = frames + fade * (self._last - motion[0])
        self._last = frames[-1]
        return frames

    def _blink(self, motion: np.ndarray, start: int) -> np.ndarray:
        """``blink_rate``, or the style's blinks, in four frames from ``start`` on; blendshapes are clipped to 0..1."""
        motion, end = motion.copy(), start + len(motion)
        lids = motion[:, self._eyelids]
        if self._replaced is not None:
            lids = np.minimum(lids, BLINK_THRESHOLD)
            self._blinks += self._replaced.between(start, end)
        elif self.steps.config.uses("blink_rate"):
            for at in self._added.between(start, end):
                around = lids if not self._lids.end else np.concatenate([self._lids(self._lids.start, start), lids])
                if around.mean(1).max() < SHUT:
                    self._blinks.append(at)
        for at in self._blinks:
            blink_at(lids, at - start)
        self._blinks = [at for at in self._blinks if at + len(BLINK) > end]
        self._lids.append(lids)
        motion[:, self._eyelids] = lids
        motion[:, self.space.expression] = motion[:, self.space.expression].clip(0, 1)
        return motion
