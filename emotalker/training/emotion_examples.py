"""Training examples of the emotion recogniser: descriptions of augmented crops, computed once and cached."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.data.emotional_speech import EmotionClip
from emotalker.models.emotion_recognizer import LONGEST_SECONDS, describe, frames
from emotalker.models.hubert import AudioEncoder
from emotalker.settings.run import RoomAugmentation
from emotalker.training.augment import (
    SpeechAugmentation,
    add_reverberation,
    limit_band,
    random_speed,
    resample_wave,
)
from emotalker.training.teacher_crops import distort_mel

FORMAT = "emotalker-emotion-descriptions-1"
#: Longest pause that is kept on either side of the speech in an augmented crop, seconds.
_PAUSE = 0.3
#: Loudness that crops are scaled to before the encoder and the prosody, which are independent of it.
_LEVEL = 0.06


@dataclass(frozen=True)
class RoomAndSpeech(RoomAugmentation):
    """Another speed, band, equaliser, room and noise, each with its probability."""

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """``(N,)`` at 16 kHz to the same shape."""
        chosen = rng.random(2)
        if chosen[0] < self.room:
            wave = add_reverberation(wave, rng)
        wave = SpeechAugmentation(self.gain, self.noise, self.filter)(wave, rng)
        if chosen[1] < self.band:
            wave = limit_band(wave, rng)
        return wave


def crop(
    clip: EmotionClip, rng: np.random.Generator, augmentation: RoomAndSpeech | None, seconds: tuple[float, float]
) -> np.ndarray:
    """A part of a recording: ``(N,)`` float32 at 16 kHz.

    Args:
        clip: the recording.
        rng: random generator.
        augmentation: None takes the speech without changes, up to LONGEST_SECONDS from its middle.
        seconds: shortest and longest augmented crop.
    """
    first, last = clip.speech
    length, speed = round(LONGEST_SECONDS * SAMPLE_RATE), 1.0
    if augmentation:
        speed = random_speed(rng, *augmentation.speeds) if rng.random() < augmentation.speed else 1.0
        pauses = (rng.uniform(0, _PAUSE, 2) * SAMPLE_RATE).astype(int)
        first, last = max(0, first - pauses[0]), min(len(clip.samples), last + pauses[1])
        length = round(rng.uniform(*seconds) * speed * SAMPLE_RATE)
    slack = max(0, last - first - length)
    start = first + (int(rng.integers(0, slack + 1)) if augmentation else slack // 2)
    wave = clip.samples[start : min(last, start + length)].astype(np.float32) / 32768
    wave = wave * (_LEVEL / (wave.std() + 1e-5))
    return augmentation(resample_wave(wave, speed), rng) if augmentation else wave


def describe_clips(
    clips: Sequence[EmotionClip],
    encoder: AudioEncoder,
    copy: int,
    augmentation: RoomAndSpeech,
    seconds: tuple[float, float],
    title: str = "",
) -> Tensor:
    """Descriptions ``(clips, inputs)`` of one crop of each clip: unchanged in copy 0, augmented in others."""
    stem, rows = encoder.hubert.feature_extractor, []
    for number, clip in enumerate(track(clips, title, disable=not title)):
        rng = np.random.default_rng((copy, number))
        wave = torch.from_numpy(crop(clip, rng, augmentation if copy else None, seconds))
        torch.manual_seed(int(rng.integers(2**31)))
        stem.train(copy > 0)  # a random first position, and another vocal tract
        stem.distort = _warp if copy and rng.random() < augmentation.tract else None
        with torch.autocast(wave.device.type, torch.bfloat16):
            hidden, spoken, measured = frames(encoder, wave)
        rows.append(describe(hidden, spoken, measured).half())
    stem.train(False)
    stem.distort = None
    return torch.stack(rows)


def cached_descriptions(
    corpus: str,
    clips: Sequence[EmotionClip],
    encoder: AudioEncoder,
    copies: int,
    augmentation: RoomAndSpeech,
    seconds: tuple[float, float],
    cache: str | os.PathLike,
) -> Tensor:
    """Descriptions ``(1 + copies, clips, inputs)`` of a corpus; those that the cache has are not computed again.

    Raises:
        DataError: a cached file is damaged, or of another encoder, other clips or another augmentation.
    """
    found = []
    expected = {"format": FORMAT, "clips": str(len(clips)), "encoder": fingerprint(encoder)}
    for copy in range(1 + copies):
        header = expected | ({"augmentation": json.dumps([*vars(augmentation).items(), seconds])} if copy else {})
        file = Path(cache) / f"{corpus}_{copy}.safetensors"
        if not file.exists():
            made = describe_clips(clips, encoder, copy, augmentation, seconds, f"{corpus}, copy {copy} of {copies}")
            with replace_on_success(file) as temporary:
                save_file({"descriptions": made}, temporary, header)
        try:
            with safe_open(file, framework="pt") as cached:
                if cached.metadata() != header:
                    raise DataError(f"{file} was computed for other data or settings; delete it to compute it again")
                found.append(cached.get_tensor("descriptions"))
        except (SafetensorError, OSError) as error:
            raise DataError(f"{file} is damaged ({error}); delete it to compute it again") from error
    return torch.stack(found)


def fingerprint(encoder: AudioEncoder) -> str:
    """A hash of the weights that the hidden states depend on."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.hubert.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _warp(mel: Tensor) -> Tensor:
    """Another vocal tract, without masks: statistics of a window would see a mask as a change of the voice."""
    return distort_mel(mel, bands=0, steps=0)
