"""The strength of the voice's emotion: a logistic regression on the emotion recogniser's descriptions (docs/method.md 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.models.emotion_recognizer import NEUTRAL, EmotionRecognizer
from emotalker.settings.emotion_recognizer import EmotionRecognizerLoss

#: Levels of strength in the corpora's labels; 0 is unknown.
NORMAL, STRONG = 1, 2


def strength_targets(
    corpora: Sequence[str], emotions: Tensor, levels: Tensor, loss: EmotionRecognizerLoss
) -> tuple[Tensor, Tensor]:
    """Strength ``(N,)`` of clips, 0 to 1, and their weights ``(N,)`` in the regression.

    Strong clips have strength 1, normal and neutral ones 0. In each emotion normal and strong clips weigh the same, so that
    neither the emotion nor its frequency tells the strength. Neutral clips of all corpora weigh ``strength_neutral``, and
    emotions of unknown strength, which are acted in full, ``strength_acted`` with strength ``strength_unknown``; within both,
    each corpus weighs the same. They teach that rooms, languages and microphones say nothing about the strength.

    Args:
        corpora: of the clips.
        emotions: ``(N,)`` indices into EMOTIONS, calm as neutral.
        levels: ``(N,)``: NORMAL, STRONG, or 0 for unknown.
        loss: settings.
    """
    names, neutral = np.array(corpora), emotions == NEUTRAL
    acted, unknown = ~neutral & (levels > 0), ~neutral & (levels == 0)
    targets, weights = (acted & (levels == STRONG)).float(), torch.zeros(len(emotions))
    targets[unknown] = loss.strength_unknown
    cells = [acted & (emotions == emotion) & (levels == level)
             for emotion in emotions[acted].unique() for level in (NORMAL, STRONG)]  # fmt: skip
    for cell in cells:
        weights[cell] = 1 / (len(cells) * cell.sum().clamp_min(1))
    for group, weight in ((neutral, loss.strength_neutral), (unknown, loss.strength_acted)):
        for corpus in (found := np.unique(names[group.numpy()])):
            cell = group & torch.from_numpy(names == corpus)
            weights[cell] = weight / (len(found) * cell.sum())
    return targets, weights


def fit_strength(model: EmotionRecognizer, descriptions: Tensor, targets: Tensor, weights: Tensor, decay: float) -> None:
    """Set the recogniser's ``strength_weights`` and ``strength_bias``; zeros if there are no strong clips.

    Minimises the weighted mean cross-entropy plus ``decay`` times the squared weights, by L-BFGS.

    Args:
        model: with the statistics and nuisance directions of its training.
        descriptions: ``(1 + copies, N, inputs)``.
        targets, weights: ``(N,)`` each, of :func:`strength_targets`.
        decay: factor of the squared weights.
    """
    model.strength_weights.zero_()
    model.strength_bias.zero_()
    used = weights > 0
    if not (targets[used] == 1).any():
        return
    copies = len(descriptions)
    inputs = torch.cat([model.project(copy[used].float()) for copy in descriptions])
    shares, targets = (weights[used] / weights[used].sum() / copies).repeat(copies), targets[used].repeat(copies)
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
