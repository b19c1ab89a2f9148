"""Processing steps around the published method (docs/method.md 9).

Each step has a name in :data:`STEPS` and can be switched off by it. With all steps off and ``decoding="continuous"``,
:meth:`emotalker.inference.generator.MotionGenerator.generate` is the published method.
``scripts/evaluate_motion.py --ablation`` measures the effect of each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import scipy
import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.audio.activity import pauses
from emotalker.coefficients import CoefficientSpace
from emotalker.coefficients.space import EXPRESSIVE_LIPS
from emotalker.coefficients.statistics import Standardizer
from emotalker.core.emotions import EMOTIONS
from emotalker.inference.articulation import lip_parting
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.gestures import BlinkTimes, accents, add_blinks
from emotalker.inference.silence import relaxation, rest_weight
from emotalker.inference.style import Style, StyleError, emotion_weights
from emotalker.models.expression import EXPRESSIVE, OPENING, ExpressionPrior
from emotalker.models.transformer import Mode

#: The steps in the order in which they are applied.
STEPS = (
    "reference_range",  # clamp the portrait's coefficients to the range of the training data
    "emotion_windows",  # recognise the emotion in overlapping windows, so that it changes over time
    "emotion_sharpening",  # raise the recognised probabilities to a power
    "voice_strength",  # weaken or strengthen the expression by the strength of the voice's emotion
    "expected_motion",  # interpolate between continuous and sampled decoding; average the pose over several samples
    "neutral_articulation",  # interpolate between neutral and emotional articulation
    "slow_expression",  # low-pass the face branch's influence on the lips, and keep closed lips closed
    "motion_variance",  # scale the variation of brows and head to that of real motion
    "mean_correction",  # move the mean of the motion to the expression of the emotion
    "accents",  # raise the brows and nod slightly on stressed syllables
    "blink_rate",  # add blinks, of which the networks predict too few
    "silence_rest",  # in pauses, close the lips and relax the expression
    "pose_smoothing",  # smooth the head pose across code boundaries
    "pose_limits",  # limit the head pose to the range that the renderer supports
)

#: Lip entries that open the lips.
OPENING_LIPS = ("jawOpen", "mouthUpperUp", "mouthLowerDown", "mouthShrug")
#: Face entries that are taken from the sampled decoding unchanged: interpolation would leave half-closed eyes.
SAMPLED_ENTRIES = ("eyeBlink", "eyeLook")

BROWS, RAISED_BROWS = ("brow",), ("browInnerUp", "browOuterUp")

#: Predicts lips ``(1, F, len(space.lip))`` from a face ``(1, F, len(space.face))`` and emotion weights
#: ``(1, 8)`` or ``(1, F, 8)``.
LipPredictor = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class PerformanceConfig:
    """Constants of the steps.

    The command in brackets measured the constant, on RAVDESS actors 17 and 18: all are older than the validation split
    (docs/method.md 9).

    Attributes:
        disabled: names of the steps that are off.
        reference_deviations: the reference is clamped to this many standard deviations around the training mean, because
            portraits vary more than the speakers of a small corpus (``scripts/evaluate_motion.py``).
        sharpening_exponent: power of the recognised probabilities. With 1 the generated expressions are too weak, because
            the recogniser spreads probability over several emotions; large values turn its errors into wrong expressions
            (``scripts/evaluate_motion.py``).
        emotion_smoothing: standard deviation of the Gaussian filter on the emotion weights, seconds. A sudden change takes
            2.6 standard deviations from 10 % to 90 %.
        sampling_weight: weight of the sampled decoding in brows and head pose; the rest is the continuous decoding. Sampled
            motion has more variance, continuous motion correlates better with the voice (``scripts/evaluate_motion.py``).
        brow_variation, head_variation: factors of the deviations of brows and of the head's pose from their means.
            Predictions vary less than real motion; the variance of a whole recording is restored, as in speech synthesis
            (Toda and Tokuda 2007) (``scripts/evaluate_motion.py``).
        head_expansion: the head's deviations, of ``a`` radians after the factor, are multiplied by
            ``sqrt(1 + (a / head_expansion)^2)``: real head motion has heavier tails than predictions, so that one factor is
            too large for quiet speakers or too small for lively ones (``scripts/evaluate_motion.py``).
        pose_samples: number of further samples that are averaged with the continuous decoding's pose. The mean pose is
            estimated from several samples, because a single sample is noisy (``scripts/evaluate_motion.py``).
        articulation_weight: weight of the emotion in the articulation. 1 reduces lip sync on voices whose emotion is
            recognised wrongly (``scripts/evaluate_lipsync.py --audio``).
        expression_seconds: standard deviation of the Gaussian filter on the face branch's influence on the lips. Without
            it, blinks and frowns of sampled codes show up in the articulation (``scripts/evaluate_motion.py``).
        open_jaw: jawOpen below which the lips are kept closed. Below it, the influence of the face branch on opening
            entries is scaled in proportion to jawOpen (``scripts/evaluate_motion.py``).
        expression_gaps: lip gaps over the eye distance up to which an expression does not open the lips at all, and from
            which it does in full; between them, in proportion.
        correction: fraction of the mean-expression correction; 1 makes the mean of the motion the emotion's expression
            (``scripts/evaluate_video.py``).
        accent_brows, accent_nod: largest rise of the brows and nod on a stressed syllable, blendshape units and radians.
        added_blinks: blinks a minute that are added to the predicted ones (``scripts/evaluate_motion.py``).
        rest_expression: fraction of the expression that remains in a long pause. Real faces keep about 0.8 of it 1 to 1.6 s
            after speech (RAVDESS).
        relax_seconds, recover_seconds: time constants of the expression in a pause and in the speech after it.
        pose_frames: standard deviation of the Gaussian filter on the pose, frames at 25 fps; about half a code
            (``scripts/evaluate_motion.py``).
        pose_limits: asymptotic limits of pitch, yaw, roll in radians and shifts in centimetres. The warping renderer shows
            no artefacts within them (``scripts/infer.py``, visual inspection).
    """

    disabled: frozenset[str] = frozenset()
    reference_deviations: float = 1.0
    sharpening_exponent: float = 3.0
    emotion_smoothing: float = 0.15
    sampling_weight: float = 0.4
    brow_variation: float = 1.5
    head_variation: float = 2.5
    head_expansion: float = 0.065
    pose_samples: int = 2
    articulation_weight: float = 0.5
    expression_seconds: float = 0.4
    open_jaw: float = 0.1
    expression_gaps: tuple[float, float] = (0.02, 0.18)
    correction: float = 1.0
    accent_brows: float = 0.12
    accent_nod: float = 0.025
    added_blinks: float = 8.0
    rest_expression: float = 0.85
    relax_seconds: float = 1.0
    recover_seconds: float = 0.2
    pose_frames: float = 2.5
    pose_limits: tuple[float, ...] = (0.26, 0.44, 0.35, 4.0, 2.5, 3.0)

    def __post_init__(self) -> None:
        unknown = set(self.disabled) - set(STEPS)
        if unknown:
            raise StyleError(f"unknown step {', '.join(sorted(unknown))}; known: {', '.join(STEPS)}")

    def without(self, *steps: str) -> PerformanceConfig:
        """A copy with these steps off too; StyleError if a name is unknown."""
        return replace(self, disabled=self.disabled | set(steps))

    def uses(self, step: str) -> bool:
        """Whether a step is on."""
        return step not in self.disabled


PERFORMANCE = PerformanceConfig()


class Performance:
    """The steps for one recording; each method applies the steps that its docstring names.

    Args:
        config: constants.
        style: the user's settings.
        space: layout of the motion.
        expression: expressions of the emotions; None disables ``mean_correction``.
    """

    def __init__(self, config: PerformanceConfig, style: Style, space: CoefficientSpace, expression: ExpressionPrior | None):
        self.config, self.style, self.space, self.expression = config, style, space, expression

    def reference(self, reference: Tensor, standardizer: Standardizer) -> Tensor:
        """``reference_range`` on ``(1, D)``."""
        if not self.config.uses("reference_range"):
            return reference
        limit = self.config.reference_deviations
        return standardizer.inverse(standardizer(reference).clamp(-limit, limit))

    def emotion(self, heard: EmotionTrack, frames: int, start: int = 0) -> np.ndarray:
        """``emotion_sharpening``; returns weights ``(frames, 8)`` of EMOTIONS from recognised probabilities and the style.

        ``heard`` begins at frame ``start`` of the recording, the style's emotion track with the recording.
        """
        sharpened = EmotionTrack(heard.times, self.sharpened(heard.weights))
        weights = sharpened.frames(frames, self.space.fps, self.config.emotion_smoothing)
        return self.with_requested(weights, start)

    def sharpened(self, probabilities: np.ndarray) -> np.ndarray:
        """``emotion_sharpening`` of ``(..., 8)``."""
        exponent = self.config.sharpening_exponent if self.config.uses("emotion_sharpening") else 1.0
        return emotion_weights(probabilities, exponent=exponent)

    def with_requested(self, weights: np.ndarray, start: int = 0) -> np.ndarray:
        """Weights ``(F, 8)`` of the frames from ``start`` on, with the emotion that the style requests."""
        requested = self._requested(len(weights), start)
        return emotion_weights(weights) if requested is None else emotion_weights(weights, requested)

    def _requested(self, frames: int, start: int) -> np.ndarray | None:
        """Weights ``(frames, 8)`` that the style requests from frame ``start`` on; None if it requests no emotion."""
        track = self.style.requested
        return None if track is None else track.frames(frames, self.space.fps, self.config.emotion_smoothing, start)

    def strength(self, heard: EmotionTrack, frames: int, start: int = 0) -> np.ndarray:
        """``voice_strength``; returns the amplitude of the expression ``(frames,)``; arguments as :meth:`emotion`."""
        smoothing = self.config.emotion_smoothing
        return self.strength_with_requested(heard.frame_strength(frames, self.space.fps, smoothing), start)

    def strength_with_requested(self, voice: np.ndarray, start: int = 0) -> np.ndarray:
        """Amplitude ``(F,)`` of the expression from that of the voice ``(F,)``, for the frames from ``start`` on.

        The share of the emotion that the style requests has the requested strength, 1 unless a track says otherwise; the rest
        has the strength of the voice. Without the step ``voice_strength`` that is 1.
        """
        voice = voice if self.config.uses("voice_strength") else np.ones_like(voice)
        requested = self._requested(len(voice), start)
        if requested is None:
            return voice
        strength = self.style.requested.frame_strength(len(voice), self.space.fps, self.config.emotion_smoothing, start)
        return voice + requested.sum(1) * (strength - voice)

    def decoding_modes(self, decoding: Mode) -> list[Mode]:
        """``expected_motion``, first part: decoding modes of the rows of one batch, which :meth:`face` merges.

        Without the step, one row with the given mode. With it: one sampled row, one continuous row and ``pose_samples``
        further sampled rows.
        """
        if decoding != "sample" or not self.config.uses("expected_motion") or self.config.sampling_weight == 1:
            return [decoding]
        return ["sample", "continuous", *["sample"] * self.config.pose_samples]

    def face(self, decoded: Tensor) -> Tensor:
        """``expected_motion``, second part: rows ``(R, F, len(space.face))`` of :meth:`decoding_modes` to ``(1, F, ...)``."""
        if len(decoded) == 1:
            return decoded
        sampled, expected, others = decoded[:1], decoded[1:2].clone(), decoded[2:]
        pose = -len(self.space.pose_names)
        expected[..., pose:] = torch.cat([expected[..., pose:], others[..., pose:]]).mean(0, keepdim=True)
        unchanged = self._entries(self.space.names, SAMPLED_ENTRIES, decoded.device)[torch.from_numpy(self.space.face)]
        return torch.lerp(expected, sampled, torch.where(unchanged, 1.0, self.config.sampling_weight))

    def vary(self, face: Tensor) -> Tensor:
        """``motion_variance`` of ``(1, F, len(space.face))``."""
        if not self.config.uses("motion_variance"):
            return face
        names = [self.space.names[i] for i in self.space.face]
        brows, head = (self._entries(names, prefixes, face.device) for prefixes in (BROWS, self.space.pose_names))
        scale = 1 + brows * (self.config.brow_variation - 1) + head * (self.config.head_variation - 1)
        mean = face.mean(1, keepdim=True)
        change = scale * (face - mean)
        angle = change[..., self._entries(names, ("pitch", "yaw", "roll"), face.device)].norm(dim=-1, keepdim=True)
        return mean + change * torch.where(head, (1 + (angle / self.config.head_expansion) ** 2).sqrt(), 1.0)

    def lips(self, predict: LipPredictor, face: Tensor, emotion: Tensor, neutral: Tensor, strength: Tensor) -> Tensor:
        """``neutral_articulation`` and ``slow_expression``; with both off, ``predict(face, emotion)``.

        The lips are split into articulation, predicted for a face at rest, and expression, the difference that the face
        branch's motion makes. ``neutral_articulation`` interpolates the articulation between neutral and the emotion;
        ``slow_expression`` filters the expression.

        Args:
            predict: the lip branch on this recording.
            face: ``(1, F, len(space.face))``.
            emotion: weights ``(1, F, 8)``.
            neutral: weights ``(1, 8)`` of neutral.
            strength: amplitude of the expression ``(1, F)``.

        Returns:
            ``(1, F, len(space.lip))``.
        """
        lips = predict(face, emotion)
        if not self.splits_lips:
            return lips
        rest = torch.zeros_like(face)
        return self.join_lips(lips, predict(rest, emotion), predict(rest, neutral), strength)

    @property
    def splits_lips(self) -> bool:
        """Whether :meth:`join_lips` is used."""
        return self.config.uses("slow_expression") or self.config.uses("neutral_articulation")

    def join_lips(self, lips: Tensor, emotional: Tensor, neutral: Tensor, strength: Tensor) -> Tensor:
        """The last part of :meth:`lips`, ``(1, F, len(space.lip))`` each.

        Args:
            lips: predicted for the face.
            emotional, neutral: predicted for a face at rest with the emotion and with neutral.
            strength: amplitude of the expression ``(1, F)``.
        """
        config, expression = self.config, lips - emotional
        intensity = self.style.intensity * strength[..., None]
        weight = config.articulation_weight if config.uses("neutral_articulation") else 1.0
        articulation = torch.lerp(neutral, emotional, weight * intensity)
        slow = self._slow(expression, articulation) if config.uses("slow_expression") else expression
        return articulation + intensity * slow

    def _slow(self, expression: Tensor, articulation: Tensor) -> Tensor:
        """Low-passed expression of the lips; opening entries are scaled down where the jaw is closed. ``(1, F, L)`` each."""
        radius = round(self.config.expression_seconds * self.space.fps)
        offsets = torch.arange(-2 * radius, 2 * radius + 1, device=expression.device)
        kernel = torch.exp(-0.5 * (offsets / radius) ** 2)
        padded = F.pad(expression.transpose(1, 2), (2 * radius, 2 * radius), mode="replicate")
        slow = F.conv1d(padded.transpose(0, 1), (kernel / kernel.sum())[None, None]).transpose(0, 1).transpose(1, 2)
        names = self.space.lip_names
        jaw = (articulation[..., names.index("jawOpen")] / self.config.open_jaw).clamp(0, 1)[..., None]
        expressive, opening = (self._entries(names, prefixes, slow.device) for prefixes in (EXPRESSIVE_LIPS, OPENING_LIPS))
        return slow * (expressive + opening * jaw)

    def correct(self, face: Tensor, lips: Tensor, emotion: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        """``mean_correction`` of face ``(1, F, ...)`` and lips ``(1, F, ...)`` for emotion weights ``(1, F, 8)`` and the
        amplitude of the expression ``(1, F)``.

        Entries that open the lips move only where the voice parts them, so that closures stay closed. Where the amplitude is
        below 1, they move by its square, and above 1 no further: the mouth of a strong voice opens by itself.
        """
        if self.expression is None or not self.config.uses("mean_correction"):
            return face, lips
        strength = strength[..., None]
        target = emotion * self.style.intensity * strength
        change = self.expression.correction(lips, target, self.space.lip)
        names = self.space.lip_names
        closed, opened = self.config.expression_gaps
        gap = (lips @ torch.from_numpy(lip_parting()).to(lips))[..., None]
        parted = ((gap - closed) / (opened - closed)).clamp(0, 1)
        # opening entries are proportional to the target, so that dividing by the amplitude takes it away
        parted = parted * strength.clamp(max=1) ** 2 / strength.clamp_min(1e-6)
        change = change * torch.where(self._entries(names, OPENING, lips.device), parted, 1.0)
        fraction = self.config.correction
        return face + fraction * self.expression.correction(face, target, self.space.face), lips + fraction * change

    def blink_times(self, rng: np.random.Generator) -> BlinkTimes:
        """``blink_rate``, first part: times of blinks that :meth:`gestures` adds."""
        return BlinkTimes.poisson(self.config.added_blinks, self.space.fps, rng)

    def gestures(self, face: Tensor, samples: np.ndarray, blinks: BlinkTimes, start: int = 0) -> Tensor:
        """``accents`` and ``blink_rate`` in a face ``(1, F, len(space.face))`` and its samples ``(N,)``, both from frame
        ``start`` of the recording on."""
        names, face = [self.space.names[i] for i in self.space.face], face.clone()
        frames, fps = face.shape[1], self.space.fps
        if self.config.uses("accents"):
            accent = torch.from_numpy(accents(samples, frames, fps)).to(face)[:, None]
            face += self.config.accent_brows * accent * self._entries(names, RAISED_BROWS, face.device)
            face += self.config.accent_nod * accent * self._entries(names, ("pitch",), face.device)
        if self.config.uses("blink_rate"):
            lids = self._entries(names, ("eyeBlink",), face.device)
            blinking = add_blinks(face[0][:, lids].cpu().numpy(), blinks, fps, start)
            face[0, :, lids] = torch.from_numpy(blinking).to(face)
        return face

    def rest(self, face: Tensor, lips: Tensor, samples: np.ndarray, threshold: float | None = None) -> tuple[Tensor, Tensor]:
        """``silence_rest``: in the pauses of the recording ``(N,)``, articulation goes to rest and the expression decays.

        Blinks, gaze and head pose of the face ``(1, F, ...)`` are unchanged. Expressive lip entries decay with the face, so
        that the expression of the mouth does not vanish between words. ``threshold``: see
        :func:`~emotalker.audio.activity.pauses`.
        """
        if not self.config.uses("silence_rest"):
            return face, lips
        config, silent = self.config, pauses(samples, face.shape[1], threshold)
        relaxed = relaxation(silent, self.space.fps, config.relax_seconds, config.recover_seconds)
        expression = torch.from_numpy(1 - (1 - config.rest_expression) * relaxed).to(face)[:, None]
        articulation = torch.from_numpy(1 - rest_weight(silent)).to(face)[:, None]
        names = [self.space.names[i] for i in self.space.face]
        in_face, in_lips = (self._entries(n, EXPRESSIVE, face.device) for n in (names, self.space.lip_names))
        return face * torch.where(in_face, expression, 1.0), lips * torch.where(in_lips, expression, articulation)

    def pose(self, pose: np.ndarray) -> np.ndarray:
        """``pose_smoothing`` and ``pose_limits`` of ``(T, 6)``, radians and centimetres."""
        if self.config.uses("pose_smoothing"):
            pose = scipy.ndimage.gaussian_filter1d(pose, self.config.pose_frames, axis=0, mode="nearest")
        if self.config.uses("pose_limits"):
            limits = np.array(self.config.pose_limits, np.float32)
            pose = limits * np.tanh(pose / limits)
        return pose

    @staticmethod
    def _entries(names: Iterable[str], prefixes: tuple[str, ...], device: torch.device) -> Tensor:
        """Which names start with one of the prefixes, ``(len(names),)`` bool."""
        return torch.tensor([name.startswith(prefixes) for name in names], device=device)


def neutral_weights() -> np.ndarray:
    """Weights ``(8,)`` float32 of EMOTIONS: 1 for neutral, 0 otherwise."""
    return np.eye(len(EMOTIONS), dtype=np.float32)[EMOTIONS.index("neutral")]
