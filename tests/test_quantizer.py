"""Vector quantiser: nearest codes, moving averages, code reset, and distributed training."""

import socket

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

from emotalker.models.quantizer import VectorQuantizer


def train(quantizer, batches):
    quantizer.train()
    return [quantizer(batch) for batch in batches]


def batches(count, clips=8, codes=6, dim=4, seed=0):
    return list(torch.randn(count, clips, codes, dim, generator=torch.Generator().manual_seed(seed)))


def test_codes_are_the_nearest_vectors():
    quantizer = VectorQuantizer(16, 4).eval()
    x = torch.randn(3, 5, 4)
    output = quantizer(x)
    brute = (x[..., None, :] - quantizer.codebook).square().sum(-1).argmin(-1)
    assert torch.equal(output.codes, brute) and torch.equal(quantizer.nearest(x), brute)
    assert torch.allclose(output.quantized, quantizer.lookup(brute), atol=1e-6)
    assert output.commitment.item() == pytest.approx((x - quantizer.codebook[brute]).square().mean().item(), rel=1e-5)


def test_each_code_is_quantised_to_itself():
    quantizer = VectorQuantizer(64, 8).eval()
    assert torch.equal(quantizer.nearest(quantizer.codebook), torch.arange(64))


def test_straight_through_and_commitment_gradients():
    quantizer = VectorQuantizer(16, 4).eval()
    x = torch.randn(2, 3, 4, requires_grad=True)
    output = quantizer(x)
    weights = torch.randn(2, 3, 4)
    (gradient,) = torch.autograd.grad((output.quantized * weights).sum(), x, retain_graph=True)
    assert torch.equal(gradient, weights)
    (gradient,) = torch.autograd.grad(output.commitment, x)
    assert torch.allclose(gradient, 2 * (x - quantizer.codebook[output.codes]).detach() / x.numel(), atol=1e-6)
    assert not list(quantizer.parameters())


def test_the_first_batch_initialises_the_codebook(monkeypatch):
    quantizer = VectorQuantizer(32, 4)
    first, second = batches(2)
    quantizer.eval()(first)
    assert not quantizer.initialized  # evaluation mode does not train
    quantizer.train()
    quantizer._initialize(first.reshape(-1, 4))
    vectors = {tuple(vector) for vector in first.reshape(-1, 4).tolist()}
    codes = {tuple(code) for code in quantizer.codebook.tolist()}
    assert quantizer.initialized and codes <= vectors and len(codes) == 32  # 48 vectors, sampled without replacement
    monkeypatch.setattr(quantizer, "_initialize", lambda vectors: pytest.fail("initialised again"))
    quantizer(second)


def test_a_first_batch_smaller_than_the_codebook_is_tiled_with_noise():
    quantizer = VectorQuantizer(100, 4)
    first = torch.randn(1, 7, 4)
    quantizer._initialize(first[0])
    distance = torch.cdist(quantizer.codebook, first[0]).min(1).values
    assert 0 < distance.max() < 0.05
    assert len(quantizer.codebook.unique(dim=0)) == 100


def test_moving_averages_match_their_formula():
    quantizer = VectorQuantizer(8, 4, decay=0.9, reset_threshold=0.0)
    first, second = batches(2)
    train(quantizer, [first])
    total, count = quantizer.ema_sum.clone(), quantizer.ema_count.clone()
    codes = quantizer(second).codes.flatten()
    flat = second.reshape(-1, 4)
    for code in range(8):
        mine = flat[codes == code]
        expected_sum = 0.9 * total[code] + 0.1 * mine.sum(0)
        expected_count = 0.9 * count[code] + 0.1 * len(mine)
        assert torch.allclose(quantizer.ema_sum[code], expected_sum, atol=1e-5)
        assert torch.allclose(quantizer.codebook[code], expected_sum / expected_count, atol=1e-5)


def test_unused_codes_are_replaced_by_vectors_of_the_batch():
    quantizer = VectorQuantizer(16, 4, decay=0.5)
    data = batches(40)
    train(quantizer, data[:1])
    quantizer.codebook[8:] = 1000.0
    quantizer.ema_sum[8:] = 1000.0
    quantizer.ema_count[8:] = 1.0
    quantizer.reset_threshold = 6.0
    train(quantizer, data[1:])
    assert quantizer.codebook.abs().max() < 10
    assert train(quantizer, batches(1, clips=64, seed=1))[0].perplexity > 12


