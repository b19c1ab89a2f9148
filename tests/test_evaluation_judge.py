"""The sync judge, its measures and its training."""

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT
from emotalker.core.checkpoint import load_checkpoint, save_checkpoint, shipped
from emotalker.core.launch import compose
from emotalker.data import CorpusWriter
from emotalker.data.shards import Corpus
from emotalker.evaluation.sync import SyncMeter, SyncScore, corpus_offset, sync_table
from emotalker.face.model import FaceModel
from emotalker.models.hubert import AudioEncoder, AudioEncoderConfig
from emotalker.models.sync import MAX_SHIFT
from emotalker.models.sync_judge import SyncJudge, SyncJudgeConfig
from emotalker.settings.sync_judge import SyncJudgeTraining
from emotalker.training import sync_judge

TINY = SyncJudgeConfig(audio_dim=4, hidden_dim=8, dim=8)
FRAMES = 75


def judge() -> SyncJudge:
    torch.manual_seed(0)
    model = SyncJudge(TINY).eval()
    model.set_mouth(sync_judge.mouth_measures(FaceModel.load()), torch.full((8,), 0.02))
    return model


def test_measures_of_the_mouth():
    """jawOpen opens the lips and lowers the chin; mouthFunnel protrudes; a smile widens the mouth and raises its corners."""
    mouth = sync_judge.mouth_measures(FaceModel.load())
    assert mouth.shape == (len(ARKIT.lip), 8)
    gap, upper, lower, chin, width, corners, _, protrusion = mouth.T
    row = ARKIT.lip_names.index
    assert gap[row("jawOpen")] > 0.1 and chin[row("jawOpen")] < -0.1 and lower[row("jawOpen")] < -0.1
    assert width[row("mouthSmileLeft")] > 0 and corners[row("mouthSmileLeft")] > 0
    assert protrusion[row("mouthFunnel")] > 0 and upper[row("mouthUpperUpLeft")] > 0
    assert torch.allclose(gap, upper - lower, atol=1e-6)


def test_standardised_lips_keep_timing_and_not_amplitude():
    model, lips = judge(), torch.zeros(1, FRAMES, len(ARKIT.lip))
    lips[0, :, ARKIT.lip_names.index("jawOpen")] = torch.linspace(0, 12, FRAMES).sin() * 0.3 + 0.4
    standard = model.standardize_lips(lips)
    assert torch.allclose(standard.mean(1), torch.zeros(8), atol=1e-5) and standard.std(1)[0, 0] == pytest.approx(1, abs=0.02)
    assert torch.allclose(standard[..., 0], model.standardize_lips(2 * lips + 0.1)[..., 0], atol=1e-4)
    assert model.standardize_lips(lips * 1e-3).abs().max() < 0.1  # jitter of a still mouth is not scaled up
    embedded = model.embed_lips(standard)
    assert embedded.shape == (1, FRAMES, 8) and torch.allclose(embedded.norm(dim=-1), torch.ones(1, FRAMES))


def test_standardised_sound_does_not_depend_on_a_constant():
    model, features = judge(), torch.randn(1, 2 * FRAMES, 4)
    standard = model.standardize_audio(features)
    assert standard.shape == (1, FRAMES, 8)
    assert torch.allclose(standard, model.standardize_audio(features + torch.randn(4)), atol=1e-5)
    assert model.embed_audio(standard).shape == (1, FRAMES, 8)


class Ideal(SyncJudge):
    """Embeds the first feature of the sound and jawOpen as the same angle."""

    def standardize_audio(self, features):
        return features[:, ::2, :1]

    def standardize_lips(self, lips):
        return lips[..., ARKIT.lip_names.index("jawOpen"), None]

    def embed_audio(self, audio):
        return torch.cat([audio.cos(), audio.sin()], -1)

    embed_lips = embed_audio


class Loudness:
    """Replaces the encoder: the only feature is the root mean square of 20 ms."""

    def encode_long(self, wave):
        return 3 * wave.unfold(-1, 320, 320).square().mean(-1).sqrt()[..., None]


