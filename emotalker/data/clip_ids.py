"""Ids of clips. They become file names, so they are checked wherever they come in."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from emotalker.core.errors import DataError

if TYPE_CHECKING:
    from emotalker.data.readers.base import ClipSource

#: Longest id in bytes; names inside a tar have at most 100, with the suffix.
MAX_BYTES = 90
_ID, _OTHER = re.compile(r"[\w-]+"), re.compile(r"[^\w-]")
_SHARD = re.compile(r"shard-\d{5,}\.tar")


def is_clip_id(text: object) -> bool:
    """Whether a text consists of letters, digits, ``_`` and ``-``, and is short enough."""
    return isinstance(text, str) and bool(_ID.fullmatch(text)) and len(text.encode("utf-8", "surrogateescape")) <= MAX_BYTES


def check_clip_id(text: object, where: object) -> str:
    """The id itself; DataError, with the place it comes from, if it is none."""
    if not is_clip_id(text):
        shown = repr(text)
        raise DataError(f"{where} names a clip {shown[:60]}, which is no id of letters, digits, _ and -; prepare it again")
    return text


def check_shard_name(text: object, where: object) -> str:
    """The file name of a shard; DataError if it is none, e.g. a path."""
    if not isinstance(text, str) or not _SHARD.fullmatch(text):
        raise DataError(f"{where} names a shard {text!r}; prepare the corpus again")
    return text


def clip_id(text: str) -> str:
    """An id for a relative path without suffix: other characters become ``_``; long texts end in a hash of the whole."""
    plain = _OTHER.sub("_", text)
    if is_clip_id(plain):
        return plain
    return f"{plain.encode('utf-8', 'ignore')[:70].decode('utf-8', 'ignore')}-{_hash(text)}"


def with_unique_ids(clips: Sequence[ClipSource]) -> list[ClipSource]:
    """Clips whose ids coincide, as for ``a b.mp4`` and ``a_b.mp4``, get a hash of their file's path."""
    counts = Counter(clip.id for clip in clips)
    return [
        clip
        if counts[clip.id] == 1
        else replace(clip, id=clip_id(f"{clip.id}-{_hash(str(clip.video or clip.coefficients))}"))
        for clip in clips
    ]


def _hash(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()[:8]
