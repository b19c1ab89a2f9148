"""Settings of the audio encoder's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emotalker.core.config import Settings, mandatory, setting
from emotalker.settings.networks import StudentSize
from emotalker.settings.run import OptimizerConfig, RunConfig, WaveAugmentation


@dataclass(frozen=True)
class DistillationLoss(Settings):
    """The emotion term, which is added to the distance to the teacher's states."""

    emotion_weight: float = setting(0.1, "weight of the emotions' cross-entropy")
    smoothing: float = setting(0.1, "label smoothing of the emotions, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class AudioEncoderData(Settings):
    """Training data."""

    root: str = mandatory("folder that contains the corpora")
    corpora: tuple[str, ...] = setting(
        ("ravdess", "javanese", "grid", "facegood", "styletalk", "livelink"),
        "corpora to train on; [grid,facegood,javanese] allow commercial use",
    )
    cache: str = setting("data/cache/whisper_base", "folder of decoded recordings and teacher's states; made on first use")
    teacher: str | None = setting(None, "file of the teacher, Whisper base; null takes the model registry's")
    layers: tuple[int, ...] = setting((2, 4, 6), "the teacher's hidden states to predict; 0 is the input of its first layer")
    seconds: float = setting(2.88, "length of a crop in seconds, a multiple of 0.04")
    copies: int = setting(2, "how often per epoch a recording with an emotion label is used")
    speeds: tuple[float, float] = setting((0.85, 1.2), "slowest and fastest speed factor")
    augmentation: WaveAugmentation = setting(WaveAugmentation(gain=0.0), "changes to the waveform in training")
    warm_start_crops: int = setting(1800, "crops from which the parts with a closed-form solution are initialised")


@dataclass(frozen=True, kw_only=True)
class AudioEncoderTraining(RunConfig):
    """Training the small audio encoder: distilled from Whisper base, and trained on the corpora's emotion labels."""

    NAME = "audio_encoder"

    run: str = "runs/audio_encoder"
    model: StudentSize = setting(StudentSize(), "size of the network")
    loss: DistillationLoss = setting(DistillationLoss(), "weights of the loss")
    data: AudioEncoderData = mandatory("training data")
    steps: int = 2400
    batch_size: int = 16
    validate_every: int = 300
    save_every: int = 100
    precision: Literal["no", "bf16"] = "bf16"
    optimizer: OptimizerConfig = OptimizerConfig(
        learning_rate=1e-4, weight_decay=1e-2, betas=(0.9, 0.98), warmup=40, final=0.02
    )
