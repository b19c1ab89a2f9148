"""The learned stages from speech features to motion coefficients."""

from emotalker.motion.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from emotalker.motion.lip import LipBranch, LipConfig
from emotalker.motion.quantizer import VectorQuantizer
from emotalker.motion.transformer import CrossModalTransformer, TransformerConfig
from emotalker.motion.vqvae import VQVAE, VQVAEConfig

__all__ = [
    "VQVAE",
    "CrossModalTransformer",
    "LipBranch",
    "LipConfig",
    "TransformerConfig",
    "VQVAEConfig",
    "VectorQuantizer",
    "load_checkpoint",
    "read_metadata",
    "save_checkpoint",
]
