"""Training the sync judge, which evaluates lip sync and is never a training loss of another network.

Its settings: :mod:`emotalker.settings.sync_judge`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.coefficients import ARKIT
from emotalker.coefficients.statistics import Statistics
from emotalker.data.shards import Clip, load_clips
from emotalker.face.model import FaceModel
from emotalker.face.topology import CHIN, EYE_CORNERS, INNER_LIPS, OUTER_LIPS
from emotalker.models.sync import MAX_SHIFT, shifted_similarity
from emotalker.models.sync_judge import FEATURES_PER_FRAME, SyncJudge, SyncJudgeConfig
from emotalker.settings.sync_judge import SyncJudgeLoss, SyncJudgeTraining
from emotalker.training.datasets import SpeechMotion
from emotalker.training.features import corpus_features, fingerprint, load_encoder
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter


def mouth_measures(model: FaceModel) -> Tensor:
    """How each lip entry changes eight distances on the average head, in eye distances: ``(len(ARKIT.lip), 8)``.

    Inner lips apart, upper inner lip, lower inner lip, chin, width between the corners, height of the corners, outer lips
    apart, protrusion. Distances are comparable between trackers and rigs; single blendshapes are not.
    """
    points = model.landmark_blendshapes[ARKIT.lip]  # (L, 478, 3)
    right, left = model.landmark_mean[EYE_CORNERS].reshape(2, 2, 3).mean(1)
    middle = slice(3, 8)
    inner_upper, inner_lower, outer_upper, outer_lower = (
        points[:, edge[middle]].mean(1) for edge in (INNER_LIPS.upper, INNER_LIPS.lower, OUTER_LIPS.upper, OUTER_LIPS.lower)
    )
    corners = points[:, OUTER_LIPS.upper[[0, -1]]]
    measures = [
        inner_upper[:, 1] - inner_lower[:, 1],
        inner_upper[:, 1],
        inner_lower[:, 1],
        points[:, CHIN, 1],
        corners[:, 1, 0] - corners[:, 0, 0],
        corners[:, :, 1].mean(1),
        outer_upper[:, 1] - outer_lower[:, 1],
        (outer_upper[:, 2] + outer_lower[:, 2]) / 2,
    ]
    return torch.from_numpy(np.stack(measures, 1) / np.linalg.norm(left - right)).float()


def typical_deviation(clips: Sequence[Clip], mouth: Tensor) -> Tensor:
    """Median over clips of each measure's standard deviation over a clip, ``(measures,)``."""
    deviations = [torch.from_numpy(clip.motion[:, ARKIT.lip]) @ mouth for clip in clips]
    return torch.stack([d.std(0) for d in deviations]).median(0).values.clamp_min(1e-4)


