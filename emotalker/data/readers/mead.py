"""MEAD (Wang et al. 2020) in its official layout (docs/method.md 6): videos ``M003/video/front/angry/level_3/001.mp4`` and
audio ``M003/audio/angry/level_3/001.m4a``."""

from __future__ import annotations

import os
import re

from emotalker.core.emotions import emotion_of
from emotalker.data.clip_ids import clip_id
from emotalker.data.readers.base import ClipSource
from emotalker.data.readers.tracked import VideoReader

SPEAKER = re.compile(r"[MW]\d{3}")


class MeadReader(VideoReader):
    """Reads the videos of all speakers from some of the seven cameras. Each speaker and camera is one session.

    Args:
        root: folder with one folder per speaker, such as ``M003``.
        views: cameras: ``front``, ``down``, ``left_30``, ``left_60``, ``right_30``, ``right_60``, ``top``.
        options: of :class:`VideoReader`.
    """

    name = "mead"
    source = "MEAD (Wang et al. 2020)"
    licence = "MEAD, research use"
    one_sitting = True

    def __init__(self, root: str | os.PathLike, views: tuple[str, ...] = ("front",), **options):
        super().__init__(root, **options)
        self.views = tuple(views)

    def session(self, clip: ClipSource) -> str:
        return f"{clip.speaker}_{clip.video.parts[-4]}"

    def clips(self) -> list[ClipSource]:
        clips = []
        for person in sorted(p for p in self.root.iterdir() if SPEAKER.fullmatch(p.name)):
            for view in self.views:
                for video in sorted((person / "video" / view).glob("*/level_*/*.mp4")):
                    emotion, level = video.parts[-3:-1]
                    sound = person / "audio" / emotion / level / f"{video.stem}.m4a"
                    clips.append(
                        ClipSource(
                            id=clip_id(f"{person.name}_{view}_{emotion}_{level.replace('_', '')}_{video.stem}"),
                            speaker=person.name,
                            emotion=emotion_of(emotion),
                            original_emotion=emotion,
                            level=int(level.removeprefix("level_")),
                            audio=sound if sound.exists() else None,
                            video=video,
                            licence=self.licence,
                        )
                    )
        return self.found(clips, "M003/video/front/angry/level_1/001.mp4")
