"""Cross-modal transformer: cached decoding, windows, sampling, guidance and loss."""

import dataclasses
from dataclasses import asdict

import pytest
import torch

from emotalker.core.launch import compose
from emotalker.models.masks import aligned_windows
from emotalker.models.sampling import sample_codes
from emotalker.models.transformer import CrossModalTransformer, TransformerConfig
from emotalker.settings.transformer import TransformerTraining

TINY = TransformerConfig(
    audio_dim=12, reference_dim=5, code_dim=6, codebook_size=20, dim=16, num_layers=2, num_heads=4, ffn_dim=24
)


def tiny(**changes):
    torch.manual_seed(0)
    return CrossModalTransformer(dataclasses.replace(TINY, **changes)).eval()


def inputs(frames=50, batch=1, seed=0):
    random = torch.Generator().manual_seed(seed)
    audio = torch.randn(batch, frames, 12, generator=random)
    return audio, torch.randn(batch, 5, generator=random), torch.randn(20, 6, generator=random)


@pytest.mark.parametrize("mode", ["continuous", "nearest", "sample"])
@pytest.mark.parametrize("max_context", [600, 3])
def test_cached_decoding_equals_teacher_forcing(mode, max_context):
    model = tiny(max_context=max_context)
    audio, reference, codebook = inputs(77, batch=2)
    generated = model.generate(
        audio, reference, codebook, mode, generators=[torch.Generator().manual_seed(3 + row) for row in range(len(audio))]
    )
    assert generated.codes.shape == (2, 10) and generated.features.shape == (2, 10, 6)
    again = model(audio, generated.features, reference)
    if mode == "continuous":
        assert torch.allclose(again.features, generated.features, atol=1e-5)
        assert torch.equal(torch.cdist(generated.features, codebook[None]).argmin(-1), generated.codes)
    else:
        assert torch.equal(generated.features, codebook[generated.codes])
    if mode == "nearest":
        assert torch.equal(torch.cdist(again.features, codebook[None]).argmin(-1), generated.codes)


def test_the_context_limits_attention_in_long_sequences():
    audio, reference, codebook = inputs(200)
    short, long = (tiny(max_context=n).generate(audio, reference, codebook).features for n in (3, 600))
    assert torch.allclose(short[:, :3], long[:, :3], atol=1e-5) and not torch.allclose(short[:, 10:], long[:, 10:], atol=1e-5)


def test_windows_equal_dense_attention_with_the_mask():
    """Windowed cross-attention equals dense attention over all S frames with the mask of docs/method.md 4."""
    layer = tiny().layers[0].cross_attention
    memory, x = torch.randn(2, 53, 16), torch.randn(2, 7, 16)
    ours = layer(x, memory, *aligned_windows(7, 53, 8))
    query = layer.query(x).view(2, 7, 4, 4)
    key, value = layer.key_value(memory).chunk(2, -1)
    key, value = key.view(2, 53, 4, 4), value.view(2, 53, 4, 4)
    scores = torch.einsum("blhc,bshc->bhls", query, key) / 2
    for i in range(7):
        for j in range(53):
            if not max(0, (i - 1) * 8) <= j < min(53, (i + 1) * 8):
                scores[:, :, i, j] = -torch.inf
    dense = torch.einsum("bhls,bshc->blhc", scores.softmax(-1), value).flatten(2)
    assert torch.allclose(ours, layer.output(dense), atol=1e-5)


def test_each_head_has_its_bias():
    model = tiny()
    layer = model.layers[0].self_attention
    x, bias = torch.randn(2, 9, 16), torch.randn(4, 9, 9)
    query, key, value = (t.view(2, 9, 4, 4) for t in layer.query_key_value(x).chunk(3, -1))
    scores = torch.einsum("blhc,bshc->bhls", query, key) / 2 + bias
    dense = torch.einsum("bhls,bshc->blhc", scores.softmax(-1), value).flatten(2)
    assert torch.allclose(layer(x, bias), layer.output(dense), atol=1e-5)


