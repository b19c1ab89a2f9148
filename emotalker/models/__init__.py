"""The networks. Importing this package registers all of them for :func:`emotalker.core.checkpoint.load_checkpoint`."""

from emotalker.models.emotion_recognizer import EmotionRecognizer
from emotalker.models.expression import ExpressionPrior
from emotalker.models.hubert import AudioEncoder
from emotalker.models.lip import LipBranch
from emotalker.models.quantizer import VectorQuantizer
from emotalker.models.renderer import FaceRefiner, PortraitGenerator
from emotalker.models.sync import SyncExpert
from emotalker.models.sync_judge import SyncJudge
from emotalker.models.transformer import CrossModalTransformer
from emotalker.models.vqvae import VQVAE

__all__ = [
    "VQVAE",
    "AudioEncoder",
    "CrossModalTransformer",
    "EmotionRecognizer",
    "ExpressionPrior",
    "FaceRefiner",
    "LipBranch",
    "PortraitGenerator",
    "SyncExpert",
    "SyncJudge",
    "VectorQuantizer",
]
