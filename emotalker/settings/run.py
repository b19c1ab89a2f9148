"""Settings that all training stages share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from emotalker.core.config import Settings, mandatory, setting

Space = Literal["arkit", "bfm"]
#: A folder, or several.
Roots = str | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Settings):
    """AdamW with linear warm-up, then a cosine decay from the full rate to ``final`` of it (1: constant)."""

    learning_rate: float = mandatory("highest learning rate")
    weight_decay: float = mandatory("decoupled weight decay")
    betas: tuple[float, float] = setting((0.9, 0.99), "decay of the two moments")
    warmup: int = mandatory("steps of linear warm-up")
    final: float = mandatory("fraction of the learning rate at the last step; 1 keeps it constant")
    clip: float = setting(1.0, "largest norm of the gradient")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 0, in a run of ``steps``."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, steps - self.warmup)
        return self.learning_rate * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


@dataclass(frozen=True)
class WandbConfig(Settings):
    """Logging to Weights & Biases."""

    mode: Literal["disabled", "online", "offline"] = setting("disabled", "disabled, online or offline")
    project: str = setting("emotalker", "project of the run")
    name: str | None = setting(None, "name of the run; null lets W&B choose one")


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """How a run is carried out. A stage's settings are a subclass that adds its network, loss and data."""

    run: str = mandatory("folder of the run: state, metrics, best and last checkpoint")
    steps: int = mandatory("optimiser steps in all", least=1)
    batch_size: int = mandatory("examples per process and micro-batch", least=1)
    validate_every: int = mandatory("steps between validations", least=1)
    save_every: int = mandatory("steps between saved states", least=1)
    log_every: int = setting(20, "steps between logged training losses", least=1)
    optimizer: OptimizerConfig = mandatory("AdamW and its schedule")
    minimise: str = setting("loss", "validation metric whose lowest value marks the best checkpoint")
    seed: int = setting(0, "seed of weights, data order and augmentation")
    accumulate: int = setting(1, "micro-batches per optimiser step", least=1)
    precision: Literal["no", "bf16"] = setting("no", "no for float32, bf16 for mixed precision")
    workers: int = setting(0, "data loader processes; 0 loads in the training process")
    threads: int | None = setting(None, "CPU threads; null uses torch's default", least=1)
    cpu: bool = setting(False, "train on the CPU even if there is a GPU")
    resume: bool = setting(True, "continue the run in the run folder; false starts anew")
    wandb: WandbConfig = setting(WandbConfig(), "logging to Weights & Biases")


@dataclass(frozen=True)
class MotionAugmentation(Settings):
    """Changes to a motion."""

    mirror: float = setting(0.5, "probability of the mirror image; only in spaces with entries for left and right")
    scales: tuple[float, float] = setting((0.8, 1.25), "smallest and largest factor of the amplitude")


@dataclass(frozen=True)
class WaveAugmentation(Settings):
    """Probabilities of the changes to a waveform."""

    gain: float = setting(0.8, "probability of a random gain, -18 to 6 dB")
    noise: float = setting(0.5, "probability of added noise, 5 to 40 dB below the speech")
    filter: float = setting(0.5, "probability of a random equaliser of +-10 dB")


@dataclass(frozen=True)
class SpeechVideoAugmentation(WaveAugmentation):
    """Changes to speech and to the motion that belongs to it."""

    warp: float = setting(0.2, "largest relative change of the vocal tract's length")
    speeds: tuple[float, float] = setting((0.85, 1.2), "slowest and fastest speed factor")


@dataclass(frozen=True)
class RoomAugmentation(WaveAugmentation):
    """Changes of channel, room and voice."""

    gain: float = 0.0
    room: float = setting(0.4, "probability of reverberation, 0.1 to 0.7 s")
    band: float = setting(0.25, "probability of a telephone's or codec's band")
    tract: float = setting(0.6, "probability of another vocal tract length, up to 12% either way")
    speed: float = setting(0.6, "probability of another speed")
    speeds: tuple[float, float] = setting((0.85, 1.2), "slowest and fastest speed factor")
