"""Training examples from prepared clips. Datasets are indexed with a :class:`~emotalker.training.sampling.Key`, whose seed
determines crop and augmentation, and return a dict of arrays for the default collation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from emotalker.audio.mel import MelSpectrogram, lip_windows
from emotalker.coefficients.resample import change_speed
from emotalker.coefficients.statistics import Statistics
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data.shards import Clip
from emotalker.settings.run import MotionAugmentation
from emotalker.training.augment import SpeechAugmentation, augment_motion, mask_mel, random_speed, resample_wave, warp_mel
from emotalker.training.sampling import Key

SAMPLES_PER_FRAME = 640
FEATURES_PER_FRAME = 2
CODE_FRAMES = 4
#: Context frames on either side of a lip window. Five frames are exactly sixteen mel frames, so the phase is unchanged.
LIP_MARGIN = 5


def long_enough(clips: Sequence[Clip], frames: int) -> list[Clip]:
    """The clips of at least ``frames`` frames. Raises DataError if there is none."""
    kept = [clip for clip in clips if clip.frames >= frames]
    if not kept:
        raise DataError(
            f"no clip has {frames} frames (the longest of {len(clips)} has {max(c.frames for c in clips)}); lower data.frames"
        )
    return kept


def motion_statistics(clips: Sequence[Clip], entries: np.ndarray) -> Statistics:
    """Mean and standard deviation of some entries over all frames of the clips."""
    frames = np.concatenate([clip.motion[:, entries] for clip in clips])
    return Statistics.of(torch.from_numpy(frames))


def at_rest(frame: np.ndarray, clip: Clip) -> np.ndarray:
    """A frame ``(D,)`` with its pose set to zero, as in a portrait's motion vector."""
    frame = frame.copy()
    frame[clip.corpus.space.pose] = 0
    return frame


def emotion_weights_of(clip: Clip) -> np.ndarray:
    """A clip's label as weights ``(8,)`` of :data:`~emotalker.core.emotions.EMOTIONS`; zeros if it has none.

    The weakest level has weight 0.6, and neutral the remaining 0.4.
    """
    mix = np.zeros(len(EMOTIONS), np.float32)
    if clip.label >= 0:
        weight = 0.6 if clip.level == 1 else 1.0
        mix[clip.label] += weight
        mix[EMOTIONS.index("neutral")] += 1 - weight
    return mix


class References:
    """Reference vectors of a clip's speaker at rest: frames of the speaker's neutral clips.

    A frame of the clip itself would contain its emotion, which the network would copy instead of inferring it from the voice.
    It is used only for speakers without neutral clips.
    """

    def __init__(self, clips: Sequence[Clip]):
        self.clips = clips
        self.motion = [clip.motion for clip in clips]
        neutral = EMOTIONS.index("neutral")
        self._at_rest: dict[tuple, list[int]] = {}
        for i, clip in enumerate(clips):
            if clip.label == neutral:
                self._at_rest.setdefault((clip.corpus.root, clip.speaker), []).append(i)

    def sample(self, index: int, rng: np.random.Generator | None) -> np.ndarray:
        """A reference ``(D,)`` for clip ``index`` with zero pose; always the same one without ``rng``."""
        clip = self.clips[index]
        choice = self._at_rest.get((clip.corpus.root, clip.speaker), [index])
        source = choice[0] if rng is None else choice[int(rng.integers(len(choice)))]
        motion = self.motion[source]
        return at_rest(motion[0 if rng is None else int(rng.integers(len(motion)))], clip)


class MotionWindows(Dataset):
    """Random windows of the face branch's motion, for the VQ-VAE: ``motion (frames, len(entries))``, ``emotion ()``.

    Args:
        clips: with motion.
        frames: window length.
        entries: the face branch's entries.
        augmentation: of the motion; None uses it unchanged.
    """

    def __init__(
        self, clips: Sequence[Clip], frames: int, entries: np.ndarray, augmentation: MotionAugmentation | None = None
    ):
        self.clips = long_enough(clips, frames)
        self.frames, self.entries, self.augmentation = frames, entries, augmentation
        self.motion = [clip.motion for clip in self.clips]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Key) -> dict:
        rng, clip, motion = key.rng(), self.clips[key.index], self.motion[key.index]
        start = int(rng.integers(0, len(motion) - self.frames + 1))
        window = motion[start : start + self.frames]
        if self.augmentation is not None:
            window = augment_motion(window, clip.corpus.space, self.augmentation, rng)
        return {"motion": window[:, self.entries], "emotion": clip.label}


