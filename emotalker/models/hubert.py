"""Speech features: the paper's HuBERT, fine-tuned for emotion recognition, or a small one on log-mel (docs/method.md 4)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emotalker.core.checkpoint import register_model
from emotalker.core.config import ModelConfig
from emotalker.core.errors import CheckpointError
from emotalker.models.log_mel_hubert import LogMelHubert
from emotalker.models.transformers_hubert import hubert_classes

HOP_LENGTH = 320  # samples per HuBERT frame at 16 kHz: 50 frames per second
SAMPLES_PER_VIDEO_FRAME = 640
FRAMES_PER_SECOND = 50
#: HuBERT's receptive field is 400 samples, 80 more than its hop; padding by 80 samples gives exactly one frame per hop.
EXTRA_SAMPLES = 80
#: Recordings up to this length are encoded at once, seconds.
WINDOW_SECONDS = 20.0

#: HubertConfig fields of a HuBERT on a log-mel stem (:mod:`emotalker.models.mel_stem`) with two layers of Whisper base's
#: size, 7.7 M parameters. ``conv_kernel`` and ``conv_stride`` describe the stem's receptive field and hop.
LOG_MEL_HUBERT: dict[str, Any] = {
    "conv_kernel": [400],
    "conv_stride": [320],
    "feat_proj_layer_norm": False,
    "hidden_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 16,
    "do_stable_layer_norm": True,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
    "feat_proj_dropout": 0.0,
    "activation_dropout": 0.0,
}

#: HubertConfig fields that checkpoints may set. All others are refused: some of them name code or files to load.
_HYPERPARAMETERS = frozenset({
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act", "hidden_dropout",
    "activation_dropout", "attention_dropout", "feat_proj_layer_norm", "feat_proj_dropout", "final_dropout", "layerdrop",
    "initializer_range", "layer_norm_eps", "feat_extract_norm", "feat_extract_activation", "conv_dim", "conv_stride",
    "conv_kernel", "conv_bias", "num_conv_pos_embeddings", "num_conv_pos_embedding_groups", "conv_pos_batch_norm",
    "do_stable_layer_norm", "apply_spec_augment", "mask_time_prob", "mask_time_length", "mask_time_min_masks",
    "mask_feature_prob", "mask_feature_length", "mask_feature_min_masks",
})  # fmt: skip
#: Largest network that is made from a checkpoint's description; HuBERT large has 24 layers of 1024.
_MAX_LAYERS, _MAX_HIDDEN = 48, 4096


@dataclass(frozen=True)
class AudioEncoderConfig(ModelConfig):
    """Attributes:
    hubert: fields of ``transformers.HubertConfig`` that differ from its defaults (HuBERT base).
    normalize: normalise each recording to zero mean and unit variance, as in the training of HuBERT base.
    stem: ``waveform`` for HuBERT's convolutions, or ``log_mel``.
    emotions: classes of :attr:`AudioEncoder.emotion_head`; empty for no head.
    """

    hubert: dict[str, Any] = field(default_factory=dict)
    normalize: bool = True
    stem: str = "waveform"
    emotions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.stem not in ("waveform", "log_mel"):
            raise ValueError(f"the stem is 'waveform' or 'log_mel', not {self.stem!r}")
        unknown = set(self.hubert) - _HYPERPARAMETERS
        if unknown:
            raise ValueError(f"an audio encoder has no setting {min(unknown)!r}")
        layers, hidden = self.hubert.get("num_hidden_layers", 12), self.hubert.get("hidden_size", 768)
        if not (1 <= layers <= _MAX_LAYERS and 1 <= hidden <= _MAX_HIDDEN):
            raise ValueError(f"an audio encoder of {layers} layers of {hidden} is larger than any HuBERT")

    @classmethod
    def log_mel(cls, emotions: tuple[str, ...] = (), **changes) -> AudioEncoderConfig:
        """A HuBERT on a log-mel stem; ``changes`` are HubertConfig fields."""
        hubert = {**LOG_MEL_HUBERT, **changes}
        return cls(hubert=hubert | {"conv_dim": [hubert["hidden_size"]]}, stem="log_mel", emotions=emotions)


class EmotionHead(nn.Module):
    """Emotion classifier on a recording's features: attention pooling, then a linear layer.

    Shapes: ``(B, T, dim)`` to logits ``(B, emotions)``.
    """

    def __init__(self, dim: int, emotions: int):
        super().__init__()
        self.attention = nn.Linear(dim, 1)
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(dim, emotions)

    def pool(self, features: Tensor) -> Tensor:
        """Attention pooling, ``(B, T, dim)`` to ``(B, dim)``."""
        return (self.attention(features).softmax(dim=1) * features).sum(1)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.pool(features)))


@register_model("audio_encoder")
class AudioEncoder(nn.Module):
    """HuBERT's last hidden state, exactly two frames per 25 fps video frame.

    A recording of N samples has F = ceil(N / 640) video frames. It is zero-padded to 640 F samples, and by 40 more zeros at
    both ends, which centres HuBERT frame j on samples 320 j .. 320 (j + 1). Source: docs/method.md 4; Hsu et al. 2021.

    Args:
        config: hyperparameters.
        hubert: a ``transformers.HubertModel`` with these hyperparameters. None builds a network with random weights: that
            class for waveforms, :class:`~emotalker.models.log_mel_hubert.LogMelHubert` for log-mel.
    """

    Config = AudioEncoderConfig

    def __init__(self, config: AudioEncoderConfig, hubert: nn.Module | None = None):
        super().__init__()
        self.config = config
        self.frozen = False
        if hubert is None and config.stem == "log_mel":
            hubert = LogMelHubert(config.hubert)
        elif hubert is None:
            HubertConfig, HubertModel = hubert_classes()
            hubert = HubertModel(HubertConfig(**config.hubert))
        self.hubert = hubert
        self.emotion_head = EmotionHead(self.dim, len(config.emotions)) if config.emotions else None

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike, local_files_only: bool = True) -> Self:
        """Load a folder in Hugging Face's layout, or a model by its name; fine-tuning heads are ignored.

        Args:
            source: e.g. ``"superb/hubert-base-superb-er"`` or a local folder.
            local_files_only: use the local cache only, without network access.

        Raises:
            CheckpointError: the model is missing or not a complete HuBERT.
        """
        HubertConfig, HubertModel = hubert_classes()
        from transformers.utils import cached_file

        where = str(source)
        try:
            hubert_config = HubertConfig.from_pretrained(where, local_files_only=local_files_only)
            hubert, info = HubertModel.from_pretrained(
                where, config=hubert_config, local_files_only=local_files_only, output_loading_info=True, dtype=torch.float32
            )
            preprocessor = cached_file(
                where,
                "preprocessor_config.json",
                local_files_only=local_files_only,
                _raise_exceptions_for_missing_entries=False,
            )
        except Exception as error:  # transformers raises many exception types for damaged files
            hint = "give a folder that contains config.json and the weights, or download the model first"
            raise CheckpointError(f"no usable HuBERT at {where}: {_first_line(error)}; {hint}") from error
        absent = set(info["missing_keys"]) - {"masked_spec_embed"}
        if absent:
            raise CheckpointError(f"{where} is not a complete HuBERT: {len(absent)} weights are missing, e.g. {min(absent)}")
        settings = json.loads(Path(preprocessor).read_text()) if preprocessor else {}
        fields = {k: v for k, v in hubert_config.to_diff_dict().items() if k in _HYPERPARAMETERS}
        return cls(AudioEncoderConfig(fields, settings.get("do_normalize", True)), hubert).eval()

    @property
    def dim(self) -> int:
        """Length of a feature vector."""
        return self.hubert.config.hidden_size

    @torch.no_grad()
    def recognize_emotion(self, features: Tensor) -> dict[str, float]:
        """Emotion probabilities of a recording.

        Args:
            features: ``(1, T, dim)`` or ``(T, dim)``, from :meth:`forward` or :meth:`encode_long`.

        Returns:
            Probabilities by name, in the order of ``config.emotions``; empty if there is no emotion head.
        """
        if self.emotion_head is None:
            return {}
        probabilities = self.emotion_head(features.view(1, -1, self.dim))[0].softmax(-1)
        return dict(zip(self.config.emotions, probabilities.tolist(), strict=True))

    def freeze(self) -> Self:
        """Freeze permanently: no gradients, and evaluation mode even after ``train()``."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self.frozen)

    def forward(self, wav: Tensor, mask_time_indices: Tensor | None = None) -> Tensor:
        """Encode complete recordings.

        Args:
            wav: ``(B, N)`` float at 16 kHz, any N >= 1.
            mask_time_indices: ``(B, 2F)`` bool, frames replaced by the trained mask vector (masked prediction). None masks
                nothing, also in training mode.

        Returns:
            ``(B, 2F, dim)``.
        """
        return self._encode(self.prepare(wav), mask_time_indices)

    @torch.no_grad()
    def encode_long(self, wav: Tensor, window_seconds: float = WINDOW_SECONDS, context_seconds: float = 1.0) -> Tensor:
        """Encode recordings of any length in overlapping windows of bounded memory; no gradients.

        ``context_seconds`` at each inner edge of a window are context only. A recording that fits one window is encoded as
        by :meth:`forward`.

        Shapes: ``(B, N)`` to ``(B, 2F, dim)``. ValueError if a window is not longer than its context.
        """
        context = round(context_seconds * FRAMES_PER_SECOND)
        window = round(window_seconds * FRAMES_PER_SECOND)
        if window <= 2 * context:
            raise ValueError(f"a window of {window_seconds} s is all context at {context_seconds} s a side")
        padded = self.prepare(wav)
        total = (padded.shape[-1] - EXTRA_SAMPLES) // HOP_LENGTH
        return torch.cat(list(self._encode_windows(padded, total, window, context)), dim=1)

    def _encode_windows(self, padded: Tensor, total: int, window: int, context: int) -> Iterator[Tensor]:
        """Features of consecutive windows without their context, ``(B, frames, dim)`` each."""
        done = 0
        while done < total:
            first = max(0, done - context)
            last = min(total, first + window)
            end = last if last == total else last - context
            features = self._encode(padded[:, first * HOP_LENGTH : last * HOP_LENGTH + EXTRA_SAMPLES])
            yield features[:, done - first : end - first]
            done = end

    @torch.no_grad()
    def encode_all(self, padded: Tensor) -> Tensor:
        """Hidden states of all layers of one window that is normalised and padded as by :meth:`prepare`; the last one is the
        features. Shapes: ``(B, 320 T + 80)`` to ``(B, T, layers + 1, dim)``."""
        output = self.hubert(padded, output_hidden_states=True)
        return torch.stack([*output.hidden_states[:-1], output.last_hidden_state], dim=2)

    def prepare(self, wav: Tensor) -> Tensor:
        """Normalise and pad, ``(B, N)`` to ``(B, 640 F + 80)``."""
        if wav.ndim != 2 or wav.shape[-1] == 0:
            raise ValueError(f"expected recordings (B, N) with N >= 1, got {tuple(wav.shape)}")
        if self.config.normalize:
            wav = (wav - wav.mean(-1, keepdim=True)) / (wav.var(-1, unbiased=False, keepdim=True) + 1e-7).sqrt()
        missing = -wav.shape[-1] % SAMPLES_PER_VIDEO_FRAME
        return F.pad(wav, (EXTRA_SAMPLES // 2, missing + EXTRA_SAMPLES // 2))

    def _encode(self, padded: Tensor, mask_time_indices: Tensor | None = None) -> Tensor:
        if mask_time_indices is None and self.training and hasattr(self.hubert, "masked_spec_embed"):
            # without indices transformers would mask random frames
            frames = (padded.shape[-1] - EXTRA_SAMPLES) // HOP_LENGTH
            mask_time_indices = torch.zeros(len(padded), frames, dtype=torch.bool, device=padded.device)
        return self.hubert(padded, mask_time_indices=mask_time_indices).last_hidden_state


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
