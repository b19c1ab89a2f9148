"""Folders of face videos: who is in each, and the split it belongs to (docs/method.md 6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.core.errors import DataError
from emotalker.core.splits import TEST_SPEAKERS, VALIDATION_SPEAKERS, Split, split_of_name, split_of_speaker
from emotalker.core.suffixes import VIDEO_SUFFIXES


@dataclass(frozen=True)
class VideoCorpus:
    """A folder of videos.

    Attributes:
        name: of the corpus.
        folder: below the data's root.
        person: regular expression of file names without suffix, whose first group is the person.
        source, licence: of the videos.
        validation, test: people of these splits; both empty for a split by clip name.
    """

    name: str
    folder: str
    person: str
    source: str
    licence: str
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def split(self, stem: str, person: str) -> Split:
        """The split of a video."""
        if self.test:
            return split_of_speaker(person, self.validation, self.test)
        return split_of_name(stem)


CORPORA = (
    VideoCorpus(
        "javanese", "javanese", r"(\d\d)-\d\d-\d\d_\d\d", "Javanese emotional speech, videos", "research use",
        VALIDATION_SPEAKERS["javanese"], TEST_SPEAKERS["javanese"],
    ),
    VideoCorpus("grid", "grid_s1/video", r"()\w{6}", "GRID audiovisual sentence corpus (Cooke et al. 2006)", "CC BY 4.0"),
    VideoCorpus("mead", "mead_style", r"([MW]\d{3})_.*", "MEAD style clips", "research use", test=("W009",)),
    VideoCorpus(
        "styletalk", "styletalk/video", r"([A-Za-z]+)_?.*", "StyleTalk's talkers", "research use",
        test=("feifeili", "reagan"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class FaceVideo:
    """A video of one person in one of the :data:`CORPORA`."""

    path: Path
    person: str
    corpus: VideoCorpus

    @property
    def split(self) -> Split:
        """``train``, ``val`` or ``test``."""
        return self.corpus.split(self.path.stem, self.person)


def find_face_videos(root: Path, split: Split | None = None) -> list[FaceVideo]:
    """All videos of the corpora that are below ``root``, sorted, of one split or of all.

    Raises:
        DataError: there is none.
    """
    found = []
    for corpus in CORPORA:
        folder = root / corpus.folder
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            match = re.fullmatch(corpus.person, path.stem)
            if path.suffix.lower() in VIDEO_SUFFIXES and match:
                found.append(FaceVideo(path, match[1] or corpus.name, corpus))
    found = [video for video in found if split in (None, video.split)]
    if not found:
        folders = ", ".join(corpus.folder for corpus in CORPORA)
        raise DataError(f"{root} has no {split or ''} videos in any of {folders}; give the folder that contains them")
    return found


def evenly(videos: Sequence[FaceVideo], limit: int) -> list[FaceVideo]:
    """At most ``limit`` videos of each corpus, evenly spaced among them."""
    corpora: dict[str, list[FaceVideo]] = {}
    for video in videos:
        corpora.setdefault(video.corpus.name, []).append(video)
    return [
        clips[i]
        for clips in corpora.values()
        for i in np.unique(np.linspace(0, len(clips) - 1, min(limit, len(clips))).round().astype(int))
    ]
