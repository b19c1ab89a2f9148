"""EmoTalker: a talking video from a voice recording and one portrait, with the emotion of the voice.

>>> from emotalker import TalkingHead
>>> talking_head = TalkingHead.from_pretrained()
>>> talking_head.generate("voice.wav", "person.jpg", emotion="happy").save("talking.mp4")

The names below are imported on first use, because importing torch takes seconds.
"""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotalker.coefficients import MotionTrack
    from emotalker.core.errors import Cancelled, EmoTalkerError
    from emotalker.inference.animation import Animator, TalkingVideo
    from emotalker.inference.control import Control
    from emotalker.inference.dubbing import DubbedVideo
    from emotalker.inference.emotion_track import EmotionTrack
    from emotalker.inference.pipeline import TalkingHead
    from emotalker.inference.streaming import TalkingStream
    from emotalker.inference.style import Style

__version__ = "0.1.0"
__all__ = [
    "Animator",
    "Cancelled",
    "Control",
    "DubbedVideo",
    "EmoTalkerError",
    "EmotionTrack",
    "MotionTrack",
    "Style",
    "TalkingHead",
    "TalkingStream",
    "TalkingVideo",
    "__version__",
]

#: Modules of the names, inside this package.
_MODULES = {
    "Animator": "inference.animation",
    "Cancelled": "core.errors",
    "Control": "inference.control",
    "DubbedVideo": "inference.dubbing",
    "EmoTalkerError": "core.errors",
    "EmotionTrack": "inference.emotion_track",
    "MotionTrack": "coefficients",
    "Style": "inference.style",
    "TalkingHead": "inference.pipeline",
    "TalkingStream": "inference.streaming",
    "TalkingVideo": "inference.animation",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The import makes some 250,000 objects, which stay. The garbage collector looks through them again and again, a fifth of
    # the time until a video begins: it is off meanwhile, and leaves them alone later.
    collects = gc.isenabled()
    gc.disable()
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
        gc.freeze()
    finally:
        if collects:
            gc.enable()
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
