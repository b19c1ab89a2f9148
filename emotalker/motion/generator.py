"""From a recording to a motion: audio features, code indices, face motion, lips."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.audio.mel import MelSpectrogram
from emotalker.coefficients import CoefficientSpace, MotionTrack
from emotalker.data.base import EMOTIONS
from emotalker.errors import CheckpointError
from emotalker.features.hubert import SAMPLES_PER_VIDEO_FRAME, AudioEncoder
from emotalker.motion.checkpoint import load_checkpoint, shipped
from emotalker.motion.expression import ExpressionPrior
from emotalker.motion.lip import LipBranch
from emotalker.motion.style import AS_HEARD, EmotionError, Style, apply_amplitudes, emotion_shares
from emotalker.motion.transformer import CrossModalTransformer, Mode
from emotalker.motion.vqvae import VQVAE

#: Video frames whose lips are predicted at a time, and those around them that serve as context only.
LIP_CHUNK, LIP_CONTEXT = 500, 8

#: Lip entries by which the mouth shows emotion, those of them that part the lips, and how slowly; others are speech alone.
_EXPRESSIVE_LIPS = ("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress")
_PARTING_LIPS = ("jawOpen", "mouthUpperUp", "mouthLowerDown", "mouthShrug")
_OPEN_JAW = 0.1  # with less, speech wants the lips closed
_EXPRESSION_SECONDS = 0.4
#: A head may go anywhere; where it goes on average takes more draws than one.
_POSE_DRAWS, _NEXT_DRAW = 2, 1_000_003
#: How much of what an emotion does to articulation is performed; all of it costs sync on voices that are misheard.
_EMOTIONAL_SPEECH = 0.5
#: How much is added of what a performance lacks, on average, of its emotion's expression: where the emotion is in the voice,
#: and where it is asked for and the voice knows nothing of it.
_COMPLETION_HEARD, _COMPLETION_ASKED = 0.4, 1.0


class MotionGenerator:
    """Predicts a motion from a voice; all learned stages together (SPEC 1).

    Args:
        encoder: speech features for the face branch.
        transformer, vqvae: the face branch: code indices, and what codes mean.
        lip: the lip branch, which overrides the lip entries.
        expression: how emotions look on average; None leaves expressions as the other networks make them.
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
        liveliness: float = 0.4,
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
            liveliness: of "sample": how far brows and head go from what is expected to what is drawn; eyes go all the way,
                since half a blink is none.
        """
        wav = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None].to(self.device)
        frames = -(-wav.shape[1] // SAMPLES_PER_VIDEO_FRAME)
        who = self._within_training_range(torch.from_numpy(reference).float().to(self.device)[None])
        features = self.encoder.encode_long(wav)
        mix, neutral = self._emotions(features, style)
        knows = bool(self.transformer.config.num_emotions)

        def decode(mode: Mode, draw: int = 0) -> Tensor:
            codes = self.transformer.generate(
                features,
                who,
                self.vqvae.quantizer.codebook,
                mode,
                temperature=temperature,
                top_p=top_p,
                generator=torch.Generator(self.device).manual_seed(seed + draw * _NEXT_DRAW),
                emotion=mix if knows else None,
                contrast=neutral if knows else None,
                intensity=style.intensity,
            )
            return self.vqvae.decode(codes.features)[:, :frames]

        face = decode(decoding)
        if decoding == "sample" and liveliness != 1:
            expected, pose = decode("continuous"), -len(self.space.pose_names)
            others = [decode("sample", draw)[..., pose:] for draw in range(1, 1 + _POSE_DRAWS)]
            expected[..., pose:] = torch.stack([expected[..., pose:], *others]).mean(0)
            face = torch.lerp(expected, face, self._drawn_share(liveliness))
        windows = self.lip.windows(self.mel(wav), frames)
        still = torch.zeros_like(face)
        plain, coloured = (self._lips(windows, still, who, emotion) for emotion in (neutral, mix))
        spoken = torch.lerp(plain, coloured, _EMOTIONAL_SPEECH * style.intensity)
        felt = self._lips(windows, face, who, mix)
        lips = spoken + style.intensity * self._slow_expression(spoken, felt - coloured)
        if self.expression is not None:
            asked = min(1.0, sum((style.emotion or {}).values()))
            completion = _COMPLETION_HEARD + (_COMPLETION_ASKED - _COMPLETION_HEARD) * asked
            wanted = mix * style.intensity
            face = face + completion * self.expression.lacking(face, wanted, self.space.face)
            lips = lips + completion * self.expression.lacking(lips, wanted, self.space.lip)
        motion = self.space.merge(face[0].cpu().numpy(), lips[0].cpu().numpy())
        return MotionTrack(apply_amplitudes(motion, self.space, style, np.random.default_rng(seed)), self.space)

    def hear_emotion(self, samples: np.ndarray) -> dict[str, float]:
        """How a recording ``(N,)`` sounds: probabilities of emotions; empty if the encoder recognises none."""
        wav = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None].to(self.device)
        return self.encoder.recognize_emotion(self.encoder.encode_long(wav))

    def _emotions(self, features: Tensor, style: Style) -> tuple[Tensor, Tensor]:
        """The mix to perform and plain neutral, each ``(1, 8)``."""
        if style.emotion and not (self.transformer.config.num_emotions and self.lip.config.num_emotions):
            raise EmotionError(
                "these checkpoints take no emotion beside the voice; leave --emotion out, or use the shipped ones"
            )
        mix = emotion_shares(self.encoder.recognize_emotion(features), style.emotion)
        neutral = np.eye(len(EMOTIONS), dtype=np.float32)[EMOTIONS.index("neutral")]
        return torch.from_numpy(mix)[None].to(self.device), torch.from_numpy(neutral)[None].to(self.device)

    def _within_training_range(self, reference: Tensor) -> Tensor:
        """Portraits differ more than the speakers of a small corpus: keep each entry where the networks were trained."""
        standardizer = self.lip.standardizer
        return standardizer.inverse(standardizer(reference).clamp(-1, 1))

    def _drawn_share(self, liveliness: float) -> Tensor:
        """Per entry of the face ``(len(space.face),)`` the way from what is expected to what is drawn."""
        eyes = [self.space.names[i].startswith(("eyeBlink", "eyeLook")) for i in self.space.face]
        return torch.where(torch.tensor(eyes, device=self.device), 1.0, liveliness)

    def _slow_expression(self, spoken: Tensor, difference: Tensor) -> Tensor:
        """What the face adds to spoken lips: smiles, frowns and the like, slowly, and never against a closure.

        The face branch's codes are drawn at random; taken frame by frame, their blinks and frowns would leak into the
        articulation, and lips would no longer meet on m, b and p.

        Shapes: ``(1, F, len(space.lip))`` each and returned.
        """
        radius = round(_EXPRESSION_SECONDS * self.space.fps)
        offsets = torch.arange(-2 * radius, 2 * radius + 1, device=difference.device)
        kernel = torch.exp(-0.5 * (offsets / radius) ** 2)
        padded = F.pad(difference.transpose(1, 2), (2 * radius, 2 * radius), mode="replicate")
        slow = F.conv1d(padded.transpose(0, 1), (kernel / kernel.sum())[None, None]).transpose(0, 1).transpose(1, 2)
        names = self.space.lip_names
        always = torch.tensor([name.startswith(_EXPRESSIVE_LIPS) for name in names], device=slow.device)
        parting = torch.tensor([name.startswith(_PARTING_LIPS) for name in names], device=slow.device)
        jaw = (spoken[..., names.index("jawOpen")] / _OPEN_JAW).clamp(0, 1)[..., None]
        return slow * (always + parting * jaw)

    def _lips(self, windows: Tensor, face: Tensor, reference: Tensor, emotion: Tensor) -> Tensor:
        """Lip entries ``(1, F, len(space.lip))``, a stretch at a time: memory stays bounded on long recordings."""
        frames = face.shape[1]
        expression = face[..., : len(self.lip.face_expression)]
        given = emotion if self.lip.config.num_emotions else None
        parts = []
        for start in range(0, frames, LIP_CHUNK):
            first, last = max(0, start - LIP_CONTEXT), min(frames, start + LIP_CHUNK + LIP_CONTEXT)
            lips = self.lip(windows[:, first:last], expression[:, first:last], reference, given)
            parts.append(lips[:, start - first : start - first + LIP_CHUNK])
        return torch.cat(parts, 1)
