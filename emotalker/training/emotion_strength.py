"""The strength of the voice's emotion: a logistic regression on the emotion recogniser's descriptions (docs/method.md 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.models.emotion_recognizer import NEUTRAL, EmotionRecognizer

#: Levels of strength in the corpora's labels; 0 is unknown.
NORMAL, STRONG = 1, 2


def strength_weights(corpora: Sequence[str], emotions: Tensor, levels: Tensor, neutral: float) -> Tensor:
    """Weights ``(N,)`` of clips in the regression, with sum 1 + ``neutral``; less where there are no such clips.

    In each emotion normal and strong clips weigh the same, so that neither the emotion nor its frequency tells the strength.
    Neutral clips of all corpora, which are not strong, weigh ``neutral``, each corpus the same, so that recordings of other
    rooms, languages and microphones are heard as weak unless they sound strong. Emotions of unknown strength weigh nothing.

    Args:
        corpora: of the clips.
        emotions: ``(N,)`` indices into EMOTIONS, calm as neutral.
        levels: ``(N,)``: NORMAL, STRONG, or 0 for unknown.
        neutral: weight of all neutral clips.
    """
    names, weights = np.array(corpora), torch.zeros(len(emotions))
    acted = (emotions != NEUTRAL) & (levels > 0)
    cells = [acted & (emotions == emotion) & (levels == level)
             for emotion in emotions[acted].unique() for level in (NORMAL, STRONG)]  # fmt: skip
    for cell in cells:
        weights[cell] = 1 / (len(cells) * cell.sum().clamp_min(1))
    for corpus in (found := np.unique(names[(emotions == NEUTRAL).numpy()])):
        cell = (emotions == NEUTRAL) & torch.from_numpy(names == corpus)
        weights[cell] = neutral / (len(found) * cell.sum())
    return weights


def fit_strength(model: EmotionRecognizer, descriptions: Tensor, strong: Tensor, weights: Tensor, decay: float) -> None:
    """Set the recogniser's ``strength_weights`` and ``strength_bias``; with no strong clips all strengths are 0.5.

    Minimises the weighted mean cross-entropy plus ``decay`` times the squared weights, by L-BFGS.

    Args:
        model: with the statistics and nuisance directions of its training.
        descriptions: ``(1 + copies, N, inputs)``.
        strong: ``(N,)`` bool.
        weights: ``(N,)`` as :func:`strength_weights`.
        decay: factor of the squared weights.
    """
    model.strength_weights.zero_()
    model.strength_bias.zero_()
    used = weights > 0
    if not (strong & used).any():
        return
    copies = len(descriptions)
    inputs = torch.cat([model.project(copy[used].float()) for copy in descriptions])
    targets, shares = strong[used].float().repeat(copies), (weights[used] / weights[used].sum() / copies).repeat(copies)
    slope, bias = torch.zeros(inputs.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, bias], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        entropy = F.binary_cross_entropy_with_logits(inputs @ slope + bias, targets, reduction="none")
        value = entropy @ shares + decay * slope.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    model.strength_weights.copy_(slope.detach())
    model.strength_bias.copy_(bias.detach())
