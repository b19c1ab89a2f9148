"""Sizes of the networks. The defaults are the small ones, for two CPU cores; ``configs/*/preset/paper.yaml`` has the paper's.

What the data determine (number of coefficients, coefficient space, width of the speech features) is added by the network's
own ``Config`` in :mod:`emotalker.models`.
"""

from __future__ import annotations

from dataclasses import dataclass

from emotalker.core.config import ModelConfig, setting


@dataclass(frozen=True)
class VQVAESize(ModelConfig):
    """Size of the VQ-VAE (docs/method.md 3)."""

    width: int = setting(192, "channels of the convolutions", least=1)
    depth: int = setting(3, "residual blocks per stage; their dilations are 3^(depth-1), ..., 3, 1", least=1)
    code_dim: int = setting(256, "entries of a code vector", least=1)
    codebook_size: int = setting(1024, "number of codes", least=1)
    decay: float = setting(0.99, "decay of the codebook's moving averages per step")
    reset_threshold: float = setting(1.0, "mean uses per step below which a code is replaced")


@dataclass(frozen=True)
class TransformerSize(ModelConfig):
    """Size of the cross-modal transformer (docs/method.md 4)."""

    dim: int = setting(256, "width of the decoder", least=1)
    num_layers: int = setting(4, "decoder layers", least=1)
    num_heads: int = setting(4, "attention heads per layer", least=1)
    ffn_dim: int = setting(512, "width of the feed-forward layers")
    dropout: float = setting(0.2, "dropout probability")
    codes_per_period: int = setting(4, "h: the self-attention bias steps once every h codes", least=1)
    frames_per_code: int = setting(8, "k: speech feature frames per code")
    max_context: int = setting(600, "codes that self-attention covers, in training and decoding; 600 codes are 96 s")
    num_emotions: int = setting(8, "classes of the emotion input; 0 for none, as in the paper")


@dataclass(frozen=True)
class LipSize(ModelConfig):
    """Size of the lip branch (docs/method.md 5)."""

    channels: tuple[int, int, int, int] = setting((16, 32, 96, 256), "channels of the audio encoder's four stages")
    blocks: int = setting(1, "residual blocks per stage", least=1)
    audio_dim: int = setting(256, "entries of the audio embedding of a frame", least=1)
    hidden_dim: int = setting(256, "width of the head", least=1)
    temporal_layers: int = setting(2, "temporal convolutions of the head; each adds one context frame on either side")
    dropout: float = setting(0.2, "dropout probability of the head's input")
    num_emotions: int = setting(8, "classes of the emotion input; 0 for none, as in the paper")
    normalize_mel: bool = setting(False, "subtract each mel band's mean over the recording")


@dataclass(frozen=True)
class SyncSize(ModelConfig):
    """Size of the sync expert."""

    mel_channels: tuple[int, int, int] = setting((160, 192, 256), "channels of the convolutions over a mel window")
    lip_channels: tuple[int, int] = setting((128, 192), "channels of the convolutions over five frames of lips")
    dim: int = setting(128, "entries of an embedding", least=1)
    dropout: float = setting(0.2, "dropout probability before the last layers")


@dataclass(frozen=True)
class SyncJudgeSize(ModelConfig):
    """Size of the sync judge."""

    hidden_dim: int = setting(64, "width of each direction of the recurrent layers", least=1)
    dim: int = setting(48, "entries of an embedding", least=1)
    dropout: float = setting(0.4, "dropout probability of the inputs of all layers")
    floor: float = setting(0.3, "least standard deviation by which lips are scaled, fraction of the training clips'")


@dataclass(frozen=True)
class FaceReaderConfig(ModelConfig):
    """Size of the face reader."""

    mouth: int = setting(120, "principal components of the mouth's gradients")
    eye: int = setting(120, "principal components of each eye's gradients")
    landmarks: int = setting(80, "principal components of landmarks and scores")
    hidden: int = setting(768, "width of the first layers")
    members: int = setting(1, "networks in the ensemble, which are averaged")
    dropout: float = setting(0.0, "dropout probability")


@dataclass(frozen=True)
class StudentSize(ModelConfig):
    """The small audio encoder: which of the teacher's layers it starts from, and its dropout."""

    layers: tuple[int, ...] = setting((0, 1), "layers of the teacher that the student starts from, counted from 0")
    hidden_dropout: float = setting(0.0, "dropout probability of the residual stream, which carries the teacher's features")
    attention_dropout: float = setting(0.05, "dropout probability of attention weights")
    activation_dropout: float = setting(0.05, "dropout probability inside the feed-forward layers")


@dataclass(frozen=True)
class EmotionRecognizerSize(ModelConfig):
    """Size of the emotion recogniser."""

    hidden_dim: int = setting(128, "width of a classifier's hidden layer", least=1)
    nuisance: int = setting(15, "directions in which speakers and corpora differ most, which are removed")
    members: int = setting(4, "classifiers whose probabilities are averaged")
    input_dropout: float = setting(0.3, "dropout probability of a window's description")
    dropout: float = setting(0.5, "dropout probability of the hidden layer")
    clip: float = setting(4.0, "largest standardised entry of a description, either way, in standard deviations")


@dataclass(frozen=True)
class RefinerSize(ModelConfig):
    """Size of the network that refines warped faces."""

    size: int = setting(128, "side of the face's square, pixels; a multiple of 8", least=1)
    channels: tuple[int, int, int] = setting((16, 32, 64), "channels at a half, a quarter and an eighth of the side")
    blocks: int = setting(2, "residual blocks at the lowest resolution", least=1)
    latent: int = setting(96, "entries of the descriptor of a window of motion")
    window: int = setting(5, "frames of a window, odd")
    mapping_layers: int = setting(1, "1-D convolutions after the first one")
    max_flow: float = setting(0.06, "largest displacement of a pixel, relative to the side")
    max_edit: float = setting(0.5, "largest change of a colour, of 1")


@dataclass(frozen=True)
class GeneratorSize(ModelConfig):
    """Size of the network that generates whole frames. The defaults are PIRender's."""

    size: int = setting(256, "side of the frames, pixels", least=1)
    base: int = setting(32, "channels at the full resolution; they double with every halving of it")
    widest: int = setting(256, "most channels")
    warp_depth: int = setting(5, "halvings of the resolution in the warping network, at least 3")
    edit_depth: int = setting(3, "halvings of the resolution in the editing network")
    blocks: int = setting(2, "residual blocks after each doubling in the editing network", least=1)
    latent: int = setting(256, "entries of the descriptor of a window of motion")
    window: int = setting(27, "frames of a window, odd, at most 27")
    mapping_layers: int = setting(3, "1-D convolutions after the first one")


@dataclass(frozen=True)
class DiscriminatorSize(ModelConfig):
    """Size of the discriminator of rendered frames."""

    channels: int = setting(24, "channels of the first layer; they double twice")
