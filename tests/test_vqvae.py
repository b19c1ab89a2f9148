from dataclasses import asdict

import pytest
import torch

from emotalker.coefficients.statistics import Statistics
from emotalker.core.launch import compose
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.settings.vqvae import VQVAELoss, VQVAETraining

TINY = {"motion_dim": 6, "width": 16, "depth": 2, "code_dim": 8, "codebook_size": 32, "num_emotions": 3}
WEIGHTS = asdict(VQVAELoss())


def tiny(**changes):
    torch.manual_seed(0)
    return VQVAE(VQVAEConfig(**{**TINY, **changes}))


def motion(clips=4, frames=24, dim=6):
    """Smooth curves with non-zero mean and large variance."""
    time = torch.arange(frames) / 8
    phase = torch.rand(clips, 1, dim, generator=torch.Generator().manual_seed(0)) * 6
    return 5 + 3 * torch.sin(time[None, :, None] * torch.linspace(0.5, 2, dim) + phase)


def with_statistics(model, data):
    model.standardizer.set(Statistics.of(data.flatten(0, 1)))
    return model


def test_shapes_and_units():
    data = motion()
    model = with_statistics(tiny(), data)
    output = model(data)
    assert output.motion.shape == data.shape
    assert output.codes.shape == (4, 6) and output.quantized.shape == (4, 6, 8) and output.emotion_logits.shape == (4, 3)
    model.eval()
    codes, quantized = model.encode(data)
    assert torch.equal(quantized, model.quantizer.lookup(codes))
    assert torch.allclose(model.decode(quantized), model(data).motion, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 23, 250])
def test_any_number_of_frames(frames):
    model = tiny().eval()
    output = model(motion(2, frames))
    assert output.motion.shape == (2, frames, 6) and output.codes.shape == (2, -(-frames // 4))
    assert all(value.isfinite() for value in model.loss(output, motion(2, frames), torch.tensor([0, 1]), **WEIGHTS).values())


def test_padding_repeats_the_last_frame():
    model = tiny().eval()
    data = motion(1, 22)
    filled = torch.cat([data, data[:, -1:].expand(-1, 2, -1)], dim=1)
    assert torch.equal(model.encode(data)[0], model.encode(filled)[0])


def test_codes_do_not_depend_on_units():
    data = motion()
    scale, shift = torch.tensor([1, 10, 100, 0.5, 2, 3.0]), torch.arange(6.0)
    one, other = with_statistics(tiny(), data).eval(), with_statistics(tiny(), data * scale + shift).eval()
    assert torch.equal(one.encode(data)[0], other.encode(data * scale + shift)[0])
    assert torch.allclose(one(data).motion * scale + shift, other(data * scale + shift).motion, rtol=1e-3, atol=1e-3)


def test_codes_are_shifted_with_the_motion():
    model = tiny().eval()
    data = motion(1, 160)
    whole, later = model.encode(data)[0][0], model.encode(data[:, 8:])[0][0]
    assert torch.equal(whole[12:-10], later[10:-10])


def test_loss_terms_match_their_definitions():
    data = motion()
    model = with_statistics(tiny(), data).eval()
    output = model(data)
    emotion = torch.tensor([0, -1, 2, -1])
    terms = model.loss(output, data, emotion, commitment_weight=0.3, emotion_weight=0.7, velocity_weight=0.11)
    error = ((output.motion - data) / model.standardizer.std).detach()

    def smooth_l1(x):
        return torch.where(x.abs() < 1, 0.5 * x**2, x.abs() - 0.5).mean()

    likelihood = output.emotion_logits.log_softmax(-1)
    classification = -(likelihood[0, 0] + likelihood[2, 2]) / 2
    assert torch.allclose(terms["reconstruction"], smooth_l1(error), atol=1e-5)
    assert torch.allclose(terms["velocity"], smooth_l1(error[:, 1:] - error[:, :-1]), atol=1e-5)
    assert torch.allclose(terms["emotion"], classification, atol=1e-5)
    total = terms["reconstruction"] + 0.11 * terms["velocity"] + 0.3 * output.commitment + 0.7 * classification
    assert torch.allclose(terms["loss"], total, atol=1e-5)


def test_a_batch_without_labels_has_zero_emotion_loss_and_gradients_for_all_weights():
    model = tiny()
    output = model(motion())
    terms = model.loss(output, motion(), torch.full((4,), -1), **WEIGHTS)
    assert terms["emotion"] == 0
    terms["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.loss(output, motion(), **WEIGHTS)["emotion"] == 0


def test_training_fits_motion_and_emotions():
    data = motion(8, 24)
    data[4:] += 4 * torch.sign(torch.sin(torch.arange(24.0)))[:, None]
    emotion = torch.tensor([0] * 4 + [1] * 4)
    model = with_statistics(tiny(), data)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    first = None
    for _ in range(150):
        terms = model.loss(model(data), data, emotion, **WEIGHTS)
        first = first or terms["reconstruction"].item()
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    assert terms["reconstruction"].item() < 0.3 * first
    assert torch.equal(model(data).emotion_logits.argmax(-1), emotion)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_decoder_reach_is_exact(depth):
    model = tiny(depth=depth, width=4, code_dim=2).double().eval()
    for parameter in model.decoder.parameters():
        parameter.data.abs_()  # no cancellation, no inactive ReLU
    latents = (torch.rand(1, 80, 2).double() + 1).requires_grad_()
    decoded = model.decode(latents)[0]
    reach = 0
    for frame in range(160, 164):
        (gradient,) = torch.autograd.grad(decoded[frame].sum(), latents, retain_graph=True)
        codes = gradient[0].abs().sum(-1).nonzero()[:, 0]
        reach = max(reach, frame - 4 * codes.min().item(), 4 * codes.max().item() + 3 - frame)
    assert model.decoder_reach == reach


def test_the_papers_size():
    paper = VQVAE(VQVAEConfig(**asdict(compose(VQVAETraining, ["preset=paper"]).model)))
    for half in (paper.encoder, paper.decoder):
        assert 10e6 < sum(p.numel() for p in half.parameters()) < 12e6
    assert paper.decoder_reach == 252  # about 62 codes either side, docs/method.md 3
    small = VQVAEConfig()
    assert (small.codebook_size, small.code_dim) == (1024, 256)


def test_config_round_trip_through_a_dict():
    config = VQVAEConfig(motion_dim=7)
    assert VQVAEConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="VQVAEConfig has no colour"):
        VQVAEConfig.from_dict({"colour": 1})
