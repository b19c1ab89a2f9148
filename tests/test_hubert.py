"""HuBERT: frame rate, windows, normalisation, masking, and loading of fine-tuned models."""

import json
import sys
from types import ModuleType

import pytest
import torch
from helpers import TINY_HUBERT, tiny_hubert

from emotalker.core.errors import CheckpointError, MissingExtraError
from emotalker.models.hubert import SAMPLES_PER_VIDEO_FRAME, AudioEncoder, AudioEncoderConfig
from emotalker.models.transformers_hubert import hubert_classes

#: The sizes only: everything else as in HuBERT base.
SIZES = {
    name: value for name, value in TINY_HUBERT.items() if name.startswith(("conv_dim", "hidden_size", "num_", "intermediate"))
}


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return AudioEncoder(tiny_hubert()).eval()


def speechlike(samples, batch=1):
    time = torch.arange(samples) / 16000
    tone = torch.sin(2 * torch.pi * 150 * time) * (1 + torch.sin(2 * torch.pi * 3 * time))
    return tone + 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("samples", [1, 79, 80, 640, 641, 3200, 16000, 16640 + 1])
@torch.no_grad()
def test_exactly_two_frames_per_video_frame(tiny, samples):
    frames = -(-samples // SAMPLES_PER_VIDEO_FRAME)
    wav = speechlike(samples, batch=2)
    assert tiny(wav).shape == tiny.encode_long(wav).shape == (2, 2 * frames, tiny.dim)


@pytest.mark.parametrize("samples", [3200, 16000 * 5 - 7, 16000 * 5 + 640])
@torch.no_grad()
def test_windowed_encoding_matches_encoding_at_once(tiny, samples):
    wav = speechlike(samples)
    whole, windowed = tiny(wav), tiny.encode_long(wav, window_seconds=2.0, context_seconds=0.5)
    assert whole.shape == windowed.shape
    similarity = torch.cosine_similarity(whole, windowed, dim=-1)
    assert similarity.mean() > 0.98 and similarity.min() > 0.8
    assert torch.equal(tiny.encode_long(wav, window_seconds=60), whole)  # fits one window


@torch.no_grad()
def test_windows_have_a_maximum_length(tiny):
    lengths = []
    handle = tiny.hubert.register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[-1]))
    tiny.encode_long(speechlike(16000 * 9), window_seconds=2.0, context_seconds=0.5)
    handle.remove()
    assert len(lengths) > 5 and max(lengths) == 32000 + 80
    with pytest.raises(ValueError, match="all context"):
        tiny.encode_long(speechlike(1600), window_seconds=2, context_seconds=1)


@torch.no_grad()
def test_frames_are_aligned_with_the_samples(tiny):
    """A click inside hop j has its largest effect on the convolutional features of frame j."""
    quiet = 0.01 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    raw = AudioEncoder(AudioEncoderConfig(tiny.config.hubert, normalize=False), tiny.hubert)
    features = []
    handle = raw.hubert.feature_projection.register_forward_hook(lambda module, args, output: features.append(output))
    raw(quiet)
    click = quiet.clone()
    click[0, 20 * 320 + 160] = 1
    raw(click)
    handle.remove()
    assert (features[1] - features[0])[0].norm(dim=-1).argmax() == 20


@torch.no_grad()
def test_normalisation_removes_loudness_and_offset(tiny):
    wav = speechlike(8000)
    assert torch.allclose(tiny(wav), tiny(wav * 0.05 + 0.3), atol=1e-3)
    assert tiny(torch.zeros(1, 8000)).isfinite().all()


@pytest.mark.parametrize("shape", [(1, 0), (16000,)])
def test_invalid_shapes_raise_value_errors(tiny, shape):
    with pytest.raises(ValueError, match="expected recordings"):
        tiny(torch.zeros(shape))


def test_masked_frames_do_not_depend_on_the_audio_and_masking_is_off_by_default():
    torch.manual_seed(0)
    encoder = AudioEncoder(tiny_hubert(hidden_dropout=0.0, attention_dropout=0.0)).train()
    wav = speechlike(6400)
    assert torch.equal(encoder(wav), encoder(wav))
    mask = torch.zeros(1, 20, dtype=torch.bool)
    mask[0, 5:9] = True
    assert not torch.allclose(encoder(wav, mask), encoder(wav), atol=1e-4)
    mask[:] = True
    assert torch.allclose(encoder(wav, mask), encoder(torch.randn(1, 6400), mask), atol=1e-5)
    encoder(wav, mask).square().mean().backward()
    assert encoder.hubert.masked_spec_embed.grad.abs().sum() > 0


def test_a_frozen_encoder_stays_frozen():
    encoder = AudioEncoder(tiny_hubert())
    assert encoder.train().hubert.training
    assert encoder.freeze() is encoder
    assert not encoder.train().hubert.training and not any(p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize("normalize", [True, False])
@torch.no_grad()
def test_a_fine_tuned_classifier_is_loaded_without_its_head(tmp_path, normalize):
    """The layout of superb/hubert-base-superb-er."""
    from transformers import HubertConfig, HubertForSequenceClassification

    classifier = HubertForSequenceClassification(HubertConfig(**SIZES, num_labels=4, use_weighted_layer_sum=True)).eval()
    classifier.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": normalize, "sampling_rate": 16000}))
    encoder = AudioEncoder.from_pretrained(tmp_path)
    wav = speechlike(16000)
    samples = torch.nn.functional.pad((wav - wav.mean()) / wav.std(unbiased=False) if normalize else wav, (40, 40))
    assert torch.allclose(encoder(wav), classifier.hubert(samples).last_hidden_state, atol=1e-4)
    assert encoder.config.normalize == normalize
    rebuilt = AudioEncoder(AudioEncoderConfig.from_dict(json.loads(json.dumps(encoder.config.to_dict()))))
    rebuilt.load_state_dict(encoder.state_dict())
    assert torch.equal(rebuilt.eval()(wav), encoder(wav))


def test_unusable_folders_raise_checkpoint_errors(tmp_path):
    from safetensors.torch import load_file, save_file
    from transformers import HubertConfig, HubertModel

    with pytest.raises(CheckpointError, match="no usable HuBERT at"):
        AudioEncoder.from_pretrained(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="download the model first"):
        AudioEncoder.from_pretrained("somebody/no-such-hubert")
    HubertModel(HubertConfig(**SIZES)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "layers.1." not in k}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"not a complete HuBERT: \d+ weights are missing"):
        AudioEncoder.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="no usable HuBERT"):
        AudioEncoder.from_pretrained(tmp_path)


def test_a_torchaudio_of_another_pytorch_is_named(monkeypatch):
    class Broken(ModuleType):
        def __getattr__(self, name):
            raise OSError("Could not load this library: libtorchaudio.so")

    monkeypatch.setitem(sys.modules, "transformers", Broken("transformers"))
    with pytest.raises(MissingExtraError, match=r"libtorchaudio\.so.*pip uninstall torchaudio"):
        hubert_classes()
