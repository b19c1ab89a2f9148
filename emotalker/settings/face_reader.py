"""Settings of the face reader's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from emotalker.core.config import Settings, setting
from emotalker.settings.networks import FaceReaderConfig
from emotalker.settings.run import OptimizerConfig, RunConfig


@dataclass(frozen=True)
class FaceReaderLoss(Settings):
    """Weights of the loss, and the disturbance of the inputs in training."""

    shift: float = setting(0.3, "weight of the landmark shifts' smooth L1")
    noise: float = setting(0.06, "standard deviation of the noise on the descriptors")
    distillation: float = setting(0.8, "weight of the teacher's outputs as targets, 0 to 1; the rest is the labels'")


@dataclass(frozen=True)
class FaceReaderData(Settings):
    """Training data of scripts/prepare_faces.py."""

    root: tuple[str, ...] = setting(
        ("data/faces/synthetic", "data/faces/portraits", "data/faces/videos"),
        "folders of faces: synthetic ones first, then photographs, which are only classified as such",
    )
    weights: tuple[float, ...] = setting((0.9, 0.05, 0.05), "sampling weight of each folder, in the same order")

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.root):
            raise ValueError(f"weights={list(self.weights)} needs one entry for each of the {len(self.root)} folders of root")


@dataclass(frozen=True, kw_only=True)
class FaceReaderTraining(RunConfig):
    """Training the face reader, which corrects the tracker on synthetic faces."""

    NAME = "face_reader"
    GROUPS: ClassVar[Mapping[str, str]] = {"preset": "small"}

    run: str = "runs/face_reader"
    teacher: str | None = setting(
        "runs/face_reader_teacher/best.safetensors",
        "checkpoint of a larger network to distil; null: labels alone",
    )
    model: FaceReaderConfig = setting(FaceReaderConfig(), "size of the network")
    loss: FaceReaderLoss = setting(FaceReaderLoss(), "weights of the loss")
    data: FaceReaderData = setting(FaceReaderData(), "training data")
    steps: int = 2000
    batch_size: int = 256
    validate_every: int = 500
    save_every: int = 500
    workers: int = 1
    precision: Literal["no", "bf16"] = "bf16"
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=5e-4, weight_decay=3e-2, warmup=100, final=0.01)
