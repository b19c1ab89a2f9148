"""Settings of the lip branch's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from emotalker.core.config import Settings, setting
from emotalker.settings.networks import LipSize
from emotalker.settings.run import OptimizerConfig, Roots, RunConfig, Space, SpeechVideoAugmentation


@dataclass(frozen=True)
class LipLoss(Settings):
    """Weights of the loss, and the disturbance of the inputs in training."""

    noise: float = setting(0.5, "standard deviation of the noise on face and reference, in their standard deviations")
    drop: float = setting(0.3, "probability of replacing an example's face, and separately its reference, by the mean")
    velocity_weight: float = setting(0.5, "weight of the velocity's squared error")
    emotion_drop: float = setting(0.3, "probability of hiding an example's emotion")
    sync_weight: float = setting(0.1, "weight of the sync expert's distance; needs sync=...")


@dataclass(frozen=True)
class LipData(Settings):
    """Training data."""

    root: Roots = setting("data/grid", "prepared corpus, or a list of them")
    # 16 x 24 windows keep the first activations below 32 MB; above, malloc maps new pages for every one
    frames: int = setting(24, "length of a training window, frames at 25 fps", least=1)
    validation_frames: int = setting(64, "length of a validation window, frames at 25 fps", least=1)


@dataclass(frozen=True, kw_only=True)
class LipTraining(RunConfig):
    """Training the lip branch from mel-spectrograms and the rest of the face to the lips."""

    NAME = "lip"
    GROUPS: ClassVar[Mapping[str, str]] = {"preset": "small"}

    run: str = "runs/lip"
    sync: str | None = setting(None, "checkpoint of a sync expert for an additional loss; null for none")
    space: Space = setting("arkit", "coefficient space of the corpora: arkit, or bfm, the paper's")
    model: LipSize = setting(LipSize(), "size of the network")
    loss: LipLoss = setting(LipLoss(), "weights of the loss")
    data: LipData = setting(LipData(), "training data")
    augmentation: SpeechVideoAugmentation = setting(SpeechVideoAugmentation(), "changes to speech and motion in training")
    steps: int = 2400
    batch_size: int = 16
    validate_every: int = 250
    save_every: int = 250
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-3, weight_decay=1e-3, warmup=100, final=0.02)
