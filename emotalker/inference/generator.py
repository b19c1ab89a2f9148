"""From a recording to a motion: speech features, motion codes, face motion, lips (docs/method.md 1)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emotalker.audio.io import SAMPLE_RATE
from emotalker.audio.mel import MelSpectrogram
from emotalker.coefficients import CoefficientSpace, MotionTrack
from emotalker.core.checkpoint import load_checkpoint, shipped
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import CheckpointError
from emotalker.inference.driving import after_driving, check_driving, continue_from, driving_codes
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.hearing import EncodedRecording, EncoderRecognizer, WindowRecognizer, hear_over_time
from emotalker.inference.performance import PERFORMANCE, LipPredictor, Performance, PerformanceConfig
from emotalker.inference.recording import RecordingMotion, in_blocks
from emotalker.inference.style import DEFAULT_STYLE, Style, StyleError
from emotalker.models import VQVAE, AudioEncoder, CrossModalTransformer, EmotionRecognizer, ExpressionPrior, LipBranch
from emotalker.models.hubert import SAMPLES_PER_VIDEO_FRAME, WINDOW_SECONDS
from emotalker.models.transformer import Mode

#: Video frames per chunk of the lip branch, and context frames on either side of a chunk.
LIP_CHUNK, LIP_CONTEXT = 500, 8
#: Distance between the seeds of a recording's sampled rows, so that neighbouring user seeds share no row.
ROW_SEED_STEP = 1_000_003
#: Frames between the times of :attr:`GeneratedMotion.emotion`.
EMOTION_STEP = 5


@dataclass
class GeneratedMotion(MotionTrack):
    """A motion and the emotion that it shows.

    Attributes:
        emotion: weights of the emotions that the motion was generated with, and their strength before the style's intensity.
    """

    emotion: EmotionTrack


class MotionGenerator:
    """Predicts a motion from a voice with all trained networks.

    Args:
        encoder: speech features for the face branch.
        transformer, vqvae: the face branch: code prediction, and decoding of codes to motion.
        lip: the lip branch.
        expression: expressions of the emotions; None disables the step ``mean_correction``.
        recognizer: of the voice's emotion; None uses the encoder's emotion head.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        transformer: CrossModalTransformer,
        vqvae: VQVAE,
        lip: LipBranch,
        expression: ExpressionPrior | None = None,
        recognizer: WindowRecognizer | None = None,
    ):
        self.encoder, self.transformer, self.vqvae, self.lip = encoder, transformer, vqvae, lip
        self.expression, self.recognizer = expression, recognizer
        self.mel = MelSpectrogram().to(self.device)
        for network in (encoder, transformer, vqvae, lip):
            network.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> MotionGenerator:
        """Load ``audio_encoder``, ``transformer``, ``vqvae``, ``lip`` and, if present, ``expression`` and
        ``emotion_recognizer`` (``.safetensors``).

        Args:
            folder: of the checkpoints; None for the shipped ones. A subfolder ``audio_encoder/`` in Hugging Face's layout
                (e.g. ``superb/hubert-base-superb-er``) replaces ``audio_encoder.safetensors``.
            device: where the networks run.

        Raises:
            CheckpointError: a file is missing, damaged or does not fit the others; or the device is not available.
        """
        folder = Path(folder) if folder is not None else shipped("small")
        if not folder.is_dir():
            raise CheckpointError(f"there is no folder of checkpoints {folder}; give the one that training wrote")
        _check_device(device)
        if (folder / "audio_encoder").is_dir():
            encoder = AudioEncoder.from_pretrained(folder / "audio_encoder").to(device)
        else:
            encoder = load_checkpoint(folder / "audio_encoder.safetensors", "audio_encoder", device)
        transformer, vqvae, lip = (
            load_checkpoint(folder / f"{k}.safetensors", k, device) for k in ("transformer", "vqvae", "lip")
        )
        if transformer.config.audio_dim != encoder.dim:
            raise CheckpointError(
                f"the transformer in {folder} takes audio features of {transformer.config.audio_dim} entries, the audio "
                f"encoder outputs {encoder.dim}; use the audio encoder that the transformer was trained with"
            )
        optional = {kind: folder / f"{kind}.safetensors" for kind in ("expression", "emotion_recognizer")}
        expression, recognizer = (
            load_checkpoint(path, kind, device) if path.exists() else None for kind, path in optional.items()
        )
        if recognizer is not None:
            recognizer.eval().requires_grad_(False).attach(encoder)
        return cls(encoder, transformer, vqvae, lip, expression, recognizer)

    @property
    def space(self) -> CoefficientSpace:
        """The layout of generated motions."""
        return self.lip.space

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.lip.standardizer.mean.device

    @torch.inference_mode()
    def generate(
        self,
        samples: np.ndarray,
        reference: np.ndarray,
        *,
        seed: int = 0,
        style: Style = DEFAULT_STYLE,
        decoding: Mode = "sample",
        temperature: float = 1.0,
        top_p: float = 0.9,
        performance: PerformanceConfig = PERFORMANCE,
        driving: MotionTrack | None = None,
        on_frame: Callable[[int, int], None] = lambda done, total: None,
    ) -> GeneratedMotion:
        """Predict one frame for every 640 samples. Recordings of more than a minute are processed in overlapping blocks, so
        that time grows in proportion to length and memory by the result only (docs/method.md 12).

        Args:
            samples: ``(N,)`` float32 at 16 kHz.
            reference: ``(D,)`` coefficients of the portrait.
            seed: of all random numbers.
            style: the user's settings.
            decoding: "sample" samples codes, so that blinks and head motion vary; "continuous" feeds back the predicted
                vectors (the published method); "nearest" feeds back their nearest codes.
            temperature, top_p: of "sample".
            performance: the steps around the published method.
            driving: the first frames of the motion, from which the networks continue; see
                :mod:`emotalker.inference.driving`.
            on_frame: called with the frames done and all frames, after each block.

        Raises:
            StyleError: the style requests an emotion and the networks have no emotion input.
            ControlError: the driving frames are of another space, none or not finite.
        """
        prefix = None
        if driving is not None:
            check_driving(driving, self.space)
            prefix, performance = driving_codes(driving, self.vqvae), after_driving(performance)
        steps = Performance(performance, style, self.space, self.expression)
        recording = RecordingMotion(self, steps, reference, seed, decoding, temperature, top_p, prefix)
        frames = -(-len(samples) // SAMPLES_PER_VIDEO_FRAME)
        motion, weights, strength = in_blocks(samples, frames, recording.block, (self.space.dim, len(EMOTIONS), 1), on_frame)
        if driving is not None:
            motion = continue_from(driving.coefficients, motion, self.space)
        times = np.arange(0, frames, EMOTION_STEP) / self.space.fps
        shown = EmotionTrack(times, weights[::EMOTION_STEP], strength[::EMOTION_STEP, 0])
        return GeneratedMotion(motion, self.space, shown)

    @torch.inference_mode()
    def emotion_weights(
        self, samples: np.ndarray, style: Style = DEFAULT_STYLE, performance: PerformanceConfig = PERFORMANCE
    ) -> np.ndarray:
        """The emotion weights of every frame with which :meth:`generate` generates, ``(N,)`` to ``(F, 8)``."""
        steps = Performance(performance, style, self.space, self.expression)

        def block(samples: np.ndarray, start: int) -> tuple[np.ndarray]:
            wav = self.tensor(samples)
            return (self.emotion(wav, *self.encode(wav), steps, start)[0],)

        return in_blocks(samples, -(-len(samples) // SAMPLES_PER_VIDEO_FRAME), block, (len(EMOTIONS),))[0]

    @torch.inference_mode()
    def hear_emotion(self, samples: np.ndarray) -> dict[str, float]:
        """Probabilities of EMOTIONS of a recording ``(N,)``; all zero without recogniser and emotion head."""
        wav = self.tensor(samples)
        recognizer = self.recognizer or self.encode(wav)[1]
        return dict(zip(EMOTIONS, hear_over_time(recognizer, wav[0], over_time=False).weights[0].tolist(), strict=True))

    def tensor(self, values: np.ndarray) -> Tensor:
        """Add a batch dimension: ``(...)`` to ``(1, ...)`` float32 on the networks' device."""
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None].to(self.device)

    def random_generators(self, seed: int, modes: list[Mode]) -> list[torch.Generator]:
        """A random generator per row. Only sampled rows are counted, so that their seeds do not depend on the other rows."""
        numbers = np.cumsum([mode == "sample" for mode in modes]) - 1
        return [torch.Generator(self.device).manual_seed(seed + max(0, int(n)) * ROW_SEED_STEP) for n in numbers]

    def encode(self, wav: Tensor) -> tuple[Tensor, WindowRecognizer]:
        """Speech features ``(1, T, dim)`` of a recording, and a recogniser of its emotion that encodes at most once more."""
        if not isinstance(self.recognizer, EmotionRecognizer):
            features = self.encoder.encode_long(wav)
            return features, self.recognizer or EncoderRecognizer(self.encoder, features)
        if wav.shape[1] > WINDOW_SECONDS * SAMPLE_RATE:  # the recogniser was trained without the context of these windows
            return self.encoder.encode_long(wav), EncodedRecording(self.recognizer)
        hidden = self.encoder.encode_all(self.encoder.prepare(wav))
        return hidden[:, :, -1], EncodedRecording(self.recognizer, hidden[0])

    def emotion(
        self, wav: Tensor, features: Tensor, recognizer: WindowRecognizer, steps: Performance, start: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """``emotion_windows``; returns weights ``(F, 8)`` and strength ``(F,)`` of the frames, with the requested emotion.

        ``start`` is the frame of the recording at which the samples begin.

        Raises:
            StyleError: the style requests an emotion and the networks have no emotion input.
        """
        self.check_style(steps.style)
        heard = hear_over_time(recognizer, wav[0], steps.config.uses("emotion_windows"))
        frames = features.shape[1] // 2
        return steps.emotion(heard, frames, start), steps.strength(heard, frames, start)

    def check_style(self, style: Style) -> None:
        """StyleError if the style requests an emotion and the networks have no emotion input."""
        if style.requested is not None and not (self.transformer.config.num_emotions and self.lip.config.num_emotions):
            raise StyleError("these checkpoints have no emotion input; leave --emotion out, or use the shipped checkpoints")

    def lip_predictor(self, wav: Tensor, frames: int, reference: Tensor) -> LipPredictor:
        """The lip branch on one recording. The audio is encoded once, in chunks that bound the memory."""
        windows, chunks = self.lip.windows(self.mel(wav), frames), []
        for start in range(0, frames, LIP_CHUNK):
            span = slice(max(0, start - LIP_CONTEXT), min(frames, start + LIP_CHUNK + LIP_CONTEXT))
            chunks.append((start, span, self.lip.encode_audio(windows[:, span])))

        def predict(face: Tensor, emotion: Tensor) -> Tensor:
            weights = emotion if emotion.ndim == 3 else emotion[:, None].expand(-1, frames, -1)
            expression, parts = face[..., : len(self.lip.face_expression)], []
            for start, span, audio in chunks:
                condition = weights[:, span] if self.lip.config.num_emotions else None
                lips = self.lip.predict(audio, expression[:, span], reference, condition)
                parts.append(lips[:, start - span.start : start - span.start + LIP_CHUNK])
            return torch.cat(parts, 1)

        return predict


def _check_device(device: str | torch.device) -> None:
    """CheckpointError if no tensor can be made on the device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"the device {device!r} cannot be used ({reason}); try --device cpu") from error
