"""Settings of stage 2, the cross-modal transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from emotalker.core.config import Settings, setting
from emotalker.settings.networks import TransformerSize
from emotalker.settings.run import OptimizerConfig, Roots, RunConfig, Space


@dataclass(frozen=True)
class TransformerLoss(Settings):
    """Weights of the loss, and what is hidden from the network in training."""

    code_weight: float = setting(1.0, "weight of the codes' cross-entropy")
    emotion_drop: float = setting(0.3, "probability of hiding an example's emotion")
    history_drop: float = setting(0.3, "probability of hiding each preceding code")


@dataclass(frozen=True)
class TransformerData(Settings):
    """Training data."""

    root: Roots = setting("data/grid", "prepared corpus, or a list of them")
    frames: int = setting(64, "length of a window, frames at 25 fps; a multiple of 4", least=1)
    variants: int = setting(2, "versions of each recording: the clean one and augmented ones", least=1)
    feature_device: str = setting("cpu", "torch device on which the frozen audio encoder runs, once")

    def __post_init__(self) -> None:
        if self.frames % 4:
            raise ValueError(f"frames={self.frames} is not a multiple of 4, the frames per code")


@dataclass(frozen=True, kw_only=True)
class TransformerTraining(RunConfig):
    """Stage 2: training the cross-modal transformer from speech features to motion codes."""

    NAME = "transformer"
    GROUPS: ClassVar[Mapping[str, str]] = {"preset": "small"}

    run: str = "runs/transformer"
    vqvae: str = setting("runs/vqvae/best.safetensors", "checkpoint of stage 1")
    encoder: str = setting(
        "runs/audio_encoder/best.safetensors",
        "audio encoder: a checkpoint of this project, a Hugging Face folder, or the name of a downloaded model",
    )
    space: Space = setting("arkit", "coefficient space of the corpora: arkit, or bfm, the paper's")
    model: TransformerSize = setting(TransformerSize(), "size of the network")
    loss: TransformerLoss = setting(TransformerLoss(), "weights of the loss")
    data: TransformerData = setting(TransformerData(), "training data")
    steps: int = 2400
    batch_size: int = 32
    validate_every: int = 100
    save_every: int = 100
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=3e-4, weight_decay=1e-2, warmup=100, final=0.05)
