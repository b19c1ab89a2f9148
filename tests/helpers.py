"""Shared by several tests: a tiny HuBERT and a WAV writer."""

import os
import wave
from pathlib import Path

import numpy as np

from emotalker.models.hubert import AudioEncoderConfig

#: HubertConfig fields of a HuBERT with HuBERT base's strides and kernels. Layer normalisation instead of the first layer's
#: group normalisation over time makes frames independent of the length of the recording.
TINY_HUBERT = {
    "conv_dim": [8] * 7,
    "feat_extract_norm": "layer",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "do_stable_layer_norm": True,
    "layerdrop": 0.0,
    "feat_proj_dropout": 0.0,
    "activation_dropout": 0.0,
}


def tiny_hubert(**changes) -> AudioEncoderConfig:
    """An audio encoder on waveforms; ``changes`` are HubertConfig fields."""
    return AudioEncoderConfig(hubert={**TINY_HUBERT, **changes})


def save_wav(path: str | os.PathLike, samples: np.ndarray, sample_rate: int = 16000) -> Path:
    """Write ``(N,)`` floating-point samples, clipped to -1..1, as a 16-bit mono WAV file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return Path(path)
