"""HDTF (Zhang et al. 2021) and corpora with its layout: one video per clip, ``RD_Radio1_000.mp4``, named after its talk."""

from __future__ import annotations

import re

from emotalker.core.suffixes import VIDEO_SUFFIXES
from emotalker.data.clip_ids import clip_id
from emotalker.data.readers.base import ClipSource
from emotalker.data.readers.tracked import VideoReader

#: Name of a talk, which stands for the speaker, and number of the clip.
NAME = re.compile(r"(.+?)(?:_(\d+))?")


class HdtfReader(VideoReader):
    """Reads videos at any depth. The speaker is the file name without the clip's number. Clips have no emotion labels."""

    name = "hdtf"
    source = "HDTF (Zhang et al. 2021)"
    licence = "CC BY 4.0 (annotations); the videos belong to their makers, research use"

    def clips(self) -> list[ClipSource]:
        videos = sorted(p for p in self.root.glob("**/*") if p.suffix.lower() in VIDEO_SUFFIXES)
        clips = [
            ClipSource(
                id=clip_id(str(video.relative_to(self.root).with_suffix(""))),
                speaker=NAME.fullmatch(video.stem)[1],
                video=video,
                licence=self.licence,
            )
            for video in videos
        ]
        return self.found(clips, "RD_Radio1_000.mp4")
