"""The mean motion that trained networks generate for neutral speech; takes about a minute after the other stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data.shards import Clip
from emotalker.inference.generator import MotionGenerator
from emotalker.models.expression import ExpressionConfig, ExpressionPrior
from emotalker.training.datasets import References

NEUTRAL = EMOTIONS.index("neutral")


def fit(generator: MotionGenerator, clips: Sequence[Clip], neutral_clips: int = 48) -> ExpressionPrior:
    """Generate from at most ``neutral_clips`` neutral clips and average; DataError if there is no neutral recording."""
    prior = ExpressionPrior(ExpressionConfig(space=clips[0].corpus.space.name))
    neutral = [i for i, clip in enumerate(clips) if clip.label == NEUTRAL and clip.has_audio]
    if not neutral:
        raise DataError(f"{clips[0].corpus.root}: no neutral clip has a recording; use a corpus with neutral speech")
    chosen = [neutral[i] for i in np.unique(np.linspace(0, len(neutral) - 1, neutral_clips).round().astype(int))]
    references, generator.expression = References(clips), None
    generated = [generator.generate(clips[i].audio, references.sample(i, None)).coefficients.mean(0) for i in chosen]
    prior.neutral.copy_(torch.from_numpy(np.mean(generated, 0)))
    return prior
