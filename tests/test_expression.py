"""Mean expressions: measured on acted clips, and the correction towards them."""

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT
from emotalker.core.checkpoint import load_checkpoint, save_checkpoint
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data import CorpusWriter
from emotalker.data.shards import load_clips
from emotalker.models.expression import CONTEMPT, ExpressionConfig, ExpressionPrior
from emotalker.training.expression import expression_offsets

SMILE, BROW, JAW = ARKIT.indices(["mouthSmileLeft", "browInnerUp", "jawOpen"])


def acted(root, emotions: dict[str, int]) -> list:
    """Two speakers with different resting brows; happy clips have a smile of 0.5 at level 2 and of 0.3 at level 1."""
    writer = CorpusWriter(root, ARKIT, "synthetic", "CC0")
    for speaker, rest in (("a", 0.1), ("b", 0.3)):
        for emotion, count in emotions.items():
            for i in range(count):
                motion = np.full((30, ARKIT.dim), 0.0, np.float32)
                motion[:, BROW], motion[:, JAW] = rest, 0.2 + 0.3 * (emotion != "neutral")
                motion[:, SMILE] = {"happy": (0.3, 0.5)[i % 2]}.get(emotion, 0.0)
                writer.add(f"{speaker}{emotion}{i}", motion, None, emotion=emotion, speaker=speaker, level=1 + i % 2)
    writer.close()
    return [clip for split in ("train", "val") for clip in load_some(root, split)]


def load_some(root, split: str) -> list:
    try:
        return load_clips(root, split, audio=False)
    except DataError:
        return []


def test_offsets_are_relative_to_the_neutral_mean_of_the_speaker(tmp_path):
    offsets = expression_offsets(acted(tmp_path / "c", {"neutral": 4, "happy": 8}))
    happy = offsets[EMOTIONS.index("happy")]
    assert happy[SMILE] == pytest.approx(0.5, abs=0.02), "level 1 has 0.6 of the intensity"
    assert happy[BROW] == pytest.approx(0, abs=1e-6) and happy[JAW] == 0, "the jaw is not an expressive entry"
    assert not offsets[EMOTIONS.index("neutral")].any() and not offsets[EMOTIONS.index("sad")].any()
    contempt = offsets[EMOTIONS.index("contempt")]
    assert {ARKIT.names[i]: contempt[i] for i in np.flatnonzero(contempt)} == CONTEMPT


def test_a_corpus_without_neutral_clips_raises_a_data_error(tmp_path):
    with pytest.raises(DataError, match="both neutral and emotional"):
        expression_offsets(acted(tmp_path / "c", {"happy": 8}))


def test_the_correction_is_the_difference_from_the_mean_expression(tmp_path):
    prior = ExpressionPrior(ExpressionConfig())
    prior.offsets[EMOTIONS.index("happy"), SMILE] = 0.5
    prior.neutral[SMILE] = 0.05
    prior = load_checkpoint(save_checkpoint(tmp_path / "expression.safetensors", prior, space="arkit", half=True))
    emotion = torch.eye(8)[[EMOTIONS.index("happy")]]
    motion = torch.rand(1, 20, ARKIT.dim) * 0.1
    motion[..., SMILE] = 0.25
    correction = prior.correction(motion, emotion, range(ARKIT.dim))
    assert correction.shape == (1, 1, ARKIT.dim) and correction[0, 0, SMILE].item() == pytest.approx(0.3, abs=1e-3)
    assert correction.count_nonzero() == 1
    assert prior.correction(motion + correction, emotion, range(ARKIT.dim)).abs().max() < 1e-3
    neutral = torch.zeros(1, 20, ARKIT.dim)
    neutral[..., SMILE] = 0.05
    assert prior.correction(neutral, torch.zeros(1, 8), range(ARKIT.dim)).abs().max() < 1e-6