def pair(ahead: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sound of random loudness, and a jaw that opens with it ``ahead`` frames early."""
    loud = np.random.default_rng(seed).uniform(0, 0.8, FRAMES).astype(np.float32)
    motion = np.zeros((FRAMES, ARKIT.dim), np.float32)
    motion[:, ARKIT.index("jawOpen")] = np.roll(3 * loud, -ahead)
    return np.repeat(loud, 640), motion


@pytest.mark.parametrize("ahead", [-6, 0, 3])
def test_the_meter_measures_the_offset_of_the_lips(ahead):
    meter, (audio, motion) = SyncMeter(Ideal(TINY).eval(), Loudness()), pair(ahead)
    score = meter(audio, motion)
    assert score.offset == ahead and score.distances.shape == (31,)
    assert score.confidence == pytest.approx(np.median(score.distances) - score.distance) and score.confidence > 0.3
    assert meter(audio, motion, origin=ahead).offset == 0
    assert meter(audio[:6400], motion[:10]).distances.shape == (31,)  # shorter than the shifts
    assert meter(audio[: 640 * 70], motion).distances.shape == (31,)  # sound shorter than the motion


def test_the_offset_of_a_corpus_is_the_median(tmp_path):
    writer = CorpusWriter(tmp_path, ARKIT, "synthetic", "CC0")
    for n, ahead in enumerate((-2, -2, -2, 7, 0)):
        audio, motion = pair(ahead, n)
        writer.add(f"clip{n}", motion, audio)
    writer.close()
    assert corpus_offset(SyncMeter(Ideal(TINY).eval(), Loudness()), Corpus(tmp_path).clips) == -2


def test_the_table_counts_true_pairs_ranked_first():
    distances = 1 - np.eye(31)[[MAX_SHIFT, MAX_SHIFT + 1, 0, MAX_SHIFT]]
    scores = [SyncScore(d) for d in distances]
    assert [score.confidence_in_sync for score in scores] == [1, 0, 0, 1]
    cells = [cell.strip() for cell in sync_table({"real": scores}).splitlines()[-1].split("|")[1:-1]]
    assert cells == ["real", "4", "0.000", "1.000", "0.500", "50%", "75%", "4.00"]


def test_blurred_targets():
    target = sync_judge.blurred_target(torch.tensor([0, 2]), 4, 0.2)
    assert torch.allclose(target, torch.tensor([[0.8, 0.2, 0, 0], [0, 0.2, 0.6, 0.2]]))


def test_a_half_precision_copy_gives_the_same(tmp_path):
    model = judge()
    save_checkpoint(tmp_path / "judge.safetensors", model, space="arkit", half=True)
    loaded = load_checkpoint(tmp_path / "judge.safetensors", "sync_judge")
    lips = torch.rand(1, 40, len(ARKIT.lip))
    a, b = (m.embed_lips(m.standardize_lips(lips)) for m in (model, loaded))
    assert torch.allclose(a, b, atol=1e-2)


def test_the_shipped_judge_is_small_and_fits_the_shipped_features():
    path = shipped("small") / "sync_judge.safetensors"
    model = load_checkpoint(path, "sync_judge")
    assert path.stat().st_size < 3e6
    assert model.config.audio_dim == load_checkpoint(shipped("small") / "audio_encoder.safetensors", "audio_encoder").dim


def test_training_on_mouths_that_open_with_loudness(tmp_path):
    rng = np.random.default_rng(0)
    writer = CorpusWriter(tmp_path / "corpus", ARKIT, "synthetic", "CC0")
    for i in range(40):
        loud = np.repeat(rng.uniform(0, 1, 24), 5).astype(np.float32)
        motion = np.zeros((120, ARKIT.dim), np.float32)
        motion[:, ARKIT.index("jawOpen")] = loud
        writer.add(f"clip{i}", motion, np.repeat(0.3 * loud, 640) * rng.normal(0, 1, 120 * 640).clip(-2, 2))
    writer.close()
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    encoder = AudioEncoder(AudioEncoderConfig.log_mel(**sizes))
    save_checkpoint(tmp_path / "encoder.safetensors", encoder)
    overrides = [
        f"run={tmp_path}/run", f"data.root={tmp_path}/corpus", f"data.validation_root={tmp_path}/corpus", "cpu=true",
        f"encoder={tmp_path}/encoder.safetensors", "steps=60", "batch_size=16", "validate_every=60", "save_every=60",
        "data.variants=1", "model.dropout=0", "optimizer.warmup=5", "optimizer.learning_rate=5e-3",
    ]  # fmt: skip
    values = sync_judge.train(compose(SyncJudgeTraining, overrides))
    assert values["within_one_frame"] >= 0.5
    assert isinstance(load_checkpoint(tmp_path / "run/best.safetensors", "sync_judge"), SyncJudge)
