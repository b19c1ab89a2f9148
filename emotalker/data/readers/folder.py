"""Folders of videos without a corpus' layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from emotalker.core.errors import DataError
from emotalker.core.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from emotalker.data.clip_ids import clip_id
from emotalker.data.readers.base import ClipSource
from emotalker.data.readers.labels import NameLabels
from emotalker.data.readers.tracked import VideoReader


class FolderReader(VideoReader):
    """Reads every video below one or several folders.

    The audio of a clip is that of :func:`recording_of`, or else the video's own.

    Args:
        root: folder or folders. With several, the last distinct parts of their paths are prefixed to ids and speakers.
        pattern, emotions: see :class:`~emotalker.data.readers.labels.NameLabels`. The speaker's name includes the subfolder;
            without a match, each folder is one speaker.
        name, source, licence: stored with the prepared corpus.
        one_sitting: each speaker was recorded in one sitting that includes neutral clips.
        options: of :class:`VideoReader`.

    Raises:
        DataError: a folder is missing or a pattern is invalid.
    """

    def __init__(
        self,
        root: str | os.PathLike | Sequence[str | os.PathLike],
        pattern: str | Sequence[str] = (),
        emotions: dict[str, str] | None = None,
        name: str = "folder",
        source: str = "videos of the user",
        licence: str = "",
        one_sitting: bool = False,
        **options,
    ):
        self.roots = [Path(root)] if isinstance(root, (str, os.PathLike)) else [Path(r) for r in root]
        self.name, self.source, self.licence = name, source, licence
        self.one_sitting = one_sitting
        for path in self.roots:
            super().__init__(path, **options)
        self.labels = NameLabels(pattern, emotions)

    def clips(self) -> list[ClipSource]:
        prefixes = distinct_names(self.roots)
        clips = []
        for root, prefix in zip(self.roots, prefixes, strict=True):
            for video in sorted(p for p in root.glob("**/*") if p.suffix.lower() in VIDEO_SUFFIXES):
                folders = [*prefix, *video.relative_to(root).parts[:-1]]
                speaker = self.labels.speaker(video.stem)
                clips.append(
                    ClipSource(
                        id=clip_id("_".join([*folders, video.stem])),
                        speaker="_".join([*folders, *([] if speaker is None else [speaker])]) or root.name,
                        audio=recording_of(video),
                        video=video,
                        licence=self.licence,
                        **self.labels.of(video.stem),
                    )
                )
        return self.found(clips, "videos: " + " ".join(sorted(VIDEO_SUFFIXES)))


def recording_of(video: Path) -> Path | None:
    """The audio file with a video's name in the same folder, the parent folder, or the parent's folder ``audio``; or None."""
    folders = (video.parent, video.parent.parent, video.parent.parent / "audio")
    return next((p for f in folders for s in AUDIO_SUFFIXES if (p := f / f"{video.stem}{s}").is_file()), None)


def distinct_names(roots: Sequence[Path]) -> list[tuple[str, ...]]:
    """The fewest last path parts by which the folders differ, empty for a single folder; DataError if two are the same."""
    if len(roots) == 1:
        return [()]
    parts = [root.resolve().parts for root in roots]
    for count in range(1, max(map(len, parts)) + 1):
        names = [p[-count:] for p in parts]
        if len(set(names)) == len(names):
            return names
    raise DataError("root contains the same folder twice")
