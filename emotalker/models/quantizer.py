"""Vector quantisation with a codebook learnt by exponential moving averages, and code reset (docs/method.md 3).

After van den Oord et al. 2017, appendix A.1, and Dhariwal et al. 2020 (Jukebox), section 3. Distributed: every process sees
the same sums, counts and replacement vectors, so the codebook stays identical everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

#: Vectors a code gets in one of the paper's batches, 512 clips x 24 codes / 1024; the reset threshold is meant for it.
PAPER_VECTORS_PER_CODE = 12.0


@dataclass
class QuantizerOutput:
    """Attributes:
    quantized: ``(B, L, C)`` nearest codes; gradients pass straight through to the input.
    codes: ``(B, L)`` int64.
    commitment: scalar, mean squared distance of the input from its (fixed) code.
    perplexity: scalar, exp of the entropy of this batch's code use, 1..K.
    """

    quantized: Tensor
    codes: Tensor
    commitment: Tensor
    perplexity: Tensor


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _sum_over_processes(values: Tensor) -> None:
    if _distributed():
        dist.all_reduce(values)


class VectorQuantizer(nn.Module):
    """Nearest-code quantiser; all its learning state is in buffers, so that a resumed run goes on exactly where it stopped.

    In training mode each forward first starts the codebook from the batch if it never was, then quantises, then updates:
    sums and counts decay by ``decay``, a code is sum / count, and a code used too rarely moves onto a random vector of the
    batch. "Too rarely" is a decayed count below ``reset_threshold``, meant for 12 vectors a code and batch and scaled down
    in proportion for smaller batches, where an unscaled threshold would throw away codes in full use. A moved code starts
    with the threshold as its count: one step's grace, and its old sum cannot drag it back.

    Shapes: ``(B, L, C)`` to :class:`QuantizerOutput`. Source: docs/method.md 3.
    """

    def __init__(self, codebook_size: int = 1024, dim: int = 256, decay: float = 0.99, reset_threshold: float = 1.0):
        super().__init__()
        self.decay = decay
        self.reset_threshold = reset_threshold
        self.register_buffer("codebook", torch.randn(codebook_size, dim))
        self.register_buffer("ema_sum", torch.zeros(codebook_size, dim))
        self.register_buffer("ema_count", torch.zeros(codebook_size))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, x: Tensor) -> QuantizerOutput:
        with torch.autocast(x.device.type, enabled=False):
            vectors = x.float().reshape(-1, x.shape[-1])
            if self.training and not self.initialized:
                self._initialize(vectors.detach())
            codes = self._nearest(vectors.detach())
            quantized = self.codebook[codes]
            commitment = F.mse_loss(vectors, quantized)
            counts = torch.bincount(codes, minlength=len(self.codebook)).float()
            if self.training:
                counts = self._update(vectors.detach(), codes, counts)
            share = counts / counts.sum()
            perplexity = torch.exp(-torch.special.xlogy(share, share).sum())
            quantized = vectors + (quantized - vectors).detach()
        return QuantizerOutput(quantized.view(x.shape), codes.view(x.shape[:-1]), commitment, perplexity)

    def nearest(self, x: Tensor) -> Tensor:
        """Codes of ``(..., C)`` vectors by Euclidean distance, ``(...)`` int64."""
        return self._nearest(x.float().reshape(-1, x.shape[-1])).view(x.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """Vectors ``(..., C)`` of ``(...)`` codes."""
        return self.codebook[codes]

    def _nearest(self, vectors: Tensor) -> Tensor:
        # |x|^2 is the same for every code and left out
        return torch.addmm(self.codebook.square().sum(1), vectors, self.codebook.T, alpha=-2).argmin(1)

    @torch.no_grad()
    def _initialize(self, vectors: Tensor) -> None:
        self.codebook.copy_(self._draw(vectors))
        num_vectors = vectors.new_tensor(len(vectors))
        _sum_over_processes(num_vectors)
        # at the threshold, not above: early on the latents drift fast, and codes left behind must move after them at once,
        # or all vectors end at one code and nothing is learnt
        self.ema_count.fill_(self._threshold(num_vectors))
        self.ema_sum.copy_(self.codebook * self.ema_count[:, None])
        self.initialized.fill_(True)

    def _threshold(self, num_vectors: Tensor) -> Tensor:
        """Decayed count below which a code is replaced, for batches of this size."""
        return self.reset_threshold * (num_vectors / (len(self.codebook) * PAPER_VECTORS_PER_CODE)).clamp_max(1)

    def _draw(self, vectors: Tensor) -> Tensor:
        """K random vectors of the batch, ``(K, C)``, the same in every process; a batch of fewer is tiled and jittered."""
        size, dim = self.codebook.shape
        if len(vectors) < size:
            vectors = vectors.repeat(-(-size // len(vectors)), 1)
            vectors = vectors + torch.randn_like(vectors) * (0.01 / dim**0.5)
        drawn = vectors[torch.randperm(len(vectors), device=vectors.device)[:size]]
        if _distributed():
            dist.broadcast(drawn, src=0)
        return drawn

    @torch.no_grad()
    def _update(self, vectors: Tensor, codes: Tensor, counts: Tensor) -> Tensor:
        """One step of the moving averages and the reset; returns the counts ``(K,)`` over all processes."""
        sums = torch.zeros_like(self.ema_sum).index_add_(0, codes, vectors)
        _sum_over_processes(sums)
        _sum_over_processes(counts)
        self.ema_sum.lerp_(sums, 1 - self.decay)
        self.ema_count.lerp_(counts, 1 - self.decay)
        threshold = self._threshold(counts.sum())
        drawn = self._draw(vectors)
        unused = self.ema_count < threshold
        self.ema_count.copy_(torch.where(unused, threshold, self.ema_count))
        self.ema_sum.copy_(torch.where(unused[:, None], drawn * threshold, self.ema_sum))
        seen = self.ema_count > 1e-8
        self.codebook.copy_(torch.where(seen[:, None], self.ema_sum / self.ema_count[:, None], self.codebook))
        return counts

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        # A shipped checkpoint holds the codebook alone; training it further starts the averages from there.
        codebook = state_dict.get(f"{prefix}codebook")
        if codebook is not None and f"{prefix}ema_sum" not in state_dict and f"{prefix}ema_count" not in state_dict:
            state_dict[f"{prefix}ema_sum"] = codebook.float()
            state_dict[f"{prefix}ema_count"] = torch.ones(len(codebook))
        super()._load_from_state_dict(state_dict, prefix, *args)
