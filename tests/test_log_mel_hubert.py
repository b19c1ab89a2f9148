"""The small HuBERT against the one of transformers."""

import subprocess
import sys

import pytest
import torch

from emotalker.core.checkpoint import load_checkpoint, shipped
from emotalker.models.hubert import AudioEncoder, AudioEncoderConfig
from emotalker.models.mel_stem import LogMelStem

SMALL = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "num_conv_pos_embedding_groups": 4}


def reference(encoder: AudioEncoder) -> torch.nn.Module:
    """The same network from transformers, with the same weights."""
    from transformers import HubertConfig, HubertModel

    hubert = HubertModel(HubertConfig(**encoder.config.hubert))
    hubert.feature_extractor = LogMelStem(encoder.dim)
    hubert.load_state_dict(encoder.hubert.state_dict(), strict=True)
    return hubert.eval()


def noise(samples: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_the_shipped_encoder_equals_that_of_transformers():
    encoder = load_checkpoint(shipped("small") / "audio_encoder.safetensors", "audio_encoder")
    wav = encoder.prepare(noise(16000 * 3 + 77))
    expected = reference(encoder)(wav, output_hidden_states=True)
    assert (encoder.hubert(wav).last_hidden_state - expected.last_hidden_state).abs().max() < 1e-5
    states = torch.stack([*expected.hidden_states[:-1], expected.last_hidden_state], dim=2)
    assert (encoder.encode_all(wav) - states).abs().max() < 1e-5


@pytest.mark.parametrize("kernel", [16, 15])
@pytest.mark.parametrize("feat_proj_layer_norm", [True, False])
@torch.no_grad()
def test_other_sizes_and_masked_frames_equal_those_of_transformers(kernel, feat_proj_layer_norm):
    torch.manual_seed(0)
    changes = {"num_conv_pos_embeddings": kernel, "feat_proj_layer_norm": feat_proj_layer_norm, "mask_time_prob": 0.1}
    encoder = AudioEncoder(AudioEncoderConfig.log_mel(**SMALL, **changes)).eval()
    for parameter in encoder.hubert.parameters():  # the initial weights are small and would hide differences
        parameter += 0.1 * torch.randn_like(parameter)
    wav = encoder.prepare(noise(16000, 2))
    mask = torch.rand(2, 50, generator=torch.Generator().manual_seed(0)) < 0.3
    ours, theirs = encoder.hubert(wav, mask), reference(encoder)(wav, mask_time_indices=mask)
    assert (ours.last_hidden_state - theirs.last_hidden_state).abs().max() < 1e-5
    assert (encoder.hubert(wav).last_hidden_state - ours.last_hidden_state).abs().max() > 1e-2


def test_variants_that_the_network_does_not_have_are_refused():
    with pytest.raises(ValueError, match="do_stable_layer_norm True, not False"):
        AudioEncoder(AudioEncoderConfig.log_mel(**SMALL, do_stable_layer_norm=False))


def test_start_up_imports_neither_transformers_nor_what_the_first_portrait_needs():
    command = (
        "import sys; from emotalker import TalkingHead; TalkingHead.from_pretrained();"
        "print({'transformers', 'numba', 'scipy.ndimage', 'scipy.spatial', 'scipy.signal'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "set()"
