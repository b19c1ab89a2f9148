"""Settings of stage 1, the VQ-VAE of face motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from emotalker.core.config import Settings, setting
from emotalker.settings.networks import VQVAESize
from emotalker.settings.run import MotionAugmentation, OptimizerConfig, Roots, RunConfig, Space


@dataclass(frozen=True)
class VQVAELoss(Settings):
    """Weights of the terms that are added to the reconstruction."""

    commitment_weight: float = setting(0.2, "weight of the commitment term")
    velocity_weight: float = setting(0.5, "weight of the velocity's smooth L1 error")
    emotion_weight: float = setting(0.2, "weight of the emotion head's cross-entropy; 0 during warm-up")
    smoothing: float = setting(0.1, "label smoothing of the emotions, 0 to 1")


@dataclass(frozen=True)
class VQVAEData(Settings):
    """Training data."""

    root: Roots = setting("data/grid", "prepared corpus, or a list of them")
    frames: int = setting(64, "length of a window, frames at 25 fps", least=1)
    augmentation: MotionAugmentation = setting(MotionAugmentation(), "changes to the motion in training")


@dataclass(frozen=True, kw_only=True)
class VQVAETraining(RunConfig):
    """Stage 1: training the VQ-VAE of face motion."""

    NAME = "vqvae"
    GROUPS: ClassVar[Mapping[str, str]] = {"preset": "small"}

    run: str = "runs/vqvae"
    space: Space = setting("arkit", "coefficient space of the corpora: arkit, or bfm, the paper's")
    model: VQVAESize = setting(VQVAESize(), "size of the network")
    loss: VQVAELoss = setting(VQVAELoss(), "weights of the loss")
    data: VQVAEData = setting(VQVAEData(), "training data")
    steps: int = 3000
    batch_size: int = 48
    validate_every: int = 250
    save_every: int = 250
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=5e-4, weight_decay=1e-4, warmup=100, final=0.05)
    minimise: str = "loss"
