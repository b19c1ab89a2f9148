"""Whisper's encoder (Radford et al. 2022) as a HuBERT on log-mel: teacher and initial weights of the audio encoder.

Like HuBERT with ``do_stable_layer_norm``, a Whisper encoder is a pre-norm transformer; its stem is
:mod:`emotalker.models.mel_stem`. HuBERT's additional layers (feature projection, convolutional positional encoding) are
initialised as the identity.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emotalker.core.errors import CheckpointError
from emotalker.models.hubert import AudioEncoder, AudioEncoderConfig

#: Element types of a CTranslate2 file by number.
_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_ctranslate2(path: str | os.PathLike, prefix: str = "") -> dict[str, Tensor]:
    """The variables of a CTranslate2 ``model.bin`` with names that start with ``prefix``, as float32.

    Layout: version, name of the model class, revision; then for each variable its name, shape, element type, number of
    bytes and content. Little endian; names include a terminating zero byte.

    Raises:
        CheckpointError: the file is missing, truncated or of another layout.
    """
    try:
        content = Path(path).read_bytes()
        _, offset = _unpack("I", content, 0)
        _, offset = _string(content, offset)
        (_, count), offset = _unpack("II", content, offset)
        tensors = {}
        for _ in range(count):
            name, offset = _string(content, offset)
            (rank,), offset = _unpack("B", content, offset)
            shape, offset = _unpack(f"{rank}I", content, offset)
            (kind, size), offset = _unpack("=BI", content, offset)
            if name.startswith(prefix):
                values = np.frombuffer(content, _TYPES[kind], size // np.dtype(_TYPES[kind]).itemsize, offset)
                tensors[name] = torch.from_numpy(values.reshape(shape).astype(np.float32))
            offset += size
    except (OSError, struct.error, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is not a CTranslate2 model ({error}); download it again") from error
    return tensors


def _unpack(layout: str, content: bytes, offset: int) -> tuple[tuple, int]:
    """``struct.unpack_from``, and the offset after the values."""
    layout = layout if layout[0] == "=" else f"<{layout}"
    return struct.unpack_from(layout, content, offset), offset + struct.calcsize(layout)


def _string(content: bytes, offset: int) -> tuple[str, int]:
    """A length-prefixed, zero-terminated string, and the offset after it."""
    (length,), offset = _unpack("H", content, offset)
    return content[offset : offset + length - 1].decode(), offset + length


def whisper_encoder(
    path: str | os.PathLike, layers: Sequence[int] | None = None, emotions: tuple[str, ...] = (), **hubert
) -> AudioEncoder:
    """Whisper's encoder from a CTranslate2 file as an :class:`~emotalker.models.hubert.AudioEncoder`.

    Args:
        path: the file.
        layers: indices of the layers to use, from 0; None for all.
        emotions: classes of a new emotion head; empty for none.
        hubert: further fields of ``transformers.HubertConfig``.

    Raises:
        CheckpointError: as :func:`read_ctranslate2`, or the file contains no Whisper encoder with these layers.
    """
    source = read_ctranslate2(path, "encoder/")
    try:
        dim = len(source["encoder/conv1/bias"])
        present = sum(name.endswith("/ffn/layer_norm/gamma") for name in source)
        chosen = list(range(present) if layers is None else layers)
        config = AudioEncoderConfig.log_mel(
            emotions,
            hidden_size=dim,
            intermediate_size=len(source["encoder/layer_0/ffn/linear_0/bias"]),
            num_hidden_layers=len(chosen),
            num_attention_heads=dim // 64,
            **hubert,
        )
        encoder = AudioEncoder(config).eval()
        state = encoder.hubert.state_dict()
        state |= {name.replace("stem", "feature_extractor"): value for name, value in _stem(source).items()}
        for target, layer in enumerate(chosen):
            state |= {f"encoder.layers.{target}.{k}": v for k, v in _layer(source, f"encoder/layer_{layer}/", dim).items()}
    except KeyError as error:
        raise CheckpointError(f"{path} contains no Whisper encoder: {error.args[0]} is missing; download it again") from error
    state["feature_projection.projection.weight"] = torch.eye(dim)
    state["feature_projection.projection.bias"] = torch.zeros(dim)
    state[
        "encoder.pos_conv_embed.conv.parametrizations.weight.original0"
    ].zero_()  # a magnitude of 0 disables the positional encoding
    state["encoder.pos_conv_embed.conv.bias"].zero_()
    encoder.hubert.load_state_dict(state)
    return encoder


def _stem(source: dict[str, Tensor]) -> dict[str, Tensor]:
    """Whisper's convolutions and final norm under HuBERT's names."""
    state = {
        f"stem.{conv}.{part}": source[f"encoder/{conv}/{part}"] for conv in ("conv1", "conv2") for part in ("weight", "bias")
    }
    norm = {"weight": "gamma", "bias": "beta"}
    return state | {f"encoder.layer_norm.{ours}": source[f"encoder/layer_norm/{theirs}"] for ours, theirs in norm.items()}


def _layer(source: dict[str, Tensor], prefix: str, dim: int) -> dict[str, Tensor]:
    """One of Whisper's layers under HuBERT's names."""
    attention, feed_forward = f"{prefix}self_attention/", f"{prefix}ffn/"
    joined = {part: source[f"{attention}linear_0/{part}"].split(dim) for part in ("weight", "bias")}
    state = {
        f"attention.{name}_proj.{part}": joined[part][index]
        for index, name in enumerate("qkv")
        for part in ("weight", "bias")
    }
    for part in ("weight", "bias"):
        state[f"attention.out_proj.{part}"] = source[f"{attention}linear_1/{part}"]
        state[f"feed_forward.intermediate_dense.{part}"] = source[f"{feed_forward}linear_0/{part}"]
        state[f"feed_forward.output_dense.{part}"] = source[f"{feed_forward}linear_1/{part}"]
    for part, theirs in (("weight", "gamma"), ("bias", "beta")):
        state[f"layer_norm.{part}"] = source[f"{attention}layer_norm/{theirs}"]
        state[f"final_layer_norm.{part}"] = source[f"{feed_forward}layer_norm/{theirs}"]
    return state
