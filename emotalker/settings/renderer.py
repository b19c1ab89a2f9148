"""Settings of the neural renderer's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from emotalker.core.config import Settings, setting
from emotalker.settings.networks import DiscriminatorSize, GeneratorSize, RefinerSize
from emotalker.settings.run import OptimizerConfig, RunConfig


@dataclass(frozen=True)
class RendererLoss(Settings):
    """Weights of the terms of the loss."""

    l1: float = setting(4.0, "weight of the mean absolute error, colours in 0 to 1")
    mouth: float = setting(3.0, "additional weight of the mouth in the mean absolute error")
    perceptual: float = setting(0.5, "weight of the perceptual distance; 0 needs no downloaded weights")
    flowed: float = setting(2.0, "weight of the absolute error of the picture before its colours are edited")
    adversarial: float = setting(0.02, "weight of the discriminator's judgement; 0 trains without one")
    adversarial_after: int = setting(300, "step from which it is used; the discriminator is trained from the start")


@dataclass(frozen=True)
class RendererData(Settings):
    """Training data of scripts/prepare_renderer_frames.py."""

    root: str = setting("data/renderer", "folder of prepared clips")
    mirror: float = setting(0.5, "probability of the mirror image")
    colour: float = setting(0.2, "largest relative change of each colour channel")
    shift: float = setting(0.05, "largest displacement of the face's square, relative to its side")
    validation_frames: int = setting(400, "frames used for validation at most, evenly spaced", least=1)


@dataclass(frozen=True, kw_only=True)
class RendererTraining(RunConfig):
    """Training a neural renderer by self-reenactment."""

    NAME = "renderer"
    GROUPS: ClassVar[Mapping[str, str]] = {"preset": "small"}

    run: str = "runs/renderer"
    network: Literal["refiner", "generator"] = setting(
        "refiner", "refiner corrects warped faces; generator renders whole frames, as in the paper"
    )
    refiner: RefinerSize = setting(RefinerSize(), "size of the refiner")
    generator: GeneratorSize = setting(GeneratorSize(), "size of the generator")
    discriminator: DiscriminatorSize = setting(DiscriminatorSize(), "size of the discriminator")
    loss: RendererLoss = setting(RendererLoss(), "weights of the loss")
    data: RendererData = setting(RendererData(), "training data")
    steps: int = 4000
    batch_size: int = 8
    validate_every: int = 200
    save_every: int = 100
    optimizer: OptimizerConfig = OptimizerConfig(
        learning_rate=5e-4, weight_decay=1e-4, betas=(0.5, 0.99), warmup=50, final=0.05
    )
    minimise: str = "reconstruction"
