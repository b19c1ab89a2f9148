"""Plain folders of videos."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from emotalker.core.emotions import emotion_of
from emotalker.core.errors import DataError
from emotalker.data.readers.base import AUDIO_SUFFIXES, VIDEO_SUFFIXES, ClipSource
from emotalker.data.readers.tracked import VideoReader


class FolderReader(VideoReader):
    """Every video below one or several folders.

    Sound is a recording of the same name beside the video, in the folder above, or in the folder ``audio`` beside the video's
    folder; else the video's own; else there is none.

    Args:
        root: folder or folders. Several are told apart by their paths' last parts, which go before the clips' names.
        pattern: regular expression, or several to be tried in turn, that a file's name without suffix is matched with as a
            whole; its groups ``speaker``, ``emotion`` and ``level`` label the clip. Speakers are told apart by folder too;
            where no pattern matches, a folder is one speaker.
        emotions: emotion by the word or number the names use; what is not listed must be an emotion's name.
        name, source, licence: kept with what is prepared.
        one_sitting: each speaker was filmed in one sitting, neutral clips among the others.
        validation, test: speakers of those splits; without any, clips are split by their names.
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
        validation: Sequence[str] = (),
        test: Sequence[str] = (),
        **options,
    ):
        self.roots = [Path(root)] if isinstance(root, (str, os.PathLike)) else [Path(r) for r in root]
        self.name, self.source, self.licence = name, source, licence
        self.one_sitting = one_sitting
        self.validation_speakers, self.test_speakers = tuple(map(str, validation)), tuple(map(str, test))
        for path in self.roots:
            super().__init__(path, **options)
        patterns = [pattern] if isinstance(pattern, str) else list(pattern)
        try:
            self.patterns = [re.compile(p) for p in patterns]
        except re.error as error:
            raise DataError(f"pattern: {error.pattern!r} is no regular expression ({error})") from error
        self.emotions = {str(word): emotion for word, emotion in (emotions or {}).items()}

    def clips(self) -> list[ClipSource]:
        prefixes = distinct_names(self.roots)
        clips = []
        for root, prefix in zip(self.roots, prefixes, strict=True):
            for video in sorted(p for p in root.glob("**/*") if p.suffix.lower() in VIDEO_SUFFIXES):
                folders = [*prefix, *video.relative_to(root).parts[:-1]]
                match = next((m for p in self.patterns if (m := p.fullmatch(video.stem))), None)
                labels = match.groupdict() if match else {}
                word = labels.get("emotion")
                clips.append(
                    ClipSource(
                        id=re.sub(r"[^\w-]", "_", "_".join([*folders, video.stem])),
                        speaker="_".join([*folders, *([labels["speaker"]] if "speaker" in labels else [])]) or root.name,
                        emotion=emotion_of(self.emotions.get(word, word)),
                        original_emotion=self.emotions.get(word, word),
                        level=int(labels["level"]) if labels.get("level") else None,
                        audio=recording_of(video),
                        video=video,
                        licence=self.licence,
                    )
                )
        return self.found(clips, "videos: " + " ".join(sorted(VIDEO_SUFFIXES)))


def recording_of(video: Path) -> Path | None:
    """The recording of a video's name: beside it, in the folder above, or in the folder ``audio`` beside the video's."""
    folders = (video.parent, video.parent.parent, video.parent.parent / "audio")
    return next((p for f in folders for s in AUDIO_SUFFIXES if (p := f / f"{video.stem}{s}").is_file()), None)


def distinct_names(roots: Sequence[Path]) -> list[tuple[str, ...]]:
    """For each of several folders the fewest last parts of its path that tell them apart; nothing for a single one."""
    if len(roots) == 1:
        return [()]
    parts = [root.resolve().parts for root in roots]
    for count in range(1, max(map(len, parts)) + 1):
        names = [p[-count:] for p in parts]
        if len(set(names)) == len(names):
            return names
    raise DataError("root names the same folder twice")
