"""EmoTalker: a talking video from a voice recording and one portrait, with the emotion of the voice."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotalker.inference.pipeline import TalkingHead

__version__ = "0.1.0"
__all__ = ["TalkingHead", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "TalkingHead":  # imported on first use, because importing torch takes seconds
        # The import makes some 250,000 objects, which stay. The garbage collector looks through them again and again, a fifth
        # of the time until a video begins: it is off meanwhile, and leaves them alone later.
        collects = gc.isenabled()
        gc.disable()
        try:
            from emotalker.inference.pipeline import TalkingHead

            gc.freeze()
        finally:
            if collects:
                gc.enable()
        return TalkingHead
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
