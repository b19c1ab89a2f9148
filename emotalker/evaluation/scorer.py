"""All measures of one clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.core.checkpoint import load_checkpoint, shipped
from emotalker.core.errors import DataError
from emotalker.evaluation.expression_networks import load_networks
from emotalker.evaluation.footage import CropRule, Footage, read_footage, read_landmarks
from emotalker.evaluation.metrics import landmark_distance
from emotalker.evaluation.metrics.cpbd import cpbd
from emotalker.evaluation.metrics.identity import FaceEmbedder, cosine
from emotalker.evaluation.metrics.motion import clip_statistics
from emotalker.evaluation.metrics.similarity import psnr, ssim
from emotalker.evaluation.metrics.syncnet import SyncNetMeter
from emotalker.evaluation.metrics.visible_emotion import Classifier, load_classifier, network_classifier, recognised
from emotalker.evaluation.pairing import Pair
from emotalker.evaluation.sync import SyncMeter
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.models.inception import FidInception
from emotalker.models.lpips import Lpips
from emotalker.models.published_weights import load_published

#: Beginning of the keys of values of the reference.
REAL = "real_"
#: Frames of a clip whose faces are embedded, evenly spaced.
EMBEDDED = 8


@dataclass(frozen=True)
class ScoreOptions:
    """What is measured, and how.

    Attributes:
        groups: of :data:`~emotalker.evaluation.metrics.measure.GROUPS`.
        size: side of the square in pixels; published figures are at 256.
        crop: of generated and real videos.
        every: pictures are compared and classified in every n-th frame; landmarks in all.
        frames: of a clip at most.
        classifiers: of the user, see :func:`load_classifier`, beside the registry's networks.
        syncnet, inception, alexnet, lpips: published weights; "" without.
        judge: folder of the sync judge and its audio encoder; "" for the shipped ones.
        landmarker: path of ``face_landmarker.task``; "" for the registry's.
    """

    groups: tuple[str, ...] = ("image", "landmarks", "emotion", "sync", "motion", "diversity")
    size: int = 256
    crop: CropRule = "auto"
    every: int = 1
    frames: int = 1500
    classifiers: tuple[str, ...] = ()
    syncnet: str = ""
    inception: str = ""
    alexnet: str = ""
    lpips: str = ""
    judge: str = ""
    landmarker: str = ""


@dataclass
class ClipScore:
    """Attributes:
    values: by key of a measure; those of the reference begin with :data:`REAL`.
    features: what the measures of a set need, by name.
    """

    values: dict[str, float] = field(default_factory=dict)
    features: dict[str, np.ndarray] = field(default_factory=dict)


class Scorer:
    """Scores pairs; networks are loaded at first use.

    Raises:
        CheckpointError, ConfigError, MissingExtraError: weights, a classifier or a package are missing; when first used.
    """

    def __init__(self, options: ScoreOptions):
        self.options = options
        self.landmarker = FaceLandmarker(options.landmarker or None)
        self.model = FaceModel.load()

    def __call__(self, pair: Pair) -> ClipScore:
        """Score one pair. With several references, measures against them are means over them.

        Raises:
            EmoTalkerError: a file cannot be read, or shows no face.
        """
        options = self.options
        made = read_footage(pair.generated, self.landmarker, options.size, options.crop, options.frames)
        real = [
            read_landmarks(s.path, s.key, s.fps)
            if s.key
            else read_footage(s.path, self.landmarker, options.size, options.crop, options.frames)
            for s in pair.references
        ]
        if len(made) < 2 or any(len(r) < 2 for r in real):
            raise DataError(f"{pair.generated} or its reference has one frame only; leave this clip out")
        sounds = [made.audio, *(r.audio for r in real), None if pair.audio is None else load_audio(pair.audio)]
        audio = next((sound for sound in sounds if sound is not None), None)
        score = ClipScore({"frames": float(len(made)), REAL + "frames": float(np.mean([len(r) for r in real] or [np.nan]))})
        self._alone(score, made, audio, pair.emotion, "")
        pictures = [r for r in real if r.frames is not None]
        if pictures:
            self._alone(score, pictures[0], audio if pictures[0].audio is None else pictures[0].audio, pair.emotion, REAL)
        compared = [self._against(made, r) for r in real]
        for key in {key for values in compared for key in values}:
            score.values[key] = float(np.mean([values[key] for values in compared if key in values]))
        return score

    def _alone(self, score: ClipScore, clip: Footage, audio: np.ndarray | None, emotion: str | None, prefix: str) -> None:
        """Measures of one video by itself, and its features."""
        groups, chosen = self.options.groups, _seen(clip, self.options.every)
        values: dict[str, float] = {}
        motion = clip.motion(self.model)
        score.features[prefix + "scores"] = motion[:, : len(ARKIT_BLENDSHAPES)].astype(np.float16)
        if "image" in groups:
            values["cpbd"] = _mean([cpbd(clip.frames[i]) for i in chosen])
        if "motion" in groups:
            values |= clip_statistics(motion, clip.landmarks)
        if "emotion" in groups:
            frames, points = clip.frames[chosen], clip.points[chosen, :, :2]
            for name, classify in self._classifiers.items():
                values[f"emotion_{name}"] = recognised(classify(frames, points), emotion)
        if audio is not None and "sync" in groups:
            found = self._sync(audio, motion)
            values |= {"sync_distance": found.distance, "sync_confidence": found.confidence, "sync_offset": found.offset}
        if audio is not None and "syncnet" in groups:
            values["lse_d"], values["lse_c"] = self._syncnet(clip.frames, clip.points[:, :, :2], audio)
        if "identity" in groups:
            score.features[prefix + "identity"] = self._embed(clip)
        if "fid" in groups:
            score.features[prefix + "inception"] = self._inception(clip.frames[chosen]).astype(np.float16)
        score.values |= {prefix + key: float(value) for key, value in values.items()}

    def _against(self, made: Footage, real: Footage) -> dict[str, float]:
        """Measures of a video against one reference; the longer is cut."""
        groups, values = self.options.groups, {}
        n = min(len(made), len(real))
        if real.frames is None:
            if "landmarks" in groups:
                truth = landmark_distance.scale_to(real.landmarks, made.landmarks)
                values |= _named("_first", landmark_distance.first_frame_distances(made.landmarks, truth))
                values |= _named("_centred", landmark_distance.landmark_distances(made.landmarks, truth)[1])
            return values
        pictures = range(0, n, self.options.every)
        if "image" in groups:
            values["ssim"] = _mean([ssim(made.frames[i], real.frames[i]) for i in pictures])
            values["psnr"] = _mean([psnr(made.frames[i], real.frames[i]) for i in pictures])
        if "landmarks" in groups:
            absolute, centred = landmark_distance.landmark_distances(made.landmarks[:n], real.landmarks[:n])
            values |= _named("", absolute) | _named("_centred", centred)
            values |= _named("_first", landmark_distance.first_frame_distances(made.landmarks, real.landmarks))
        if "identity" in groups:
            values["identity"] = cosine(self._embed(made), self._embed(real))
        if "lpips" in groups:
            a, b = (torch.from_numpy(c.frames[: n : self.options.every]) for c in (made, real))
            values["lpips"] = float(self._lpips(a, b).mean())
        return values

    def _embed(self, clip: Footage) -> np.ndarray:
        """Mean embedding ``(128,)`` of some frames."""
        if clip.embedding is None:
            chosen = _seen(clip, 1)
            chosen = chosen[np.linspace(0, len(chosen) - 1, min(EMBEDDED, len(chosen))).round().astype(int)]
            clip.embedding = np.mean([self._embedder(clip.frames[i], clip.points[i, :, :2]) for i in chosen], 0)
        return clip.embedding

    @cached_property
    def _classifiers(self) -> dict[str, Classifier]:
        known = {network.name: network_classifier(network) for network in load_networks()}
        return known | {name.rpartition(":")[2]: load_classifier(name) for name in self.options.classifiers}

    @cached_property
    def _sync(self) -> SyncMeter:
        folder = Path(self.options.judge) if self.options.judge else shipped("small")
        return SyncMeter(*(load_checkpoint(folder / f"{kind}.safetensors", kind) for kind in ("sync_judge", "audio_encoder")))

    @cached_property
    def _syncnet(self) -> SyncNetMeter:
        return SyncNetMeter(self.options.syncnet)

    @cached_property
    def _embedder(self) -> FaceEmbedder:
        return FaceEmbedder()

    @cached_property
    def _lpips(self) -> Lpips:
        return Lpips(self.options.alexnet, self.options.lpips)

    def _inception(self, frames: np.ndarray, batch: int = 16) -> np.ndarray:
        with torch.inference_mode():
            parts = [self._fid_network(torch.from_numpy(frames[i : i + batch])) for i in range(0, len(frames), batch)]
        return torch.cat(parts).numpy()

    @cached_property
    def _fid_network(self) -> FidInception:
        return load_published(FidInception(), self.options.inception, ignore=FidInception.UNUSED)


def _seen(clip: Footage, every: int) -> np.ndarray:
    """Every n-th frame with a face."""
    return np.flatnonzero(np.isfinite(clip.landmarks).all((1, 2)))[::every]


def _named(suffix: str, distances: np.ndarray) -> dict[str, float]:
    return {f"{name}_lmd{suffix}": float(value) for name, value in zip("fm", distances, strict=True)}


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