def test_batch_items_are_independent():
    model = tiny()
    audio, reference, codebook = inputs(41, batch=3)
    together = model.generate(audio, reference, codebook).features
    quantized = torch.randn(3, 6, 6)
    forced = model(audio, quantized, reference)
    for i in range(3):
        item = slice(i, i + 1)
        assert torch.allclose(together[item], model.generate(audio[item], reference[item], codebook).features, atol=1e-5)
        assert torch.allclose(forced.logits[item], model(audio[item], quantized[item], reference[item]).logits, atol=1e-5)


def test_predictions_are_causal():
    model = tiny()
    audio, reference, _ = inputs(64)
    quantized = torch.randn(1, 8, 6).requires_grad_()
    audio.requires_grad_()
    features = model(audio, quantized, reference).features
    codes, frames = torch.autograd.grad(features[0, 4].square().sum(), (quantized, audio))
    assert (codes[0, :4] != 0).any(1).all() and (codes[0, 4:] == 0).all()
    assert (frames[0, :40] != 0).any(1).all() and (frames[0, 40:] == 0).all()  # frames from 0 on through earlier codes


@pytest.mark.parametrize("frames", [1, 2, 8, 9, 16])
def test_the_shortest_inputs_are_finite(frames):
    model = tiny()
    audio, reference, codebook = inputs(frames)
    generated = model.generate(audio, reference, codebook)
    assert generated.codes.shape == (1, -(-frames // 8)) and generated.features.isfinite().all()
    forced = model(audio, torch.randn(1, 5, 6), reference)  # more codes than audio frames
    assert forced.features.isfinite().all() and forced.logits.isfinite().all()


def test_missing_audio_raises_a_value_error():
    with pytest.raises(ValueError, match="no audio features"):
        tiny().generate(torch.zeros(1, 0, 12), torch.zeros(1, 5), torch.randn(20, 6))


def test_attention_per_step_is_bounded_in_long_sequences(monkeypatch):
    model = tiny(max_context=16, num_layers=1)
    audio, reference, codebook = inputs(8 * 700)
    sizes = []
    layer = model.layers[0]
    layer.self_attention.register_forward_hook(lambda module, args, output: sizes.append(args[1].shape[-1]))
    attend = layer.cross_attention.attend
    monkeypatch.setattr(layer.cross_attention, "attend", lambda x, w: sizes.append(w.shape[2]) or attend(x, w))
    generated = model.generate(audio, reference, codebook)
    assert generated.codes.shape == (1, 700) and generated.features.isfinite().all()
    assert max(sizes) == 16


def test_the_reference_is_standardised():
    model = tiny()
    audio, reference, codebook = inputs()
    before = model.generate(audio, reference, codebook).features
    assert not torch.allclose(before, model.generate(audio, reference + 1, codebook).features, atol=1e-4)
    model.standardizer.mean.fill_(10)
    model.standardizer.std.fill_(3)
    assert torch.allclose(before, model.generate(audio, reference * 3 + 10, codebook).features, atol=1e-4)


def test_the_loss_matches_its_definition_without_padding():
    model = tiny()
    audio, reference, codebook = inputs(40, batch=2)
    codes = torch.randint(20, (2, 5))
    output = model(audio, codebook[codes], reference)
    padded = codes.clone()
    padded[1, 3:] = -1
    terms = model.loss(output, codebook[codes], padded, code_weight=0.5)
    keep = padded >= 0
    feature = (output.features - codebook[codes])[keep].square().mean()
    code = -output.logits.log_softmax(-1)[keep].gather(1, codes[keep][:, None]).mean()
    assert torch.allclose(terms["feature"], feature) and torch.allclose(terms["code"], code)
    assert torch.allclose(terms["loss"], feature + 0.5 * code)
    assert terms["accuracy"].item() == pytest.approx((output.logits.argmax(-1) == codes)[keep].float().mean().item())


def test_training_fits_codes_to_audio():
    """Audio frames contain the vector of their code. Free-running decoding recovers the codes after training."""
    torch.manual_seed(0)
    model = tiny(dropout=0.0).train()
    codebook = torch.randn(20, 6)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)

    def batch(size):
        codes = torch.randint(20, (size, 6))
        sound = torch.cat([codebook, codebook], dim=1)[codes].repeat_interleave(8, dim=1)
        return sound, codes, torch.zeros(size, 5)

    for _ in range(150):
        audio, codes, reference = batch(32)
        terms = model.loss(model(audio, codebook[codes], reference), codebook[codes], codes, code_weight=1.0)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    audio, codes, reference = batch(32)
    model.eval()
    for mode in ("continuous", "nearest", "sample"):
        generated = model.generate(audio, reference, codebook, mode, top_k=1 if mode == "sample" else None)
        assert (generated.codes == codes).float().mean() > 0.9, mode


def test_sampling_depends_on_the_seed_and_the_logits():
    model = tiny()
    audio, reference, codebook = inputs(160)

    def sample(seed):
        return model.generate(
            audio, reference, codebook, "sample", generators=[torch.Generator().manual_seed(seed)] * len(audio)
        ).codes

    assert torch.equal(sample(1), sample(1)) and not torch.equal(sample(1), sample(2))
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0]]).expand(20000, -1)
    generator = torch.Generator().manual_seed(0)
    frequency = torch.bincount(sample_codes(logits, 0.5, generator=generator), minlength=4) / 20000
    assert torch.allclose(frequency, (logits[0] / 0.5).softmax(-1), atol=0.02)
    assert set(sample_codes(logits, top_k=2, generator=generator).tolist()) == {1, 2}
    assert set(sample_codes(logits, top_p=0.6, generator=generator).tolist()) == {1}  # its probability is 0.64
    assert set(sample_codes(logits, top_p=0.7, generator=generator).tolist()) == {1, 2}
    assert set(sample_codes(logits, 1e-3, generator=generator).tolist()) == {1}


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}])
def test_invalid_sampling_parameters_raise_value_errors(settings):
    with pytest.raises(ValueError, match="sampling needs"):
        sample_codes(torch.zeros(1, 4), **settings)


