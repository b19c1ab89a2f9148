from dataclasses import asdict

import pytest
import torch

from emotalker.audio.mel import MelSpectrogram
from emotalker.coefficients import ARKIT
from emotalker.coefficients.statistics import Statistics
from emotalker.core.launch import compose
from emotalker.models.lip import LipBranch, LipConfig
from emotalker.settings.lip import LipTraining

TINY = LipConfig(channels=(4, 4, 8, 8), blocks=1, audio_dim=8, hidden_dim=16)


def tiny(**changes):
    torch.manual_seed(0)
    return LipBranch(LipConfig.from_dict({**TINY.to_dict(), **changes})).eval()


def inputs(frames, batch=2):
    random = torch.Generator().manual_seed(frames)
    return (
        torch.randn(batch, frames, 80, 16, generator=random),
        torch.randn(batch, frames, 24, generator=random),
        torch.randn(batch, 58, generator=random),
    )


@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_any_number_of_frames(frames):
    assert tiny()(*inputs(frames)).shape == (2, frames, len(ARKIT.lip))


def test_the_expression_entries_are_the_first_of_the_face_branch():
    branch = tiny()
    assert branch.face_expression.tolist() == ARKIT.face[: len(branch.face_expression)].tolist()
    assert len(branch.face_expression) + len(branch.lip) == len(ARKIT.expression_names)


def test_only_the_lips_of_the_reference_are_used():
    branch = tiny()
    mel, face, reference = inputs(5)
    before = branch(mel, face, reference)
    other = reference.clone()
    other[:, ARKIT.face] += 1
    assert torch.equal(before, branch(mel, face, other))
    other[:, ARKIT.lip] += 1
    assert not torch.allclose(before, branch(mel, face, other), atol=1e-4)


def test_the_receptive_field_is_two_frames_on_either_side():
    branch = tiny()
    mel, face, reference = inputs(20, batch=1)
    for x in (mel, face):
        x.requires_grad_()
    for gradient in torch.autograd.grad(branch(mel, face, reference)[0, 10].square().sum(), (mel, face)):
        frames = gradient[0].flatten(1).abs().sum(1).nonzero()[:, 0]
        assert frames.tolist() == [8, 9, 10, 11, 12]


def test_chunks_with_context_equal_prediction_at_once():
    branch = tiny()
    mel, face, reference = inputs(30)
    whole = branch(mel, face, reference)
    assert torch.allclose(branch(mel[:, 8:20], face[:, 8:20], reference)[:, 2:-2], whole[:, 10:18], atol=1e-5)


def test_inputs_and_outputs_are_in_raw_units():
    branch, other = tiny(), tiny()
    scale, shift = torch.rand(58) + 0.5, torch.randn(58)
    other.standardizer.set(Statistics(shift, scale))
    mel, face, reference = inputs(5)
    moved = other(mel, face * scale[ARKIT.face][:24] + shift[ARKIT.face][:24], reference * scale + shift)
    expected = branch(mel, face, reference) * scale[ARKIT.lip] + shift[ARKIT.lip]
    assert torch.allclose(moved, expected, atol=1e-4)


def test_band_means_of_the_recording_are_subtracted():
    mel = MelSpectrogram()(torch.randn(1, 16000) * 0.1)
    coloured = mel + torch.linspace(-1, 1, 80)[:, None]  # another microphone
    plain, normalised = tiny(), tiny(normalize_mel=True)
    assert torch.allclose(normalised.windows(mel, 25), normalised.windows(coloured, 25), atol=1e-5)
    assert (plain.windows(mel, 25) - plain.windows(coloured, 25)).abs().max() > 0.9
    assert plain.windows(mel, 25).shape == (1, 25, 80, 16)


def test_the_loss_matches_its_definition():
    branch = tiny()
    branch.standardizer.std.fill_(2.0)
    lips, target = torch.randn(2, 5, 28), torch.randn(2, 5, 28)
    terms = branch.loss(lips, target, velocity_weight=0.3)
    error = (lips - target) / 2
    velocity = (error[:, 1:] - error[:, :-1]).square().mean()
    assert torch.allclose(terms["loss"], error.square().mean() + 0.3 * velocity)
    assert branch.loss(lips[:, :1], target[:, :1], velocity_weight=0.3)["velocity"] == 0


def test_training_fits_jaws_to_loudness_and_lips_to_the_face():
    torch.manual_seed(0)
    branch = tiny(dropout=0.0).train()
    optimizer = torch.optim.AdamW(branch.parameters(), 3e-3)

    def batch():
        loudness = torch.rand(8, 5, 1)
        mel = (8 * loudness[..., None] - 4) + 0.3 * torch.randn(8, 5, 80, 16)
        face = torch.randn(8, 5, 24)
        target = torch.zeros(8, 5, 28)
        target[..., :1], target[..., 1] = loudness, face[..., 3]
        return mel, face, torch.zeros(8, 58), target

    for _ in range(200):
        mel, face, reference, target = batch()
        loss = branch.loss(branch(mel, face, reference), target, velocity_weight=0.5)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mel, face, reference, target = batch()
    predicted = branch.eval()(mel, face, reference)
    for entry in (0, 1):
        assert torch.corrcoef(torch.stack([predicted[..., entry].flatten(), target[..., entry].flatten()]))[0, 1] > 0.9


def test_the_sizes():
    count = {}
    for preset in ("small", "paper"):
        branch = LipBranch(LipConfig(**asdict(compose(LipTraining, [f"preset={preset}"]).model)))
        count[preset] = sum(p.numel() for p in branch.parameters())
    assert 1e6 < count["small"] < 4e6 < count["paper"]
