"""Linear probe, the standard test of the information in a representation (Alain and Bengio 2017)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class LinearProbe:
    """Multinomial logistic regression on standardised features with equal class weights.

    Args:
        features: ``(N, dim)``.
        labels: ``(N,)`` int64 below ``classes``.
        classes: number of classes; those without an example are never predicted.
        weight_decay: factor of the squared weights in the loss.
        iterations: maximum number of L-BFGS iterations.
    """

    def __init__(self, features: Tensor, labels: Tensor, classes: int, weight_decay: float = 1e-3, iterations: int = 60):
        self.mean, self.std = features.float().mean(0), features.float().std(0).clamp_min(1e-5)
        points = (features.float() - self.mean) / self.std
        counts = torch.bincount(labels, minlength=classes)
        class_weights = torch.where(counts > 0, len(labels) / (counts.clamp_min(1) * (counts > 0).sum()), 0.0)
        self.weight = torch.zeros(classes, features.shape[1], requires_grad=True)
        self.bias = torch.where(counts > 0, 0.0, -1e4).requires_grad_()
        optimizer = torch.optim.LBFGS([self.weight, self.bias], max_iter=iterations, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            losses = F.cross_entropy(F.linear(points, self.weight, self.bias), labels, class_weights)
            loss = losses + weight_decay * self.weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)

    @torch.no_grad()
    def linear(self) -> tuple[Tensor, Tensor]:
        """The classifier for features that are not standardised: weight ``(classes, dim)`` and bias ``(classes,)``."""
        weight = self.weight / self.std
        return weight, self.bias - weight @ self.mean

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """``(N, dim)`` to the most probable classes ``(N,)``."""
        return F.linear(features.float(), *self.linear()).argmax(-1)


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Counts ``(classes, classes)`` by true class (rows) and prediction (columns)."""
    return torch.bincount(labels * classes + predictions, minlength=classes**2).view(classes, classes)


def unweighted_accuracy(confusion: Tensor) -> float:
    """Mean recall of the classes that occur in a :func:`confusion_matrix`."""
    counts = confusion.sum(1)
    return (confusion.diagonal()[counts > 0] / counts[counts > 0]).mean().item()
