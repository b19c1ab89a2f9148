"""Emotion labels in training: class weights, confusion matrix, accuracy. Labels are indices of EMOTIONS, -1 for none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from emotalker.core.emotions import EMOTIONS


def balanced_weights(labels: Sequence[int]) -> Tensor:
    """Weights ``(8,)`` with which all emotions that occur count the same; 0 for the others.

    Label smoothing would otherwise raise emotions that never occur.
    """
    counts = torch.bincount(torch.tensor([x for x in labels if x >= 0], dtype=torch.long), minlength=len(EMOTIONS))
    weights = counts.sum() / (counts.clamp_min(1) * (counts > 0).sum().clamp_min(1))
    return (weights * (counts > 0)).float()


def confusion_matrix(labels: Tensor, logits: Tensor) -> Tensor:
    """``(8, 8)`` fractions of a batch by true (rows) and predicted emotion, from ``(B,)`` labels and ``(B, 8)`` logits."""
    labelled = labels >= 0
    confusion = logits.new_zeros(len(EMOTIONS), len(EMOTIONS), dtype=torch.float32)
    pairs = (labels[labelled], logits.argmax(-1)[labelled])
    return confusion.index_put_(pairs, confusion.new_tensor(1.0 / len(labels)), accumulate=True)


def unweighted_accuracy(confusion: Tensor) -> float:
    """Mean recall of the emotions that occur in a confusion matrix; 0 if there is none."""
    counts = confusion.sum(1)
    recall = confusion.diagonal()[counts > 0] / counts[counts > 0]
    return recall.mean().item() if len(recall) else 0.0
