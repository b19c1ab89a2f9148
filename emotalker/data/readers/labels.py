"""Labels of clips from their file names, for corpora without a layout of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from emotalker.core.emotions import emotion_of
from emotalker.core.errors import DataError


class NameLabels:
    """Finds speaker, emotion and level in a file name.

    Args:
        pattern: regular expression for the whole name without suffix, or several, of which the first match counts, with
            groups ``speaker``, ``emotion`` and ``level``.
        emotions: emotion by the name's word or number; words that are not listed must be names of emotions.

    Raises:
        DataError: a pattern is invalid.
    """

    def __init__(self, pattern: str | Sequence[str] = (), emotions: Mapping[str, str] | None = None):
        try:
            self.patterns = [re.compile(p) for p in ([pattern] if isinstance(pattern, str) else pattern)]
        except re.error as error:
            raise DataError(f"pattern: {error.pattern!r} is not a regular expression ({error})") from error
        self.emotions = {str(word): emotion for word, emotion in (emotions or {}).items()}

    def speaker(self, name: str) -> str | None:
        """The speaker that the name tells, or None."""
        return self._groups(name).get("speaker")

    def of(self, name: str) -> dict[str, str | int | None]:
        """``emotion``, ``original_emotion`` and ``level`` of :class:`~emotalker.data.readers.base.ClipSource`."""
        groups = self._groups(name)
        word = groups.get("emotion")
        word = self.emotions.get(word, word)
        level = groups.get("level") or ""
        return {
            "emotion": emotion_of(word),
            "original_emotion": word,
            "level": int(level) if level.isdecimal() else None,
        }

    def _groups(self, name: str) -> dict[str, str | None]:
        match = next((m for p in self.patterns if (m := p.fullmatch(name))), None)
        return match.groupdict() if match else {}
