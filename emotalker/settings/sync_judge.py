"""Settings of the sync judge's training."""

from __future__ import annotations

from dataclasses import dataclass

from emotalker.core.config import Settings, setting
from emotalker.settings.networks import SyncJudgeSize
from emotalker.settings.run import OptimizerConfig, Roots, RunConfig


@dataclass(frozen=True)
class SyncJudgeLoss(Settings):
    """Disturbance of the inputs in training, and the softness of the target."""

    audio_noise: float = setting(0.3, "standard deviation of the noise on the standardised speech features")
    lip_noise: float = setting(0.2, "standard deviation of the noise on the standardised lips")
    drop: float = setting(0.1, "probability that a measure of the mouth is zeroed in an example")
    blur: float = setting(0.2, "probability of each neighbour of the true shift in the target, 0 to 1/3")


@dataclass(frozen=True)
class SyncJudgeData(Settings):
    """Training data."""

    root: Roots = setting(("data/facegood", "data/styletalk"), "prepared corpora on which no lips are trained")
    validation_root: Roots = setting(
        ("data/grid", "data/ravdess_landmarks", "data/javanese"), "prepared corpora whose validation clips are scored"
    )
    variants: int = setting(6, "versions of each recording's features: the clean one and augmented ones", least=1)
    frames: int = setting(
        96, "length of a window, frames at 25 fps, a multiple of 4; random crops are 15 frames shorter", least=1
    )
    validation_frames: int = setting(72, "length of a validation window, frames at 25 fps, a multiple of 4", least=1)


@dataclass(frozen=True, kw_only=True)
class SyncJudgeTraining(RunConfig):
    """Training the sync judge, which evaluates lip sync and is never a training loss of another network."""

    NAME = "sync_judge"

    run: str = "runs/sync_judge"
    encoder: str = setting(
        "checkpoints/small/audio_encoder.safetensors",
        "speech features: checkpoint, Hugging Face folder or model name",
    )
    model: SyncJudgeSize = setting(SyncJudgeSize(), "size of the network")
    loss: SyncJudgeLoss = setting(SyncJudgeLoss(), "disturbance of the inputs in training")
    data: SyncJudgeData = setting(SyncJudgeData(), "training data")
    steps: int = 200
    batch_size: int = 24
    validate_every: int = setting(
        200, "steps between validations; once, because corpora differ in the offset of sound and picture"
    )
    save_every: int = 100
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-3, weight_decay=5e-2, warmup=50, final=0.02)