def test_the_reset_threshold_is_scaled_with_the_batch():
    """With 48 vectors and 64 codes, an unscaled threshold of 1 would replace all codes in each step."""
    torch.manual_seed(0)
    centres = torch.randn(64, 4) * 10
    quantizer = VectorQuantizer(64, 4)
    quantizer.initialized.fill_(True)
    quantizer.codebook.copy_(centres)
    quantizer.ema_sum.copy_(centres)
    quantizer.ema_count.fill_(1.0)
    data = [(centres[torch.randint(64, (48,))] + 0.01 * torch.randn(48, 4)).view(8, 6, 4) for _ in range(300)]
    train(quantizer, data)
    assert (quantizer.codebook - centres).norm(dim=1).max() < 0.1


def test_a_replaced_code_in_use_is_kept():
    quantizer = VectorQuantizer(4, 2, reset_threshold=1.0).train()
    corners = torch.tensor([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]])
    batch = corners.repeat(12, 1)[None]
    quantizer.initialized.fill_(True)
    quantizer.codebook.copy_(torch.tensor([[0.0, 0.0], [500.0, 0.0], [0.0, 500.0], [500.0, 500.0]]))
    quantizer.ema_sum.copy_(quantizer.codebook)
    quantizer.ema_count.copy_(torch.tensor([12.0, 0.0, 0.0, 0.0]))
    for _ in range(2000):
        output = quantizer(batch)
    assert output.perplexity.item() == pytest.approx(4, abs=1e-3)
    assert torch.cdist(corners, quantizer.codebook).min(1).values.max() < 0.1


def test_perplexity_is_the_number_of_used_codes():
    quantizer = VectorQuantizer(16, 4).eval()
    assert quantizer(quantizer.codebook[None, :5]).perplexity.item() == pytest.approx(5, rel=1e-4)
    assert quantizer(quantizer.codebook[None, :1]).perplexity.item() == pytest.approx(1, rel=1e-4)


def test_resumed_training_is_bit_identical():
    data = batches(20)
    straight = VectorQuantizer(16, 4)
    torch.manual_seed(1)
    train(straight, data[:10])
    state, randomness = {k: v.clone() for k, v in straight.state_dict().items()}, torch.get_rng_state()
    train(straight, data[10:])
    resumed = VectorQuantizer(16, 4)
    resumed.load_state_dict(state)
    assert resumed.initialized
    torch.set_rng_state(randomness)
    train(resumed, data[10:])
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_training_continues_from_a_codebook_without_averages():
    shipped = VectorQuantizer(16, 4)
    train(shipped, batches(10))
    state = {k: v for k, v in shipped.state_dict().items() if not k.startswith("ema")}
    loaded = VectorQuantizer(16, 4)
    loaded.load_state_dict(state)
    before = loaded.codebook.clone()
    train(loaded, batches(1, seed=5))
    assert (loaded.codebook - before).norm(dim=1).median() < 0.2


def test_low_precision_input_is_quantised_in_32_bits():
    quantizer = VectorQuantizer(16, 4).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = quantizer(torch.randn(2, 3, 4).bfloat16())
    assert output.quantized.dtype == torch.float32


def _worker(rank, port, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # different random numbers; the broadcast makes the processes equal
    quantizer = VectorQuantizer(16, 4)
    train(quantizer, [batch[4 * rank : 4 * rank + 4] for batch in batches(5)])
    results[rank] = {k: v.numpy() for k, v in quantizer.state_dict().items()}

    unreset = VectorQuantizer(16, 4, reset_threshold=0.0)
    unreset.initialized.fill_(True)
    unreset.codebook.copy_(torch.linspace(-1, 1, 64).view(16, 4))
    train(unreset, [batch[4 * rank : 4 * rank + 4] for batch in batches(5)])
    results[f"unreset{rank}"] = unreset.codebook.numpy()
    dist.destroy_process_group()


def test_processes_have_equal_codebooks():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(_worker, (port, results), nprocs=2)
        results = dict(results)
    for name, value in results[0].items():
        assert (value == results[1][name]).all(), name
    whole = VectorQuantizer(16, 4, reset_threshold=0.0)
    whole.initialized.fill_(True)
    whole.codebook.copy_(torch.linspace(-1, 1, 64).view(16, 4))
    train(whole, batches(5))
    assert torch.allclose(whole.codebook, torch.from_numpy(results["unreset1"]), atol=1e-5)


def test_the_codebook_follows_drifting_latents():
    """Latents drift fast in the first steps; without immediate replacement all vectors collapse to one code."""
    torch.manual_seed(0)
    quantizer = VectorQuantizer(64, 4).train()
    for step, batch in enumerate(batches(30, clips=16)):
        output = quantizer(batch + 0.2 * step)
    assert output.perplexity > 4
