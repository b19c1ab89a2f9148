"""Vector quantisation with an exponential-moving-average codebook and code reset (docs/method.md 3).

After van den Oord et al. 2017, appendix A.1, and Dhariwal et al. 2020 (Jukebox), section 3. In distributed training all
processes use the same sums, counts and replacement vectors, so that their codebooks stay identical.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

#: Vectors per code in the paper's batches, 512 clips x 24 codes / 1024, for which the reset threshold is defined.
PAPER_VECTORS_PER_CODE = 12.0


@dataclass
class QuantizerOutput:
    """Attributes:
    quantized: ``(B, L, C)`` nearest codes, with a straight-through gradient.
    codes: ``(B, L)`` int64.
    commitment: scalar, mean squared distance of the input from its (detached) code.
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
    """Nearest-code quantiser. Its complete training state is in buffers, so that a resumed run continues exactly.

    In training mode the first forward pass initialises the codebook from the batch; each pass quantises and then updates:
    sums and counts decay by ``decay``, a code is sum / count, and a rarely used code is replaced by a random vector of the
    batch. A code is rarely used if its decayed count is below ``reset_threshold``, which is defined for 12 vectors per code
    and batch and scaled down in proportion for smaller batches; unscaled, it would replace codes that are in use. The count
    of a replaced code starts at the threshold.

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
            usage = counts / counts.sum()
            perplexity = torch.exp(-torch.special.xlogy(usage, usage).sum())
            quantized = vectors + (quantized - vectors).detach()
        return QuantizerOutput(quantized.view(x.shape), codes.view(x.shape[:-1]), commitment, perplexity)

    def nearest(self, x: Tensor) -> Tensor:
        """Codes of ``(..., C)`` vectors by Euclidean distance, ``(...)`` int64."""
        return self._nearest(x.float().reshape(-1, x.shape[-1])).view(x.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """Vectors ``(..., C)`` of ``(...)`` codes."""
        return self.codebook[codes]

    def _nearest(self, vectors: Tensor) -> Tensor:
        # |x|^2 is equal for all codes and omitted
        return torch.addmm(self.codebook.square().sum(1), vectors, self.codebook.T, alpha=-2).argmin(1)

    @torch.no_grad()
    def _initialize(self, vectors: Tensor) -> None:
        self.codebook.copy_(self._sample(vectors))
        num_vectors = vectors.new_tensor(len(vectors))
        _sum_over_processes(num_vectors)
        # The counts start at the threshold: early latents drift fast, and unused codes must be replaced in the next step,
        # otherwise all vectors collapse to one code.
        self.ema_count.fill_(self._threshold(num_vectors))
        self.ema_sum.copy_(self.codebook * self.ema_count[:, None])
        self.initialized.fill_(True)

    def _threshold(self, num_vectors: Tensor) -> Tensor:
        """Decayed count below which a code is replaced, for batches of this size."""
        return self.reset_threshold * (num_vectors / (len(self.codebook) * PAPER_VECTORS_PER_CODE)).clamp_max(1)

    def _sample(self, vectors: Tensor) -> Tensor:
        """K random vectors of the batch, ``(K, C)``, equal in all processes; smaller batches are tiled with noise."""
        size, dim = self.codebook.shape
        if len(vectors) < size:
            vectors = vectors.repeat(-(-size // len(vectors)), 1)
            vectors = vectors + torch.randn_like(vectors) * (0.01 / dim**0.5)
        sampled = vectors[torch.randperm(len(vectors), device=vectors.device)[:size]]
        if _distributed():
            dist.broadcast(sampled, src=0)
        return sampled

    @torch.no_grad()
    def _update(self, vectors: Tensor, codes: Tensor, counts: Tensor) -> Tensor:
        """Update the moving averages and replace rarely used codes; returns the counts ``(K,)`` over all processes."""
        sums = torch.zeros_like(self.ema_sum).index_add_(0, codes, vectors)
        _sum_over_processes(sums)
        _sum_over_processes(counts)
        self.ema_sum.lerp_(sums, 1 - self.decay)
        self.ema_count.lerp_(counts, 1 - self.decay)
        threshold = self._threshold(counts.sum())
        sampled = self._sample(vectors)
        unused = self.ema_count < threshold
        self.ema_count.copy_(torch.where(unused, threshold, self.ema_count))
        self.ema_sum.copy_(torch.where(unused[:, None], sampled * threshold, self.ema_sum))
        counted = self.ema_count > 1e-8
        self.codebook.copy_(torch.where(counted[:, None], self.ema_sum / self.ema_count[:, None], self.codebook))
        return counts

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        # Exported checkpoints contain only the codebook; the averages are initialised from it.
        codebook = state_dict.get(f"{prefix}codebook")
        if codebook is not None and f"{prefix}ema_sum" not in state_dict and f"{prefix}ema_count" not in state_dict:
            state_dict[f"{prefix}ema_sum"] = codebook.float()
            state_dict[f"{prefix}ema_count"] = torch.ones(len(codebook))
        super()._load_from_state_dict(state_dict, prefix, *args)
