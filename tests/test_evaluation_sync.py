"""The sync expert: its windows, its training and its similarity of shifted pairs."""

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT
from emotalker.core.checkpoint import load_checkpoint, save_checkpoint
from emotalker.core.launch import compose
from emotalker.data import CorpusWriter
from emotalker.models.sync import MAX_SHIFT, SyncConfig, SyncExpert, shifted_similarity
from emotalker.settings.sync import SyncTraining
from emotalker.training import sync

TINY = SyncConfig(mel_channels=(16, 16, 16), lip_channels=(16, 16), dim=16)
FRAMES = 75


def expert() -> SyncExpert:
    torch.manual_seed(0)
    return SyncExpert(TINY).eval()


def test_embeddings_are_unit_vectors_with_a_receptive_field_of_five_frames():
    model = expert()
    lips = torch.randn(1, 20, len(ARKIT.lip))
    changed = lips.clone()
    changed[:, 10] += 1
    a, b = model.embed_lips(lips), model.embed_lips(changed)
    assert a.shape == (1, 20, 16) and torch.allclose(a.norm(dim=-1), torch.ones(1, 20))
    moved = ((a - b).abs().amax(-1) > 1e-6)[0].nonzero()[:, 0].tolist()
    assert moved == [8, 9, 10, 11, 12]
    assert model.embed_lips(lips[:, :1]).shape == (1, 1, 16)
    audio = model.embed_audio(model.windows(torch.randn(1, 80, 65), 20))
    assert audio.shape == (1, 20, 16) and torch.allclose(audio.norm(dim=-1), torch.ones(1, 20))
    assert model.loss(audio, audio).item() == pytest.approx(0, abs=1e-6)


def test_windows_do_not_depend_on_loudness():
    model, mel = expert(), torch.randn(1, 80, 65)
    assert torch.allclose(model.windows(mel, 20), model.windows(mel + 1, 20), atol=1e-5)


def test_similarity_of_a_shifted_copy_peaks_at_its_shift():
    stream = torch.nn.functional.normalize(torch.randn(2, 80, 32), dim=-1)
    for shift in (-7, 0, 15):
        found = shifted_similarity(stream, stream.roll(shift, 1))
        assert found.shape == (2, 31, 50)
        assert torch.allclose(found[:, MAX_SHIFT + shift], torch.ones(2, 50), atol=1e-5) or abs(shift) == 15
        assert found.mean(-1).argmax(1).tolist() == [MAX_SHIFT + shift] * 2


def test_a_half_precision_copy_has_the_same_embeddings(tmp_path):
    model = expert()
    save_checkpoint(tmp_path / "sync.safetensors", model, space="arkit", half=True)
    loaded = load_checkpoint(tmp_path / "sync.safetensors", "sync")
    lips = torch.randn(1, 20, len(ARKIT.lip))
    assert torch.allclose(loaded.embed_lips(lips), model.embed_lips(lips), atol=5e-3)


def test_training_on_mouths_that_open_with_loudness(tmp_path):
    """After a few steps validation pairs rank first."""
    rng = np.random.default_rng(0)
    writer = CorpusWriter(tmp_path / "corpus", ARKIT, "synthetic", "CC0")
    for i in range(40):
        loud = rng.uniform(0, 1, FRAMES).astype(np.float32)
        motion = np.zeros((FRAMES, ARKIT.dim), np.float32)
        motion[:, ARKIT.index("jawOpen")] = loud
        writer.add(f"clip{i}", motion, np.repeat(0.3 * loud, 640) * rng.normal(0, 1, FRAMES * 640).clip(-2, 2))
    writer.close()
    overrides = [
        f"run={tmp_path}/run", f"data.root={tmp_path}/corpus", "cpu=true", "steps=40", "batch_size=8", "validate_every=40",
        "save_every=40", "model.mel_channels=[16,16,16]", "model.lip_channels=[16,16]", "model.dim=16",
        "optimizer.warmup=5", "optimizer.learning_rate=1e-2", "augmentation.noise=0", "augmentation.filter=0",
    ]  # fmt: skip
    values = sync.train(compose(SyncTraining, overrides))
    assert values["in_sync"] >= 0.5 and values["window"] < 0.5 * np.log(31)
    assert isinstance(load_checkpoint(tmp_path / "run/best.safetensors", "sync"), SyncExpert)
