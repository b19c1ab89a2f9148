"""Decoding of motion codes from speech features that arrive in parts, with constant time and memory per code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from emotalker.models.attention import KeyValueCache
from emotalker.models.masks import age_bias
from emotalker.models.sampling import sample_codes

if TYPE_CHECKING:
    from emotalker.models.transformer import CrossModalTransformer, TransformerOutput

Mode = Literal["continuous", "nearest", "sample"]
MODES: tuple[Mode, ...] = ("continuous", "nearest", "sample")


@dataclass
class GeneratedCodes:
    """Attributes:
    features: ``(B, L, C)`` input of the VQ-VAE decoder: predicted vectors ("continuous") or codebook vectors.
    codes: ``(B, L)`` int64; for "continuous" the nearest codes of the features.
    """

    features: Tensor
    codes: Tensor


class CodeDecoder:
    """Decodes the codes of one recording, in one or several parts. However the recording is divided, between codes, the codes
    are the same but for rounding. Memory: keys and values of at most ``max_context`` codes.

    Args:
        transformer: the network.
        reference: ``(B, reference_dim)`` raw.
        codebook: ``(K, C)``, the VQ-VAE's ``quantizer.codebook``.
        mode: feed back the predicted vector ("continuous", the published method), its nearest code ("nearest"), or a
            code sampled from the logits ("sample"); one mode for all rows or one per row.
        temperature, top_k, top_p: of "sample"; see :func:`~emotalker.models.sampling.sample_codes`.
        generators: one per row, for "sample"; the codes of a row do not depend on the other rows.
        guidance_scale: of classifier-free guidance (Ho and Salimans 2022). 0 is the unconditional prediction, 1 the
            conditional one; larger values extrapolate. Any value except 1 doubles the computation.
        capacity: number of codes that will be decoded, if known; smaller recordings then need less memory.
        prefix: ``(P,)`` int64 codes of the first P, which are given instead of predicted; the others continue from them.

    Attributes:
        position: number of codes decoded so far.

    Raises:
        ValueError: a mode is unknown, or the number of modes is not B.
    """

    def __init__(
        self,
        transformer: CrossModalTransformer,
        reference: Tensor,
        codebook: Tensor,
        mode: Mode | Sequence[Mode] = "continuous",
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generators: Sequence[torch.Generator | None] | None = None,
        guidance_scale: float = 1.0,
        capacity: int | None = None,
        prefix: Tensor | None = None,
    ):
        rows, limit = len(reference), transformer.config.max_context
        modes = [mode] * rows if isinstance(mode, str) else list(mode)
        if len(modes) != rows or not set(modes) <= set(MODES):
            raise ValueError(f"unknown decoding mode {mode!r} for {rows} rows; known: {', '.join(MODES)}")
        self.transformer, self.reference, self.codebook, self.modes = transformer, reference, codebook, modes
        self.generators, self.guidance_scale = generators or [None] * rows, guidance_scale
        self.sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        self.position, self.prefix = 0, prefix
        self._caches = [KeyValueCache(min(capacity or limit, limit)) for _ in transformer.layers]
        self._token: Tensor | None = None
        self._memory: list[Tensor] = []  # of each layer, keys and values of the last code's audio frames
        self._frames = 0
        self._continuous = torch.tensor([m == "continuous" for m in modes], device=codebook.device)[:, None, None]

    @torch.no_grad()
    def extend(self, audio: Tensor, emotion: Tensor | None = None, unconditional: Tensor | None = None) -> GeneratedCodes:
        """Decode the next L = ceil(S / k) codes.

        Args:
            audio: ``(B or 1, S, audio_dim)``, the features that follow those of the last call. S is a multiple of
                ``frames_per_code``, but in the last call.
            emotion: ``(B or 1, num_emotions)`` or ``(B or 1, L, num_emotions)``.
            unconditional: weights of the unconditional prediction, e.g. neutral; shapes as ``emotion``. Given in all calls
                or in none.

        Raises:
            ValueError: there is no audio, features follow an incomplete code, or ``emotion`` is given and the network has no
                emotion input.
        """
        k = self.transformer.config.frames_per_code
        if self._frames % k:
            raise ValueError(f"features follow a part of {self._frames} frames; only the last part may end within a code")
        length = -(-audio.shape[1] // k)
        memory, start = self.transformer.encode_audio(audio, self._frames)
        token = start if self._token is None else self._token
        condition = self.transformer.condition(self.reference, emotion).expand(-1, length, -1)
        guided = unconditional is not None and self.guidance_scale != 1.0
        if guided:  # one batch: conditional rows, then unconditional rows
            if len(memory) > 1:
                memory = memory.repeat(2, 1, 1)
                token = token.repeat(2, 1, 1) if self._token is None else token
            base = self.transformer.condition(self.reference, unconditional).expand(-1, length, -1)
            condition = torch.cat([condition, base])
        projected = [layer.cross_attention.key_value(memory) for layer in self.transformer.layers]
        before = self._memory[0].shape[1] if self._memory else 0
        if self._memory:
            projected = [torch.cat(pair, dim=1) for pair in zip(self._memory, projected, strict=True)]
        features, codes = [], []
        for i in range(length):
            place = self.transformer.code_positions(torch.tensor([self.position], device=audio.device))
            x = token + condition[:, i : i + 1] + place
            window = slice(max(0, before + (i - 1) * k), before + (i + 1) * k)
            output = self._step(x, [frames[:, None, window] for frames in projected])
            if guided:
                output = output.guided(self.guidance_scale)
            if self.prefix is not None and self.position < len(self.prefix):
                code = self.prefix[self.position].expand(len(self.modes), 1)
                feature = self.codebook[code]
            else:
                code = self._select(output)
                feature = torch.where(self._continuous, output.features, self.codebook[code])
            features.append(feature)
            codes.append(code)
            token = self.transformer.code_projection(feature)
            token = token.repeat(2, 1, 1) if guided else token
            self.position += 1
        self._token, self._frames = token, self._frames + audio.shape[1]
        self._memory = [frames[:, -k:].clone() for frames in projected]
        return GeneratedCodes(torch.cat(features, dim=1), torch.cat(codes, dim=1))

    def _select(self, output: TransformerOutput) -> Tensor:
        """One code per row, ``(B, 1)`` int64: sampled for "sample", otherwise the nearest to the predicted vector."""
        codes = torch.empty((len(self.modes), 1), dtype=torch.long, device=self.codebook.device)
        nearest = [row for row, mode in enumerate(self.modes) if mode != "sample"]
        if nearest:
            codes[nearest] = torch.cdist(output.features[nearest], self.codebook[None]).argmin(-1)
        for row, mode in enumerate(self.modes):
            if mode == "sample":
                codes[row] = sample_codes(output.logits[row], **self.sampling, generator=self.generators[row])
        return codes

    def _step(self, x: Tensor, windows: Sequence[Tensor]) -> TransformerOutput:
        """One step: token ``(B, 1, d)``, and for each layer its projected audio frames ``(B or 1, 1, 1..2k, 2 d)``."""
        config = self.transformer.config
        ages = self._caches[0].ages(self.position, x.device)
        bias = age_bias(ages[None], self.transformer.slopes, config.codes_per_period, config.max_context)
        for layer, window, cache in zip(self.transformer.layers, windows, self._caches, strict=True):
            x = layer.step(x, bias, window, cache, self.position)
        return self.transformer.heads(x)
