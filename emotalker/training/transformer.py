"""Stage 2: training the cross-modal transformer on frozen speech features and the frozen VQ-VAE's codes (docs/method.md 4).

Its settings: :mod:`emotalker.settings.transformer`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Self

import torch
from torch import Tensor

from emotalker.core.checkpoint import load_checkpoint, read_metadata
from emotalker.core.errors import CheckpointError
from emotalker.data import load_clips
from emotalker.models.transformer import CrossModalTransformer, TransformerConfig
from emotalker.models.vqvae import VQVAE
from emotalker.settings.transformer import TransformerLoss, TransformerTraining
from emotalker.training.datasets import SpeechMotion, motion_statistics
from emotalker.training.features import corpus_features, fingerprint, load_encoder
from emotalker.training.sampling import seed_step
from emotalker.training.solver import Objective, Solver
from emotalker.training.stage import exporter, hide_some


class TransformerObjective(Objective):
    """Error of teacher-forced features and codes; the VQ-VAE that provides the targets is frozen.

    Hiding the emotion trains the network to infer it from the voice as well. Hiding preceding codes counters exposure bias:
    neighbouring codes are nearly equal, so a network with the complete history learns to copy them and ignores the audio, and
    in generation it repeats its own errors.

    Args:
        model: the network.
        vqvae: frozen.
        loss: weights and probabilities.
    """

    def __init__(self, model: CrossModalTransformer, vqvae: VQVAE, loss: TransformerLoss):
        super().__init__()
        self.model, self.loss = model, loss
        self.vqvae = vqvae.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.vqvae.eval()
        return self

    def forward(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        codes, quantized = self.vqvae.encode(batch["motion"])
        emotion = None
        if self.model.config.num_emotions:
            emotion = hide_some(batch["emotion"], self.loss.emotion_drop if self.training else 0.0)
        history = quantized
        if self.training and self.loss.history_drop:
            history = quantized * (torch.rand(*codes.shape, 1, device=codes.device) >= self.loss.history_drop)
        output = self.model(batch["features"], history, batch["reference"], emotion)
        return self.model.loss(output, quantized, codes, code_weight=self.loss.code_weight)


def train(config: TransformerTraining) -> dict[str, float]:
    """Train the transformer; returns the metrics of the last validation. Raises as :func:`make_solver`."""
    return make_solver(config).run()


def make_solver(config: TransformerTraining) -> Solver:
    """The transformer with its data, ready to train.

    Raises:
        CheckpointError: the VQ-VAE or the audio encoder cannot be loaded.
        DataError: the corpus cannot be read.
    """
    data = config.data
    clips, validation = (load_clips(data.root, split, config.space) for split in ("train", "val"))
    space = clips[0].corpus.space
    vqvae, encoder = load_vqvae(config.vqvae, space.name), load_encoder(config.encoder)
    features = corpus_features([*clips, *validation], encoder, data.variants, data.feature_device)

    seed_step(config.seed, 0)
    given = {"code_dim": vqvae.config.code_dim, "codebook_size": vqvae.config.codebook_size}
    given |= {"audio_dim": encoder.dim, "reference_dim": space.dim}
    model = CrossModalTransformer(TransformerConfig(**asdict(config.model), **given))
    model.standardizer.set(motion_statistics(clips, slice(None)))

    return Solver(
        config,
        TransformerObjective(model, vqvae, config.loss),
        train_set=SpeechMotion(clips, features, data.frames, space.face, augment=True),
        validation_set=SpeechMotion(validation, features, data.frames, space.face, augment=False),
        export=exporter(model, clips),
        identity={"model": config.model, "loss": config.loss, "frames": data.frames, "encoder": fingerprint(encoder)},
    )


def load_vqvae(path: str, space: str) -> VQVAE:
    """A checkpoint of stage 1. Raises CheckpointError if it cannot be loaded or was trained in another coefficient space."""
    vqvae, trained_in = load_checkpoint(path, "vqvae"), read_metadata(path).space
    if trained_in != space:
        raise CheckpointError(f"{path} was trained in the space {trained_in!r}; train one with space={space}")
    return vqvae
