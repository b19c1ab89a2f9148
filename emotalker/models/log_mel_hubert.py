"""A pre-norm HuBERT on a log-mel stem, with the names of ``transformers.HubertModel``'s weights.

It equals ``transformers.HubertModel`` with ``do_stable_layer_norm`` and the stem as its ``feature_extractor``
(tests/test_log_mel_hubert.py), whose import takes more than two seconds. Source: Hsu et al. 2021, section II, for the
network; Baevski et al. 2020 (wav2vec 2.0), section 2, for its convolutional positional encoding.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.models.mel_stem import LogMelStem

#: HubertConfig fields that this network has in one variant only.
_FIXED = {
    "do_stable_layer_norm": True,
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "conv_pos_batch_norm": False,
    "apply_spec_augment": True,
    "layerdrop": 0.0,
    "mask_feature_prob": 0.0,
}


@dataclass(frozen=True)
class LogMelHubertConfig:
    """The fields of ``transformers.HubertConfig`` that this network has, with the same meanings and defaults."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    feat_proj_layer_norm: bool = True
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    feat_proj_dropout: float = 0.0
    mask_time_prob: float = 0.05

    @classmethod
    def from_hubert(cls, values: dict[str, Any]) -> LogMelHubertConfig:
        """Pick this network's fields; ValueError if another one asks for a variant that this network does not have."""
        other = next((name for name, value in _FIXED.items() if values.get(name, value) != value), None)
        if other is not None:
            raise ValueError(f"a HuBERT on log-mel has {other} {_FIXED[other]}, not {values[other]}")
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})


class HubertOutput(NamedTuple):
    """Attributes:
    last_hidden_state: ``(B, T, dim)``.
    hidden_states: the input of every layer, and the last hidden state, ``(B, T, dim)`` each; None if not asked for.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None


class _Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2) without a mask. Shapes: ``(B, T, dim)`` to the same."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim} channels cannot be divided among {heads} attention heads")
        self.heads, self.dropout = heads, dropout
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, hidden: Tensor) -> Tensor:
        query, key, value = (
            project(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, config: LogMelHubertConfig):
        super().__init__()
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.intermediate_dropout = nn.Dropout(config.activation_dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.output_dense(self.intermediate_dropout(F.gelu(self.intermediate_dense(hidden))))


class _Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, config: LogMelHubertConfig):
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.attention = _Attention(config.hidden_size, config.num_attention_heads, config.attention_dropout)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.feed_forward = _FeedForward(config)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.dropout(self.attention(self.layer_norm(hidden)))
        return hidden + self.dropout(self.feed_forward(self.final_layer_norm(hidden)))


class _FeatureProjection(nn.Module):
    def __init__(self, config: LogMelHubertConfig):
        super().__init__()
        dim = config.hidden_size
        self.layer_norm = nn.LayerNorm(dim, config.layer_norm_eps) if config.feat_proj_layer_norm else None
        self.projection = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(config.feat_proj_dropout)

    def forward(self, features: Tensor) -> Tensor:
        features = features if self.layer_norm is None else self.layer_norm(features)
        return self.dropout(self.projection(features))


class _PositionalConvolution(nn.Module):
    """A grouped convolution with weight normalisation, then a GELU. Shapes: ``(B, T, dim)`` to the same."""

    def __init__(self, config: LogMelHubertConfig):
        super().__init__()
        kernel = config.num_conv_pos_embeddings
        convolution = nn.Conv1d(
            config.hidden_size,
            config.hidden_size,
            kernel,
            padding=kernel // 2,
            groups=config.num_conv_pos_embedding_groups,
        )
        self.conv = nn.utils.parametrizations.weight_norm(convolution, dim=2)

    def forward(self, hidden: Tensor) -> Tensor:
        positions = self.conv(hidden.transpose(1, 2))[..., : hidden.shape[1]]  # an even kernel makes one position too many
        return F.gelu(positions).transpose(1, 2)


class _Encoder(nn.Module):
    def __init__(self, config: LogMelHubertConfig):
        super().__init__()
        self.pos_conv_embed = _PositionalConvolution(config)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden: Tensor) -> list[Tensor]:
        """The inputs of all layers and the normalised output of the last one."""
        states = [self.dropout(hidden + self.pos_conv_embed(hidden))]
        for layer in self.layers:
            states.append(layer(states[-1]))
        states[-1] = self.layer_norm(states[-1])
        return states


class LogMelHubert(nn.Module):
    """Shapes: samples ``(B, 320 T + 80)`` of unit variance to ``(B, T, dim)``.

    Args:
        hubert: HubertConfig fields.

    Raises:
        ValueError: the fields describe a network that this class does not have.
    """

    def __init__(self, hubert: dict[str, Any]):
        super().__init__()
        self.config = config = LogMelHubertConfig.from_hubert(hubert)
        self.feature_extractor = LogMelStem(config.hidden_size)
        self.feature_projection = _FeatureProjection(config)
        self.encoder = _Encoder(config)
        if config.mask_time_prob > 0:
            self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=config.initializer_range)
                nn.init.zeros_(module.bias)

    def forward(
        self, wav: Tensor, mask_time_indices: Tensor | None = None, output_hidden_states: bool = False
    ) -> HubertOutput:
        """Encode; ``mask_time_indices`` ``(B, T)`` bool marks frames that are replaced by the trained mask vector."""
        hidden = self.feature_projection(self.feature_extractor(wav).transpose(1, 2))
        if mask_time_indices is not None:
            hidden = torch.where(mask_time_indices[..., None], self.masked_spec_embed.to(hidden.dtype), hidden)
        states = self.encoder(hidden)
        return HubertOutput(states[-1], tuple(states) if output_hidden_states else None)
