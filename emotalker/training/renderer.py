"""Training a neural renderer by self-reenactment (docs/method.md 11). Its settings: :mod:`emotalker.settings.renderer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from emotalker.coefficients import ARKIT
from emotalker.coefficients.statistics import Statistics
from emotalker.core.checkpoint import save_checkpoint
from emotalker.data.renderer_frames import ClipFrames, load_clip_frames
from emotalker.models.renderer import (
    FaceRefiner,
    GeneratorConfig,
    PatchDiscriminator,
    PortraitGenerator,
    RefinerConfig,
)
from emotalker.settings.renderer import RendererLoss, RendererTraining
from emotalker.training.perceptual import PerceptualDistance
from emotalker.training.renderer_examples import RendererFrames
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver


class RendererObjective(Objective):
    """Absolute error, more at the mouth, perceptual distance, and a discriminator's hinge loss (Lim and Ye 2017).

    Renderer and discriminator are trained in the same step: the renderer's term sees the discriminator's weights as
    constants, and the discriminator's terms see the picture as a constant, so one backward pass serves both.

    Args:
        model: the network.
        loss: weights.
        perceptual: the distance, or None without one.
        discriminator: None trains without one.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: RendererLoss,
        perceptual: PerceptualDistance | None = None,
        discriminator: PatchDiscriminator | None = None,
    ):
        super().__init__()
        self.model, self.loss, self.perceptual, self.discriminator = model, loss, perceptual, discriminator

    def _error(self, picture: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Mean absolute error of ``(B, 3, S, S)``, larger at the mouth."""
        return ((picture - batch["target"]).abs() * (1 + self.loss.mouth * batch["mouth"])).mean()

    def _distance(self, picture: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Perceptual distance of ``(B, 3, S, S)``; 0 without one."""
        return picture.new_zeros(()) if self.perceptual is None else self.perceptual(picture, batch["target"])

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        loss = self.loss
        made = self.model(batch["source"], batch["warped"], batch["window"])
        l1, perceptual = self._error(made.picture, batch), self._distance(made.picture, batch)
        terms = {"l1": l1, "perceptual": perceptual, "reconstruction": loss.l1 * l1 + loss.perceptual * perceptual}
        total = terms["reconstruction"]
        if loss.flowed:
            total = total + loss.flowed * self._error(made.flowed, batch)
        if not self.training:
            terms["warp_l1"] = self._error(batch["warped"], batch)
            terms["warp_perceptual"] = self._distance(batch["warped"], batch)
        if self.discriminator is not None:
            constants = {name: value.detach() for name, value in self.discriminator.named_parameters()}
            constants |= dict(self.discriminator.named_buffers())
            judged = functional_call(self.discriminator, constants, (made.picture,))
            real, false = (self.discriminator(x) for x in (batch["target"], made.picture.detach()))
            terms["adversarial"] = -judged.mean()
            terms["discriminator"] = F.relu(1 - real).mean() + F.relu(1 + false).mean()
            weight = loss.adversarial * (step >= loss.adversarial_after)
            total = total + weight * terms["adversarial"] + terms["discriminator"]
        return {"loss": total, **terms}


def train(config: RendererTraining) -> dict[str, float]:
    """Train a renderer; returns the metrics of the last validation.

    Raises:
        DataError: there are no prepared clips.
        CheckpointError: the weights of the perceptual distance are missing.
    """
    data = config.data
    clips, validation = (load_clip_frames(data.root, split) for split in ("train", "val"))
    refines = config.network == "refiner"
    size = config.refiner if refines else config.generator
    train_set = RendererFrames(clips, size.size, size.window, refines, data)
    seed_step(config.seed, 0)
    if refines:
        model = FaceRefiner(RefinerConfig(**asdict(size), motion_dim=ARKIT.dim))
    else:
        model = PortraitGenerator(GeneratorConfig(**asdict(size), motion_dim=ARKIT.dim))
    model.mapping.standardizer.set(Statistics.of(torch.from_numpy(train_set.motion())))
    objective = RendererObjective(
        model,
        config.loss,
        PerceptualDistance.load() if config.loss.perceptual else None,
        PatchDiscriminator(config.discriminator.channels) if config.loss.adversarial else None,
    )
    solver = Solver(
        config,
        objective,
        train_set=train_set,
        validation_set=RendererFrames(validation, size.size, size.window, refines, limit=data.validation_frames),
        export=_exporter(model, clips),
        identity={"network": config.network, "model": size, "discriminator": config.discriminator, "loss": config.loss},
    )
    return solver.run()


def _exporter(model: nn.Module, clips: Sequence[ClipFrames]) -> Callable[[Path, dict], None]:
    """A solver's ``export``: the network without the discriminator, with sources and licences of its data."""
    data = sorted({(clip.source, clip.licence) for clip in clips})
    facts = {
        "data": [{"source": source, "licence": licence} for source, licence in data],
        "clips": len(clips),
        "people": len({(clip.corpus, clip.person) for clip in clips}),
    }

    def export(path: Path, more: dict) -> None:
        save_checkpoint(path.with_suffix(".safetensors"), model, space=ARKIT.name, extra=more | facts)

    return export
