"""What is done to predicted motion beyond the published method (docs/method.md 9), step by step.

Each step has a name in :data:`STEPS` and can be switched off by it. With all of them off,
:meth:`emotalker.inference.generator.MotionGenerator.generate` is the published method.
``scripts/evaluate_motion.py --ablation`` measures what every step does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn import functional as F

from emotalker.coefficients import CoefficientSpace
from emotalker.coefficients.statistics import Standardizer
from emotalker.core.emotions import EMOTIONS
from emotalker.inference.style import Style, StyleError, emotion_weights
from emotalker.models.expression import ExpressionPrior
from emotalker.models.transformer import Mode

#: The steps in the order in which they act.
STEPS = (
    "reference_range",  # keep the portrait's own lips within what the networks were trained on
    "emotion_sharpening",  # raise the recogniser's probabilities to a power
    "expected_motion",  # mix what is sampled with what is expected; average the head's pose over several samples
    "neutral_articulation",  # speak between neutral and the emotion
    "slow_expression",  # let the face branch move the lips slowly only, and never against a closure
    "mean_correction",  # add what the mean of the performance is missing of the emotion's mean expression
    "pose_smoothing",  # smooth the head's motion over the seams between codes
    "pose_limits",  # keep the head where a portrait can follow
)

#: Lip entries by which the mouth shows emotion, and those that part the lips; all others are speech alone.
EXPRESSIVE_LIPS = ("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress")
PARTING_LIPS = ("jawOpen", "mouthUpperUp", "mouthLowerDown", "mouthShrug")
#: Entries that are always taken as sampled: half a blink is none.
SAMPLED_ENTRIES = ("eyeBlink", "eyeLook")

#: Predicts lips ``(1, F, len(space.lip))`` from a face ``(1, F, len(space.face))`` and emotion weights ``(1, 8)``.
LipPredictor = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class PerformanceConfig:
    """The constants of the steps. Unless said otherwise ``scripts/evaluate_motion.py`` measured them, on the validation
    split or, before there was one, on the first two test actors; docs/method.md 9 says which.

    Attributes:
        disabled: names of steps that are left out.
        reference_deviations: standard deviations from the training mean at which a portrait's lips are clamped. Portraits
            differ more than the speakers of a small corpus.
        sharpening_exponent: power of the heard probabilities. A voice shows one emotion more often than the recogniser is
            sure of one: 1 loses expression in generated faces, infinity trusts every mistake.
        sampling_weight: way from expected (0) to sampled (1) brows and head. Samples are lively, expectations follow the
            voice more closely.
        pose_draws: further samples that the head's expected pose is averaged with; where a head goes on average takes more
            samples than one.
        articulation_weight: fraction of what an emotion does to articulation that is performed; 1 costs sync on voices
            whose emotion is misheard (``scripts/evaluate_lipsync.py --audio``).
        expression_seconds: standard deviation of the smoothing of what the face adds to the lips. Frame by frame, sampled
            codes would leak their blinks and frowns into the articulation.
        open_jaw: jawOpen below which speech wants the lips closed; the face may part them in proportion up to there.
        heard_correction, requested_correction: fractions of the mean-expression correction where the emotion is heard and
            where the user asks for it. A voice that knows nothing of a requested emotion cannot show it.
        pose_frames: standard deviation of the pose's smoothing in frames at 25 fps, about half a code.
        pose_limits: pitch, yaw, roll in radians and shifts in centimetres that poses approach but never pass: the range in
            which the warping renderer shows no tears (``scripts/infer.py``, by eye).
    """

    disabled: frozenset[str] = frozenset()
    reference_deviations: float = 1.0
    sharpening_exponent: float = 3.0
    sampling_weight: float = 0.4
    pose_draws: int = 2
    articulation_weight: float = 0.5
    expression_seconds: float = 0.4
    open_jaw: float = 0.1
    heard_correction: float = 0.4
    requested_correction: float = 1.0
    pose_frames: float = 2.5
    pose_limits: tuple[float, ...] = (0.18, 0.2, 0.18, 1.5, 1.2, 2.0)

    def __post_init__(self) -> None:
        unknown = set(self.disabled) - set(STEPS)
        if unknown:
            raise StyleError(f"unknown step {', '.join(sorted(unknown))}; known: {', '.join(STEPS)}")

    def without(self, *steps: str) -> PerformanceConfig:
        """The same with further steps switched off; StyleError if one has an unknown name."""
        return replace(self, disabled=self.disabled | set(steps))

    def uses(self, step: str) -> bool:
        """Whether a step is on."""
        return step not in self.disabled


PERFORMANCE = PerformanceConfig()


class Performance:
    """The steps for one recording.

    Args:
        config: their constants.
        style: what the user asks for.
        space: layout of the motion.
        expression: mean expressions of the emotions, or None, which leaves ``mean_correction`` out.
    """

    def __init__(self, config: PerformanceConfig, style: Style, space: CoefficientSpace, expression: ExpressionPrior | None):
        self.config, self.style, self.space, self.expression = config, style, space, expression

    def reference(self, reference: Tensor, standardizer: Standardizer) -> Tensor:
        """``reference_range``: ``(1, D)`` to the same."""
        if not self.config.uses("reference_range"):
            return reference
        limit = self.config.reference_deviations
        return standardizer.inverse(standardizer(reference).clamp(-limit, limit))

    def emotion(self, heard: Mapping[str, float]) -> np.ndarray:
        """``emotion_sharpening`` of the heard probabilities, and what the user asks for: weights ``(8,)`` of EMOTIONS."""
        exponent = self.config.sharpening_exponent if self.config.uses("emotion_sharpening") else 1.0
        return emotion_weights(heard, self.style.emotion, exponent)

    def decodes(self, decoding: Mode) -> list[Mode]:
        """How the codes are decoded, a mode for each row of one batch: first the user's, then what it is mixed with."""
        if decoding != "sample" or not self.config.uses("expected_motion") or self.config.sampling_weight == 1:
            return [decoding]
        return ["sample", "continuous", *["sample"] * self.config.pose_draws]

    def face(self, decoded: Tensor) -> Tensor:
        """``expected_motion``: the rows of :meth:`decodes`, ``(R, F, len(space.face))``, to one face ``(1, F, ...)``."""
        if len(decoded) == 1:
            return decoded
        sampled, expected, others = decoded[:1], decoded[1:2].clone(), decoded[2:]
        pose = -len(self.space.pose_names)
        expected[..., pose:] = torch.cat([expected[..., pose:], others[..., pose:]]).mean(0, keepdim=True)
        whole = self._entries(self.space.names, SAMPLED_ENTRIES, decoded.device)[torch.from_numpy(self.space.face)]
        return torch.lerp(expected, sampled, torch.where(whole, 1.0, self.config.sampling_weight))

    def lips(self, predict: LipPredictor, face: Tensor, emotion: Tensor, neutral: Tensor) -> Tensor:
        """``neutral_articulation`` and ``slow_expression``; without both, the lip branch's own prediction.

        Args:
            predict: the lip branch on this recording.
            face: ``(1, F, len(space.face))``.
            emotion, neutral: weights ``(1, 8)`` of what is performed, and of neutral alone.

        Returns:
            ``(1, F, len(space.lip))``.
        """
        felt, config, intensity = predict(face, emotion), self.config, self.style.intensity
        slow, mixed = config.uses("slow_expression"), config.uses("neutral_articulation")
        if not slow and not mixed:
            return felt
        resting = torch.zeros_like(face)
        coloured, weight = predict(resting, emotion), config.articulation_weight if mixed else 1.0
        spoken = torch.lerp(predict(resting, neutral), coloured, weight * intensity)
        added = felt - coloured
        return spoken + intensity * (self._slow(spoken, added) if slow else added)

    def _slow(self, spoken: Tensor, added: Tensor) -> Tensor:
        """The slow part ``(1, F, L)`` of what the face adds to spoken lips, where it does not open a closure."""
        radius = round(self.config.expression_seconds * self.space.fps)
        offsets = torch.arange(-2 * radius, 2 * radius + 1, device=added.device)
        kernel = torch.exp(-0.5 * (offsets / radius) ** 2)
        padded = F.pad(added.transpose(1, 2), (2 * radius, 2 * radius), mode="replicate")
        slow = F.conv1d(padded.transpose(0, 1), (kernel / kernel.sum())[None, None]).transpose(0, 1).transpose(1, 2)
        names = self.space.lip_names
        jaw = (spoken[..., names.index("jawOpen")] / self.config.open_jaw).clamp(0, 1)[..., None]
        always, parting = (self._entries(names, some, slow.device) for some in (EXPRESSIVE_LIPS, PARTING_LIPS))
        return slow * (always + parting * jaw)

    def correct(self, face: Tensor, lips: Tensor, emotion: Tensor) -> tuple[Tensor, Tensor]:
        """``mean_correction`` of face and lips for weights ``(1, 8)``; shapes stay."""
        if self.expression is None or not self.config.uses("mean_correction"):
            return face, lips
        requested = min(1.0, sum((self.style.emotion or {}).values()))
        low, high = self.config.heard_correction, self.config.requested_correction
        fraction, wanted = low + (high - low) * requested, emotion * self.style.intensity
        return (
            face + fraction * self.expression.correction(face, wanted, self.space.face),
            lips + fraction * self.expression.correction(lips, wanted, self.space.lip),
        )

    def pose(self, pose: np.ndarray) -> np.ndarray:
        """``pose_smoothing`` and ``pose_limits`` of ``(T, 6)``, radians and centimetres."""
        if self.config.uses("pose_smoothing"):
            pose = gaussian_filter1d(pose, self.config.pose_frames, axis=0, mode="nearest")
        if self.config.uses("pose_limits"):
            limits = np.array(self.config.pose_limits, np.float32)
            pose = limits * np.tanh(pose / limits)
        return pose

    @staticmethod
    def _entries(names: Iterable[str], prefixes: tuple[str, ...], device: torch.device) -> Tensor:
        return torch.tensor([name.startswith(prefixes) for name in names], device=device)


def neutral_weights() -> np.ndarray:
    """Weights ``(8,)`` float32 of neutral alone, in the order of EMOTIONS."""
    return np.eye(len(EMOTIONS), dtype=np.float32)[EMOTIONS.index("neutral")]
