"""HDTF (Zhang et al. 2021) and corpora cut like it: one video a clip, ``RD_Radio1_000.mp4``, named after its talk."""

from __future__ import annotations

import re

from emotalker.data.readers.base import VIDEO_SUFFIXES, ClipSource
from emotalker.data.readers.tracked import VideoReader

#: Talks are cut into numbered clips; what comes before the number is one speaker.
CUT = re.compile(r"(.+?)(?:_(\d+))?")


class HdtfReader(VideoReader):
    """Videos at any depth; the talk, a file's name without its number, stands for the speaker. No emotion is labelled."""

    name = "hdtf"
    source = "HDTF (Zhang et al. 2021)"
    licence = "CC BY 4.0 (annotations); the videos belong to their makers, research use"

    def clips(self) -> list[ClipSource]:
        videos = sorted(p for p in self.root.glob("**/*") if p.suffix.lower() in VIDEO_SUFFIXES)
        clips = [
            ClipSource(
                id=re.sub(r"[^\w-]", "_", str(video.relative_to(self.root).with_suffix(""))),
                speaker=CUT.fullmatch(video.stem)[1],
                video=video,
                licence=self.licence,
            )
            for video in videos
        ]
        return self.found(clips, "RD_Radio1_000.mp4")
