"""Stage 2: training the cross-modal transformer on frozen speech features and the frozen VQ-VAE's codes (docs/method.md 4)."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from emotalker.core.checkpoint import load_checkpoint, read_metadata
from emotalker.core.errors import CheckpointError
from emotalker.data import load_clips
from emotalker.models.transformer import CrossModalTransformer, TransformerConfig
from emotalker.models.vqvae import VQVAE
from emotalker.training.datasets import SpeechMotion, motion_statistics
from emotalker.training.features import corpus_features, fingerprint, load_encoder
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter, hide_some, solver_config


class TransformerObjective(Objective):
    """Teacher-forced features and codes; the VQ-VAE that makes the targets stays as it is.

    Args:
        model: the network.
        vqvae: frozen.
        code_weight: of the codes' cross-entropy.
        emotion_drop: probability of hiding an example's emotion, so that it is heard in the voice too.
        history_drop: probability of hiding each code that has gone before. Codes hardly change from one to the next: who sees
            them all learns to repeat them and not to listen, and repeats its own mistakes when it is on its own.
    """

    def __init__(
        self, model: CrossModalTransformer, vqvae: VQVAE, code_weight: float, emotion_drop: float, history_drop: float
    ):
        super().__init__()
        self.emotion_drop, self.history_drop = emotion_drop, history_drop
        self.model = model
        self.vqvae = vqvae.requires_grad_(False).eval()
        self.code_weight = code_weight

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.vqvae.eval()
        return self

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        codes, quantized = self.vqvae.encode(batch["motion"])
        emotion = None
        if self.model.config.num_emotions:
            emotion = hide_some(batch["emotion"], self.emotion_drop if self.training else 0.0)
        history = quantized
        if self.training and self.history_drop:
            history = quantized * (torch.rand(*codes.shape, 1, device=codes.device) >= self.history_drop)
        output = self.model(batch["features"], history, batch["reference"], emotion)
        return self.model.loss(output, quantized, codes, code_weight=self.code_weight)


def train(config: dict) -> dict[str, float]:
    """Train from a composed configuration (``configs/transformer.yaml``); returns the last validation's numbers.

    Raises:
        CheckpointError: the VQ-VAE or the audio encoder cannot be loaded.
        DataError: the corpus cannot be read.
    """
    data = config["data"]
    clips, validation = (load_clips(data["root"], split, config["space"]) for split in ("train", "val"))
    space = clips[0].corpus.space
    vqvae, encoder = load_checkpoint(config["vqvae"], "vqvae"), load_encoder(config["encoder"])
    coded = read_metadata(config["vqvae"]).space
    if coded != space.name:
        raise CheckpointError(f"{config['vqvae']} was trained in the space {coded!r}; train one with space={space.name}")
    features = corpus_features([*clips, *validation], encoder, data["variants"], data["feature_device"])
    seed_step(config["seed"], 0)
    sizes = {"code_dim": vqvae.config.code_dim, "codebook_size": vqvae.config.codebook_size}
    sizes |= {"audio_dim": encoder.dim, "reference_dim": space.dim}
    model = CrossModalTransformer(TransformerConfig.from_dict(sizes | config["model"]))
    model.standardizer.set(motion_statistics(clips, slice(None)))
    solver = Solver(
        solver_config(config),
        TransformerObjective(model, vqvae, **config["loss"]),
        SpeechMotion(clips, features, data["frames"], space.face, augment=True),
        SpeechMotion(validation, features, data["frames"], space.face, augment=False),
        exporter(model, clips),
        {"model": config["model"], "loss": config["loss"], "frames": data["frames"], "encoder": fingerprint(encoder)},
    )
    return solver.run()
