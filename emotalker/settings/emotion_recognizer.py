"""Settings of the emotion recogniser's training."""

from __future__ import annotations

from dataclasses import dataclass

from emotalker.core.config import Settings, mandatory, setting
from emotalker.settings.networks import EmotionRecognizerSize
from emotalker.settings.run import OptimizerConfig, RoomAugmentation, RunConfig


@dataclass(frozen=True)
class EmotionRecognizerLoss(Settings):
    """The cross-entropy, and the calibration after training."""

    smoothing: float = setting(0.1, "label smoothing, 0 to 1")
    mixup: float = setting(0.0, "parameter of mixup's beta distribution; 0 mixes nothing")
    balance: float = setting(0.5, "weight of a corpus in an emotion is its number of clips to this power")
    neutral: float = setting(0.6, "weight of neutral speech relative to each other emotion")
    neutral_bias: float = setting(0.25, "added to the logit of neutral after training")
    strength_decay: float = setting(0.1, "factor of the squared weights of the regression of strength")
    strength_neutral: float = setting(0.5, "weight of all neutral speech in it relative to normal and strong emotions")
    strength_acted: float = setting(0.5, "weight of all emotions of unknown strength in it, likewise")
    strength_unknown: float = setting(0.8, "their strength, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class EmotionRecognizerData(Settings):
    """Training data."""

    root: str = mandatory("folder that contains the corpora")
    encoder: str = mandatory("audio encoder whose hidden states are used")
    corpora: tuple[str, ...] = setting(
        ("ravdess", "javanese", "savee", "nemo", "ased", "banglaser_ext", "grid", "facegood", "styletalk"),
        "corpora to train on",
    )
    leave_out: tuple[str, ...] = setting((), "corpora of these to leave out of training and validation")
    recordings: str = setting("data/cache/emotional_speech", "folder of decoded recordings; made on first use")
    cache: str = setting("data/cache/emotion_recognizer", "folder of descriptions of crops; made on first use")
    copies: int = setting(3, "augmented crops of each recording, besides the unchanged one")
    seconds: tuple[float, float] = setting((1.8, 4.0), "shortest and longest augmented crop in seconds")
    augmentation: RoomAugmentation = setting(RoomAugmentation(), "changes to the waveform in augmented crops")


@dataclass(frozen=True, kw_only=True)
class EmotionRecognizerTraining(RunConfig):
    """Training the emotion recogniser on the frozen audio encoder's hidden states."""

    NAME = "emotion_recognizer"

    run: str = "runs/emotion_recognizer"
    model: EmotionRecognizerSize = setting(EmotionRecognizerSize(), "size of the network")
    loss: EmotionRecognizerLoss = setting(EmotionRecognizerLoss(), "form of the loss, and calibration")
    data: EmotionRecognizerData = mandatory("training data")
    steps: int = 300
    batch_size: int = 192
    validate_every: int = 100
    save_every: int = 100
    minimise: str = "entropy"
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-3, weight_decay=5e-2, warmup=30, final=0.02)
