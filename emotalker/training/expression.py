"""Average expressions of acted corpora, in closed form; takes about a minute after the other stages are trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data.shards import Clip
from emotalker.inference.generator import MotionGenerator
from emotalker.models.expression import CONTEMPT, EXPRESSIVE, ExpressionConfig, ExpressionPrior
from emotalker.training.datasets import References, emotion_weights_of

NEUTRAL = EMOTIONS.index("neutral")


def expression_offsets(clips: Sequence[Clip]) -> np.ndarray:
    """Mean motion of each emotion at full weight minus the speaker's neutral mean, ``(8, D)``.

    Least squares over clips, in which a weak level counts as a fraction of its emotion
    (:func:`~emotalker.training.datasets.emotion_weights_of`). Contempt is composed if no clip is labelled with it.

    Raises:
        DataError: no speaker has both neutral and emotional clips.
    """
    space = clips[0].corpus.space
    neutral: dict[str, list[np.ndarray]] = defaultdict(list)
    for clip in clips:
        if clip.label == NEUTRAL:
            neutral[clip.speaker].append(clip.motion.mean(0))
    acted = [clip for clip in clips if clip.label not in (NEUTRAL, -1) and clip.speaker in neutral]
    if not acted:
        raise DataError(f"{clips[0].corpus.root}: no speaker has both neutral and emotional clips; use an acted corpus")
    products, squares = np.zeros((len(EMOTIONS), space.dim)), np.zeros((len(EMOTIONS), 1))
    for clip in acted:
        weight = emotion_weights_of(clip)[clip.label]
        products[clip.label] += weight * (clip.motion.mean(0) - np.mean(neutral[clip.speaker], 0))
        squares[clip.label] += weight**2
    offsets = products / np.maximum(squares, 1e-9)
    contempt = EMOTIONS.index("contempt")
    if not squares[contempt]:
        for name, value in CONTEMPT.items():
            offsets[contempt, space.index(name)] = value
    offsets[:, [i for i, name in enumerate(space.names) if not name.startswith(EXPRESSIVE)]] = 0
    return offsets


def fit(generator: MotionGenerator, clips: Sequence[Clip], neutral_clips: int = 48) -> ExpressionPrior:
    """Measure recorded expressions on ``clips``, and generated ones on at most ``neutral_clips`` of their neutral clips."""
    prior = ExpressionPrior(ExpressionConfig(space=clips[0].corpus.space.name))
    prior.offsets.copy_(torch.from_numpy(expression_offsets(clips)))
    neutral = [i for i, clip in enumerate(clips) if clip.label == NEUTRAL and clip.has_audio]
    chosen = [neutral[i] for i in np.unique(np.linspace(0, len(neutral) - 1, neutral_clips).round().astype(int))]
    references, generator.expression = References(clips), None
    generated = [generator.generate(clips[i].audio, references.sample(i, None)).coefficients.mean(0) for i in chosen]
    prior.neutral.copy_(torch.from_numpy(np.mean(generated, 0)))
    return prior
