"""The HuBERT classes of the transformers package."""

from __future__ import annotations

from emotalker.core.errors import MissingExtraError


def hubert_classes() -> tuple[type, type]:
    """``transformers.HubertConfig`` and ``transformers.HubertModel``, imported when called because that takes seconds.

    Raises:
        MissingExtraError: an installed torchaudio, which transformers imports, was built for another PyTorch.
    """
    try:
        from transformers import HubertConfig, HubertModel
    except (ImportError, OSError) as error:
        reason = str(error).strip().split("\n")[-1]
        raise MissingExtraError(
            f"HuBERT cannot be imported from transformers ({reason}); if torchaudio is installed for another build of "
            "PyTorch, run: pip uninstall torchaudio"
        ) from error
    return HubertConfig, HubertModel
