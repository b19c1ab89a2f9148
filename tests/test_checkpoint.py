"""Checkpoints: saving, loading, and error messages for unusable files."""

import json

import pytest
import torch
from helpers import tiny_hubert
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from emotalker.coefficients.statistics import Statistics
from emotalker.core.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from emotalker.core.errors import CheckpointError, OutputError
from emotalker.models.expression import ExpressionConfig, ExpressionPrior
from emotalker.models.hubert import AudioEncoder
from emotalker.models.lip import LipBranch, LipConfig
from emotalker.models.sync import SyncConfig, SyncExpert
from emotalker.models.transformer import CrossModalTransformer, TransformerConfig
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.synthetic.reader import FaceReaderConfig, SyntheticFaceReader


def vqvae():
    model = VQVAE(VQVAEConfig(motion_dim=6, width=16, depth=1, code_dim=8, codebook_size=32))
    model.standardizer.set(Statistics(torch.arange(6.0) / 7, torch.arange(1, 7.0) / 7))
    model(torch.randn(4, 24, 6))  # initialises the codebook
    return model


def networks():
    return {
        "vqvae": vqvae(),
        "transformer": CrossModalTransformer(TransformerConfig(audio_dim=8, dim=16, num_layers=1, ffn_dim=8)),
        "lip": LipBranch(LipConfig(channels=(4, 4, 4, 4), blocks=1, audio_dim=8, hidden_dim=8)),
        "expression": ExpressionPrior(ExpressionConfig()),
        "sync": SyncExpert(SyncConfig(mel_channels=(4, 4, 4), lip_channels=(4, 4), dim=4)),
        "audio_encoder": AudioEncoder(tiny_hubert()),
        "face_reader": SyntheticFaceReader(FaceReaderConfig(mouth=4, eye=4, landmarks=4, hidden=8)),
    }


KINDS = ("audio_encoder", "vqvae", "transformer", "lip", "expression", "sync", "face_reader")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_loaded_exactly(tmp_path, kind):
    module = networks()[kind]
    path = save_checkpoint(tmp_path / "new" / "net.safetensors", module, space="arkit", extra={"step": 7, "loss": 0.5})
    loaded = load_checkpoint(path, kind)
    assert type(loaded) is type(module) and loaded.config == module.config and not loaded.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    metadata = read_metadata(path)
    assert (metadata.kind, metadata.space, metadata.extra) == (kind, "arkit", {"step": 7, "loss": 0.5})
    assert metadata.config == json.loads(json.dumps(module.config.to_dict()))
    assert [p.name for p in path.parent.iterdir()] == ["net.safetensors"]


def test_half_precision_keeps_statistics_and_drops_averages(tmp_path):
    model = vqvae().eval()
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_checkpoint(full, model)
    save_checkpoint(half, model, half=True)
    stored = load_file(half)
    assert not {name for name in stored if "ema" in name}
    assert stored["quantizer.codebook"].dtype == torch.float16 and stored["standardizer.mean"].dtype == torch.float32
    assert half.stat().st_size < 0.6 * full.stat().st_size
    loaded = load_checkpoint(half, "vqvae")
    assert loaded.quantizer.initialized and loaded.quantizer.codebook.dtype == torch.float32
    assert torch.equal(loaded.standardizer.std, model.standardizer.std)
    quantized = model.quantizer.codebook[torch.randint(32, (1, 6))]
    assert torch.allclose(loaded.decode(quantized), model.decode(quantized), atol=2e-3)
    loaded.train()(torch.randn(4, 24, 6))  # training can continue
    save_checkpoint(half, model, half=True, with_averages=True)
    assert "quantizer.ema_sum" in load_file(half)


def test_unusable_files_raise_checkpoint_errors(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*net\.safetensors; train one"):
        load_checkpoint(path)
    save_checkpoint(path, vqvae())
    with pytest.raises(CheckpointError, match="contains a vqvae network, but a lip network is needed"):
        load_checkpoint(path, "lip")
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a checkpoint at all"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is damaged"):
            load_checkpoint(path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(tmp_path)  # a folder


def rewrite(path, drop=(), **metadata):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = {**file.metadata(), **metadata}
    del header["sha256"]  # as in files of earlier versions
    save_file({name: t for name, t in load_file(path).items() if name not in drop}, path, header)


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"format": "pt"}, "was not written by EmoTalker"),
        ({"version": "2"}, "has checkpoint format 2, this version reads 1; update"),
        ({"kind": "dog"}, "unknown kind of network, 'dog'"),
        ({"config": "{"}, "description inside the checkpoint .* is damaged"),
        ({"config": '{"colour": 1}'}, "does not fit this version's vqvae network .*colour"),
        ({"config": '{"motion_dim": 7}'}, "does not fit this version's vqvae network"),
    ],
)
def test_wrong_metadata_raises_checkpoint_errors(tmp_path, metadata, message):
    path = save_checkpoint(tmp_path / "net.safetensors", vqvae())
    rewrite(path, **metadata)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_more_layers_than_tensors_are_refused_before_they_are_made(tmp_path):
    path = save_checkpoint(tmp_path / "v.safetensors", vqvae())
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    config = json.loads(metadata["config"]) | {"depth": 100_000}
    metadata = {key: value for key, value in metadata.items() if key != "sha256"} | {"config": json.dumps(config)}
    save_file(load_file(path), path, metadata)
    with pytest.raises(CheckpointError, match="100000 layers"):
        load_checkpoint(path)


def test_missing_weights_raise_checkpoint_errors(tmp_path):
    path = save_checkpoint(tmp_path / "net.safetensors", vqvae())
    rewrite(path, drop=["emotion_head.bias"])
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(path)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "net.safetensors", vqvae())
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("emotalker.core.checkpoint.save_file", fail)
    with pytest.raises((OSError, OutputError)):
        save_checkpoint(path, vqvae())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_only_registered_networks_can_be_saved(tmp_path):
    with pytest.raises(ValueError, match="Linear is not registered"):
        save_checkpoint(tmp_path / "net.safetensors", torch.nn.Linear(2, 2))


def test_every_changed_bit_is_noticed(tmp_path):
    path = save_checkpoint(tmp_path / "net.safetensors", networks()["sync"], half=True)
    whole, places = path.read_bytes(), torch.Generator().manual_seed(0)
    for place in torch.randint(0, len(whole), (150,), generator=places).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 7
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"net\.safetensors"):
            load_checkpoint(path, "sync")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    module = networks()["lip"]
    with torch.no_grad():
        next(module.parameters()).view(-1)[3] = torch.nan
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(save_checkpoint(tmp_path / "net.safetensors", module))


@pytest.mark.parametrize(
    "setting", [{"attn_implementation": "evil/repo"}, {"_name_or_path": "x"}, {"num_hidden_layers": 10**5}]
)
def test_the_description_of_an_encoder_sets_sizes_only(tmp_path, setting):
    path = save_checkpoint(tmp_path / "net.safetensors", networks()["audio_encoder"])
    tensors, metadata = load_file(path), read_metadata(path)
    config = metadata.config | {"hubert": metadata.config["hubert"] | setting}
    described = {"format": "emotalker", "version": "1", "kind": "audio_encoder", "space": "null", "extra": "{}"}
    save_file(tensors, path, described | {"config": json.dumps(config)})
    with pytest.raises(CheckpointError, match=r"no setting|larger than any"):
        load_checkpoint(path)