def test_an_unknown_mode_raises_a_value_error():
    with pytest.raises(ValueError, match="unknown decoding mode"):
        tiny().generate(*inputs(8), mode="beam")


def test_the_papers_size():
    paper = CrossModalTransformer(TransformerConfig(**asdict(compose(TransformerTraining, ["preset=paper"]).model)))
    assert sum(p.numel() for p in paper.layers.parameters()) == pytest.approx(4.7e6, rel=0.02)
    assert TransformerConfig.from_dict(paper.config.to_dict()) == paper.config


def test_guidance_extrapolates_from_the_unconditional_prediction():
    torch.manual_seed(0)
    model = CrossModalTransformer(TransformerConfig(audio_dim=16, dim=32, num_layers=2)).eval()
    audio, reference, codebook = torch.randn(1, 40, 16), torch.zeros(1, 58), torch.randn(1024, 256)
    angry, neutral = torch.eye(8)[:1], torch.eye(8)[5:6]

    def features(emotion, **options):
        return model.generate(audio, reference, codebook, emotion=emotion, **options).features

    torch.testing.assert_close(
        features(angry, unconditional=neutral, guidance_scale=0.0), features(neutral), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(features(angry, unconditional=neutral, guidance_scale=1.0), features(angry))
    first = [
        features(angry, unconditional=neutral, guidance_scale=i)[:, 0] for i in (0.0, 0.5, 2.0)
    ]  # before the first feedback
    torch.testing.assert_close(first[2] - first[0], 4 * (first[1] - first[0]), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(features(angry), features(neutral))


def test_an_emotion_without_emotion_input_raises_a_value_error():
    model = CrossModalTransformer(TransformerConfig(audio_dim=16, dim=32, num_layers=1, num_emotions=0)).eval()
    with pytest.raises(ValueError, match="num_emotions is 0"):
        model.generate(torch.randn(1, 8, 16), torch.zeros(1, 58), torch.randn(1024, 256), emotion=torch.eye(8)[:1])
