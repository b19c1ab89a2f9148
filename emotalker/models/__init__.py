"""The networks, one file each. Importing this package registers them all, so that checkpoints of any kind can be loaded."""

from emotalker.models.expression import ExpressionPrior
from emotalker.models.hubert import AudioEncoder
from emotalker.models.lip import LipBranch
from emotalker.models.quantizer import VectorQuantizer
from emotalker.models.sync import SyncExpert
from emotalker.models.sync_judge import SyncJudge
from emotalker.models.transformer import CrossModalTransformer
from emotalker.models.vqvae import VQVAE

__all__ = [
    "VQVAE",
    "AudioEncoder",
    "CrossModalTransformer",
    "ExpressionPrior",
    "LipBranch",
    "SyncExpert",
    "SyncJudge",
    "VectorQuantizer",
]