class SyncJudgeObjective(Objective):
    """InfoNCE over shifts of the same recording, as for the sync expert.

    In training, sound and lips are cropped at different random places and the true shift is the difference, so that the
    recurrent layers cannot solve the task by counting frames from the ends.

    Args:
        model: the network.
        loss: disturbance of the inputs, and ``blur``: corpora differ in the offset of sound and picture by a frame or two, so
            the neighbours of the true shift have a probability in the target, too.
    """

    def __init__(self, model: SyncJudge, loss: SyncJudgeLoss):
        super().__init__()
        self.model, self.loss = model, loss
        self.log_sharpness = nn.Parameter(torch.tensor([8.0, 24.0]).log())  # of a frame's and of a window's similarities

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        model, lips = self.model, batch["motion"]
        audio = batch["features"].unflatten(1, (-1, FEATURES_PER_FRAME))
        shift = torch.zeros(len(lips), dtype=torch.long, device=lips.device)
        if self.training:
            frames = lips.shape[1] - MAX_SHIFT
            starts = torch.randint(0, MAX_SHIFT + 1, (2, len(lips)), device=lips.device)
            audio, lips = (_crop(x, start, frames) for x, start in zip((audio, lips), starts, strict=True))
            shift = starts[0] - starts[1]  # lips[i] belong to audio[i - shift]
        audio, lips = model.standardize_audio(audio.flatten(1, 2)), model.standardize_lips(lips)
        if self.training:
            kept = torch.rand(len(lips), 1, lips.shape[-1], device=lips.device) >= self.loss.drop
            lips = lips * kept + self.loss.lip_noise * torch.randn_like(lips)
            audio = audio + self.loss.audio_noise * torch.randn_like(audio)
        audio, lips = model.embed_audio(audio), model.embed_lips(lips)
        by_frame, by_window = self.log_sharpness.clamp(max=math.log(40)).exp()
        frame_loss, window_loss = 0.0, 0.0
        for anchor, other, true in ((audio, lips, shift), (lips, audio, -shift)):
            similarity = shifted_similarity(anchor, other)
            target = blurred_target(MAX_SHIFT + true, similarity.shape[1], self.loss.blur)
            every = target[:, :, None].expand_as(similarity)
            frame_loss = frame_loss + F.cross_entropy(by_frame * similarity, every) / 2
            window_loss = window_loss + F.cross_entropy(by_window * similarity.mean(-1), target) / 2
        missed = (similarity.mean(-1).argmax(1) - MAX_SHIFT + shift).abs()
        return {
            "loss": frame_loss + window_loss,
            "frame": frame_loss,
            "window": window_loss,
            "in_sync": (missed == 0).float().mean(),
            "within_one_frame": (missed <= 1).float().mean(),
        }


def blurred_target(answer: Tensor, classes: int, blur: float) -> Tensor:
    """Probabilities ``(B, classes)``: ``1 - 2 blur`` at the answers ``(B,)`` and ``blur`` at each neighbour, those beyond the
    ends added to the ends."""
    target = torch.zeros(len(answer), classes, device=answer.device)
    for step, weight in ((-1, blur), (0, 1 - 2 * blur), (1, blur)):
        places = (answer + step).clamp(0, classes - 1)[:, None]
        target.scatter_add_(1, places, torch.full_like(places, weight, dtype=target.dtype))
    return target


def _crop(x: Tensor, start: Tensor, frames: int) -> Tensor:
    """``(B, F, ...)`` to ``(B, frames, ...)``, each example from its own start ``(B,)``."""
    rows = torch.arange(len(x), device=x.device)[:, None]
    return x[rows, start[:, None] + torch.arange(frames, device=x.device)]


def train(config: SyncJudgeTraining) -> dict[str, float]:
    """Train the judge; returns the metrics of the last validation.

    Raises:
        CheckpointError: the audio encoder cannot be loaded.
        DataError: a corpus cannot be read, or is not in the space arkit.
    """
    data = config.data
    clips = load_clips(data.root, "train", ARKIT.name)
    validation = load_clips(data.validation_root, "val", ARKIT.name)
    encoder = load_encoder(config.encoder)
    features, validation_features = corpus_features(clips, encoder, data.variants), corpus_features(validation, encoder, 1)

    seed_step(config.seed, 0)
    model = SyncJudge(SyncJudgeConfig(**asdict(config.model), audio_dim=encoder.dim))
    mouth = mouth_measures(FaceModel.load())
    model.set_mouth(mouth, typical_deviation(clips, mouth))
    frames = np.concatenate([features[clip.name][0] for clip in clips]).astype(np.float32)
    model.standardizer.set(Statistics.of(torch.from_numpy(frames)))

    solver = Solver(
        config,
        SyncJudgeObjective(model, config.loss),
        train_set=SpeechMotion(clips, features, data.frames, ARKIT.lip, augment=True),
        validation_set=SpeechMotion(validation, validation_features, data.validation_frames, ARKIT.lip, augment=False),
        export=exporter(model, clips),
        identity={
            "model": config.model, "loss": config.loss, "frames": data.frames, "encoder": fingerprint(encoder),
        },
    )  # fmt: skip
    return solver.run()
