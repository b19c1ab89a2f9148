"""Emotion accuracy: the emotion that a classifier of expressions sees in a video."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from emotalker.core.emotions import emotion_of
from emotalker.core.errors import ConfigError
from emotalker.evaluation.expression_networks import CLASSES, ExpressionNetwork

#: From some frames of a video ``(N, S, S, 3)`` uint8 RGB and their faces ``(N, 478, 2)`` pixels to a probability or score by
#: emotion. Any classifier becomes one by a function of a few lines.
Classifier = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def network_classifier(network: ExpressionNetwork) -> Classifier:
    """A classifier from one of the registry's networks: mean probability over the frames."""

    def classify(frames: np.ndarray, points: np.ndarray) -> dict[str, float]:
        crops = np.stack([network.crop(frame, p) for frame, p in zip(frames, points, strict=True)])
        return dict(zip(CLASSES, map(float, network.probabilities(crops).mean(0)), strict=True))

    return classify


def load_classifier(name: str) -> Classifier:
    """A user's classifier, given as ``file.py:function`` or ``module:function``.

    Raises:
        ConfigError: the file, module or function does not exist.
    """
    source, _, function = name.rpartition(":")
    try:
        if source.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(source).stem, source)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
        return getattr(module, function)
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise ConfigError(f"no classifier {name!r} ({error}); give file.py:function or module:function") from error


def recognised(probabilities: dict[str, float], label: str | None) -> float:
    """1 if the most probable emotion is the label, else 0; NaN without a label or if the classifier does not know it."""
    votes = {emotion_of(word) or word: value for word, value in probabilities.items()}
    if label is None or label not in votes:
        return float("nan")
    return float(max(votes, key=votes.__getitem__) == label)


def majority_rate(labels: Sequence[str | None]) -> float:
    """Accuracy of naming the most frequent label always; NaN without labels."""
    known = [label for label in labels if label]
    return max(map(known.count, known)) / len(known) if known else float("nan")