class SpeechMotion(Dataset):
    """Windows of speech features and of the simultaneous motion, for the transformer.

    ``features (2 * frames, dim)``, ``motion (frames, len(entries))``, ``reference (D,)`` of :class:`References`,
    ``emotion (8,)`` of :func:`emotion_weights_of`.

    Args:
        clips: with unique names.
        features: clip name to ``(variants, 2 T, dim)``: the clean recording first, then augmented ones.
        frames: window length, a multiple of 4.
        entries: the face branch's entries.
        augment: choose among variants and starts at random; otherwise the clean variant from the first frame.
    """

    def __init__(
        self, clips: Sequence[Clip], features: dict[str, np.ndarray], frames: int, entries: np.ndarray, augment: bool
    ):
        if frames % CODE_FRAMES:
            raise ValueError(f"frames must be a multiple of {CODE_FRAMES}, not {frames}")
        self.clips = long_enough(clips, frames)
        self.frames, self.augment = frames, augment
        self.entries = entries
        self.references = References(self.clips)
        self.features = [features[clip.name] for clip in self.clips]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Key) -> dict:
        rng, motion, features = key.rng(), self.references.motion[key.index], self.features[key.index]
        start, variant = 0, 0
        if self.augment:
            start = int(rng.integers(0, len(motion) - self.frames + 1))
            variant = int(rng.integers(0, len(features)))
        window = features[variant, FEATURES_PER_FRAME * start : FEATURES_PER_FRAME * (start + self.frames)]
        return {
            "features": window.astype(np.float32),
            "motion": motion[start : start + self.frames, self.entries],
            "reference": self.references.sample(key.index, rng if self.augment else None),
            "emotion": emotion_weights_of(self.clips[key.index]),
        }


class LipWindows(Dataset):
    """Mel windows and whole motion vectors, for the lip branch: ``mel (frames, 80, 16)``, ``motion (frames, D)``,
    ``reference (D,)`` of :class:`References`, ``emotion (8,)`` of :func:`emotion_weights_of`.

    Augmentation changes speed (of speech and motion together), gain, noise, spectrum and the vocal tract's length (by warping
    the mel axis), and masks bands and segments of the mel.

    Args:
        clips: with audio and motion.
        frames: window length.
        augmentation: of the waveform; None uses the clip unchanged.
        warp: largest relative change of the vocal tract's length.
        speeds: slowest and fastest speed factor.
        normalize_mel: as in :class:`~emotalker.models.lip.LipConfig`, with the mean over the window.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        frames: int,
        augmentation: SpeechAugmentation | None,
        warp: float = 0.2,
        speeds: tuple[float, float] = (0.85, 1.2),
        normalize_mel: bool = False,
    ):
        slack = speeds[1] if augmentation else 1.0
        self.clips = long_enough(clips, int(np.ceil(frames * slack)))
        self.frames, self.augmentation, self.warp, self.speeds = frames, augmentation, warp, speeds
        self.normalize_mel = normalize_mel
        self.references = References(self.clips)
        self.mel = MelSpectrogram()

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Key) -> dict:
        rng, clip = key.rng(), self.clips[key.index]
        speed = random_speed(rng, *self.speeds) if self.augmentation else 1.0
        source = int(np.ceil(self.frames * speed))
        start = int(rng.integers(0, clip.frames - source + 1))
        motion = change_speed(self.references.motion[key.index][start : start + source], speed, self.frames)
        with_margin = self.frames + 2 * LIP_MARGIN
        # positions in source time: after the change of speed, the window begins LIP_MARGIN frames into the wave
        first = round((start - LIP_MARGIN * speed) * SAMPLES_PER_FRAME)
        last = first + round(with_margin * speed * SAMPLES_PER_FRAME)
        audio = clip.audio
        wave = np.pad(audio[max(0, first) : last], (max(0, -first), max(0, last - len(audio))))
        wave = resample_wave(wave, speed)[: with_margin * SAMPLES_PER_FRAME]
        if self.augmentation:
            wave = self.augmentation(wave, rng)
        mel = self.mel(torch.from_numpy(np.ascontiguousarray(wave))[None])
        if self.augmentation:
            warped = warp_mel(mel[0].numpy(), 1 + rng.uniform(-self.warp, self.warp))
            mel = torch.from_numpy(mask_mel(warped, rng, fill=-self.mel.max_value))[None]
        if self.normalize_mel:
            mel = mel - mel.mean(-1, keepdim=True)
        windows = lip_windows(mel, with_margin)[0, LIP_MARGIN : LIP_MARGIN + self.frames]
        reference = self.references.sample(key.index, rng if self.augmentation else None)
        return {"mel": windows, "motion": motion, "reference": reference, "emotion": emotion_weights_of(clip)}
