"""Speech features of whole corpora by a frozen encoder, computed once and cached in the corpus' folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.numpy import load_file, save_file

from emotalker.core.checkpoint import load_checkpoint
from emotalker.core.files import replace_on_success
from emotalker.data.shards import MANIFEST, Clip
from emotalker.models.hubert import AudioEncoder
from emotalker.training.augment import SpeechAugmentation


def load_encoder(source: str | os.PathLike) -> AudioEncoder:
    """A frozen encoder from a checkpoint of this project, a folder in Hugging Face's layout, or a cached model's name.

    Raises:
        CheckpointError: none of these exists.
    """
    if str(source).endswith(".safetensors"):
        return load_checkpoint(source, "audio_encoder").freeze()
    return AudioEncoder.from_pretrained(source).freeze()


def fingerprint(encoder: AudioEncoder) -> str:
    """A hash of the encoder's weights and configuration: 16 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(encoder.config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def corpus_features(
    clips: Sequence[Clip], encoder: AudioEncoder, variants: int, device: torch.device | str = "cpu"
) -> dict[str, np.ndarray]:
    """Features of every clip: of the recording itself, then of ``variants - 1`` augmented copies.

    Cached as ``features-<hash>.safetensors`` in the first corpus' folder; the hash covers encoder, corpora, clips and number
    of variants.

    Returns:
        clip name to ``(variants, 2 T, dim)`` float16.
    """
    digest = hashlib.sha256(f"{fingerprint(encoder)} {variants}".encode())
    for root in sorted({clip.corpus.root for clip in clips}):
        digest.update((root / MANIFEST).read_bytes())
    digest.update(" ".join(clip.name for clip in clips).encode())
    path = Path(clips[0].corpus.root) / f"features-{digest.hexdigest()[:16]}.safetensors"
    if path.exists():
        return load_file(path)
    encoder, augmentation = encoder.to(device), SpeechAugmentation()
    features = {}
    for index, clip in enumerate(track(clips, "speech features")):
        audio, rng = clip.audio, np.random.default_rng(index)
        waves = np.stack([audio] + [augmentation(audio, rng) for _ in range(variants - 1)])
        encoded = encoder.encode_long(torch.from_numpy(waves).to(device))
        features[clip.name] = encoded[:, : 2 * clip.frames].cpu().numpy().astype(np.float16)
    with replace_on_success(path) as temporary:
        save_file(features, temporary)
    return features
