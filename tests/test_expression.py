"""Expressions of the emotions, and the correction towards them."""

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT
from emotalker.core.checkpoint import load_checkpoint, save_checkpoint
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data import CorpusWriter
from emotalker.data.shards import load_clips
from emotalker.models.expression import EXPRESSIONS, ExpressionConfig, ExpressionPrior, expression_table
from emotalker.training.expression import fit

SMILE, BROW, JAW = ARKIT.indices(["mouthSmileLeft", "browInnerUp", "jawOpen"])


def test_the_table_has_the_actions_of_every_emotion_and_none_for_neutral():
    table = expression_table(ARKIT)
    assert set(EXPRESSIONS) == set(EMOTIONS) - {"neutral"}
    assert not table[EMOTIONS.index("neutral")].any()
    assert table[:, ARKIT.expression].min() == 0 and table.max() <= 1 and np.abs(table[:, ARKIT.pose]).max() < 0.1
    happy = dict(zip(ARKIT.names, table[EMOTIONS.index("happy")], strict=True))
    assert happy["mouthSmileLeft"] == happy["mouthSmileRight"] > 0.5 and happy["browDownLeft"] == 0
    contempt = dict(zip(ARKIT.names, table[EMOTIONS.index("contempt")], strict=True))
    assert contempt["mouthSmileLeft"] > 0 == contempt["mouthSmileRight"], "contempt is on one side"
    named = {name for actions in EXPRESSIONS.values() for name in actions}
    assert all(name in ARKIT.names or f"{name}Left" in ARKIT.names for name in named)


def test_a_corpus_without_neutral_recordings_raises_a_data_error(tmp_path):
    writer = CorpusWriter(tmp_path / "c", ARKIT, "synthetic", "CC0")
    for i in range(40):
        writer.add(f"clip{i}", np.zeros((30, ARKIT.dim), np.float32), None, emotion="happy")
    writer.close()
    with pytest.raises(DataError, match="no neutral clip"):
        fit(None, load_clips(tmp_path / "c", "train", audio=False))


def test_the_correction_is_the_difference_from_the_mean_expression(tmp_path):
    prior = ExpressionPrior(ExpressionConfig())
    prior.offsets.zero_()[EMOTIONS.index("happy"), SMILE] = 0.5
    prior.offsets[EMOTIONS.index("happy"), JAW] = 0.2
    prior.neutral[SMILE] = 0.05
    prior = load_checkpoint(save_checkpoint(tmp_path / "expression.safetensors", prior, space="arkit", half=True))
    emotion = torch.eye(8)[[EMOTIONS.index("happy")]]
    motion = torch.rand(1, 20, ARKIT.dim) * 0.1
    motion[..., SMILE] = 0.25
    correction = prior.correction(motion, emotion, range(ARKIT.dim))
    assert correction.shape == (1, 1, ARKIT.dim) and correction[0, 0, SMILE].item() == pytest.approx(0.3, abs=1e-3)
    assert correction[0, 0, JAW].item() == pytest.approx(0.2, abs=1e-3), "the mean of the jaw says what is spoken"
    again = prior.correction(motion + correction, emotion, range(ARKIT.dim))[0, 0]
    assert again[SMILE].abs() < 1e-3 and again[JAW].item() == pytest.approx(0.2, abs=1e-3)
    neutral = prior.neutral.expand(1, 20, -1)
    assert prior.correction(neutral, torch.zeros(1, 8), range(ARKIT.dim)).abs().max() < 1e-6
