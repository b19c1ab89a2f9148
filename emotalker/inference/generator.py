"""From a recording to a motion: speech features, code indices, face motion, lips (docs/method.md 1)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emotalker.audio.mel import MelSpectrogram
from emotalker.coefficients import CoefficientSpace, MotionTrack
from emotalker.core.checkpoint import load_checkpoint, shipped
from emotalker.core.errors import CheckpointError
from emotalker.inference.performance import PERFORMANCE, LipPredictor, Performance, PerformanceConfig, neutral_weights
from emotalker.inference.style import AS_HEARD, Style, StyleError, apply_amplitudes
from emotalker.models import VQVAE, AudioEncoder, CrossModalTransformer, ExpressionPrior, LipBranch
from emotalker.models.hubert import SAMPLES_PER_VIDEO_FRAME
from emotalker.models.transformer import Mode

#: Video frames whose lips are predicted at a time, and those around them that serve as context only.
LIP_CHUNK, LIP_CONTEXT = 500, 8
#: Seeds of further samples of one recording lie this far apart, so that neighbouring seeds share none.
DRAW_SEED_STEP = 1_000_003


class MotionGenerator:
    """Predicts a motion from a voice; all learned stages together.

    Args:
        encoder: speech features for the face branch.
        transformer, vqvae: the face branch: code indices, and what codes mean.
        lip: the lip branch, which overrides the lip entries.
        expression: mean expressions of the emotions; None leaves expressions as the other networks make them.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        transformer: CrossModalTransformer,
        vqvae: VQVAE,
        lip: LipBranch,
        expression: ExpressionPrior | None = None,
    ):
        self.encoder, self.transformer, self.vqvae, self.lip = encoder, transformer, vqvae, lip
        self.expression = expression
        self.mel = MelSpectrogram().to(self.device)
        for network in (encoder, transformer, vqvae, lip):
            network.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> MotionGenerator:
        """Load ``audio_encoder``, ``transformer``, ``vqvae``, ``lip`` and, if it is there, ``expression`` ``.safetensors``
        from a folder.

        A folder ``audio_encoder/`` in Hugging Face's layout (``superb/hubert-base-superb-er``, say) takes the place of
        the first file.

        Raises:
            CheckpointError: one is missing, damaged, or does not fit the others; or there is no such device.
        """
        folder = Path(folder) if folder is not None else shipped("small")
        if not folder.is_dir():
            raise CheckpointError(f"there is no folder of checkpoints {folder}; give the one that training wrote")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().split("\n")[0]
            raise CheckpointError(f"the device {device!r} cannot be used ({reason}); try --device cpu") from error
        if (folder / "audio_encoder").is_dir():
            encoder = AudioEncoder.from_pretrained(folder / "audio_encoder").to(device)
        else:
            encoder = load_checkpoint(folder / "audio_encoder.safetensors", "audio_encoder", device)
        transformer, vqvae, lip = (
            load_checkpoint(folder / f"{k}.safetensors", k, device) for k in ("transformer", "vqvae", "lip")
        )
        if transformer.config.audio_dim != encoder.dim:
            raise CheckpointError(
                f"the transformer in {folder} was trained on audio features of {transformer.config.audio_dim} entries, "
                f"the audio encoder gives {encoder.dim}; put the encoder it was trained with beside it"
            )
        path = folder / "expression.safetensors"
        expression = load_checkpoint(path, "expression", device) if path.exists() else None
        return cls(encoder, transformer, vqvae, lip, expression)

    @property
    def space(self) -> CoefficientSpace:
        """The layout of the motions it makes."""
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
        style: Style = AS_HEARD,
        decoding: Mode = "sample",
        temperature: float = 1.0,
        top_p: float = 0.9,
        performance: PerformanceConfig = PERFORMANCE,
    ) -> MotionTrack:
        """Predict one frame every 640 samples.

        Args:
            samples: ``(N,)`` float32 at 16 kHz.
            reference: ``(D,)`` the portrait's own coefficients.
            seed: of everything random.
            style: what to perform beside what is heard.
            decoding: "sample" draws codes, so that blinks and head motion vary; "continuous", the published way, gives what
                is expected; "nearest" snaps to the codebook.
            temperature, top_p: of "sample".
            performance: the steps beyond the published method.
        """
        steps = Performance(performance, style, self.space, self.expression)
        wav, who = self._tensor(samples), steps.reference(self._tensor(reference), self.lip.standardizer)
        frames = -(-wav.shape[1] // SAMPLES_PER_VIDEO_FRAME)

        features = self.encoder.encode_long(wav)
        emotion, neutral = self._emotion(features, steps), self._tensor(neutral_weights())
        modes = steps.decodes(decoding)
        codes = self.transformer.generate(
            features.expand(len(modes), -1, -1),
            who.expand(len(modes), -1),
            self.vqvae.quantizer.codebook,
            modes,
            temperature=temperature,
            top_p=top_p,
            generators=self._generators(seed, modes),
            emotion=emotion if self.transformer.config.num_emotions else None,
            unconditional=neutral if self.transformer.config.num_emotions else None,
            guidance_scale=style.intensity,
        )
        face = steps.face(self.vqvae.decode(codes.features)[:, :frames])
        lips = steps.lips(self._lip_predictor(wav, frames, who), face, emotion, neutral)

        face, lips = steps.correct(face, lips, emotion)
        motion = self.space.merge(face[0].cpu().numpy(), lips[0].cpu().numpy())
        motion[:, self.space.pose] = steps.pose(motion[:, self.space.pose])
        return MotionTrack(apply_amplitudes(motion, self.space, style, np.random.default_rng(seed)), self.space)

    def hear_emotion(self, samples: np.ndarray) -> dict[str, float]:
        """How a recording ``(N,)`` sounds: probabilities of emotions; empty if the encoder recognises none."""
        return self.encoder.recognize_emotion(self.encoder.encode_long(self._tensor(samples)))

    def _tensor(self, values: np.ndarray) -> Tensor:
        """``(N,)`` to ``(1, N)`` float32 where the networks are."""
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None].to(self.device)

    def _generators(self, seed: int, modes: list[Mode]) -> list[torch.Generator]:
        """A random generator for each row; sampled rows are numbered apart from the others, so that they stay the same."""
        numbers = np.cumsum([mode == "sample" for mode in modes]) - 1
        return [torch.Generator(self.device).manual_seed(seed + max(0, int(n)) * DRAW_SEED_STEP) for n in numbers]

    def _emotion(self, features: Tensor, steps: Performance) -> Tensor:
        """Weights ``(1, 8)`` of the emotions to perform; StyleError if one is requested that the networks cannot take."""
        if steps.style.emotion and not (self.transformer.config.num_emotions and self.lip.config.num_emotions):
            raise StyleError(
                "these checkpoints take no emotion beside the voice; leave --emotion out, or use the shipped ones"
            )
        return self._tensor(steps.emotion(self.encoder.recognize_emotion(features)))

    def _lip_predictor(self, wav: Tensor, frames: int, reference: Tensor) -> LipPredictor:
        """The lip branch on one recording, whose sound is encoded once, a stretch at a time so that memory stays bounded."""
        windows, spans = self.lip.windows(self.mel(wav), frames), []
        for start in range(0, frames, LIP_CHUNK):
            span = slice(max(0, start - LIP_CONTEXT), min(frames, start + LIP_CHUNK + LIP_CONTEXT))
            spans.append((start, span, self.lip.encode_audio(windows[:, span])))

        def predict(face: Tensor, emotion: Tensor) -> Tensor:
            given = emotion if self.lip.config.num_emotions else None
            expression, parts = face[..., : len(self.lip.face_expression)], []
            for start, span, audio in spans:
                lips = self.lip.predict(audio, expression[:, span], reference, given)
                parts.append(lips[:, start - span.start : start - span.start + LIP_CHUNK])
            return torch.cat(parts, 1)

        return predict
