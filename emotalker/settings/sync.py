"""Settings of the sync expert's training."""

from __future__ import annotations

from dataclasses import dataclass

from emotalker.core.config import Settings, setting
from emotalker.settings.networks import SyncSize
from emotalker.settings.run import OptimizerConfig, Roots, RunConfig, SpeechVideoAugmentation


@dataclass(frozen=True)
class SyncLoss(Settings):
    """Disturbance of the lips in training, in standard deviations."""

    scale: float = setting(0.3, "amplitudes are multiplied by exp(N(0, scale))")
    offset: float = setting(0.5, "resting positions are shifted by N(0, offset)")
    noise: float = setting(0.1, "standard deviation of the noise on each frame")


@dataclass(frozen=True)
class SyncData(Settings):
    """Training data."""

    root: Roots = setting(
        ("data/grid", "data/javanese", "data/ravdess_landmarks"),
        "prepared corpus of recorded lips and speech, or a list of them",
    )
    frames: int = setting(
        56, "length of a training window, frames at 25 fps; at least 31, for shifts of 15 either way", least=1
    )
    validation_frames: int = setting(72, "length of a validation window, frames at 25 fps", least=1)


@dataclass(frozen=True, kw_only=True)
class SyncTraining(RunConfig):
    """Training the sync expert, which scores whether lips and speech are in sync."""

    NAME = "sync"

    run: str = "runs/sync"
    model: SyncSize = setting(SyncSize(), "size of the network")
    loss: SyncLoss = setting(SyncLoss(), "disturbance of the lips in training")
    data: SyncData = setting(SyncData(), "training data")
    augmentation: SpeechVideoAugmentation = setting(
        SpeechVideoAugmentation(warp=0.15), "changes to speech and motion in training"
    )
    steps: int = 400
    batch_size: int = 16
    validate_every: int = 100
    save_every: int = 100
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-3, weight_decay=1e-2, warmup=50, final=0.02)
