"""CREMA-D (Cao et al. 2014): 91 actors, six emotions. Videos ``VideoFlash/1001_IEO_ANG_HI.flv``, audio ``AudioWAV/*.wav``."""

from __future__ import annotations

import re

from emotalker.core.emotions import emotion_of
from emotalker.data.clip_ids import clip_id
from emotalker.data.readers.base import ClipSource
from emotalker.data.readers.tracked import VideoReader

NAME = re.compile(r"(\d{4})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX|X)")
#: Intensity by code; XX is unspecified.
LEVELS = {"LO": 1, "MD": 2, "HI": 3}


class CremaDReader(VideoReader):
    """Reads all videos, with the audio of the corpus' WAV files where they exist."""

    name = "cremad"
    source = "CREMA-D (Cao et al. 2014)"
    licence = "ODbL 1.0 (database), DbCL 1.0 (contents)"
    one_sitting = True

    def clips(self) -> list[ClipSource]:
        clips = []
        for video in sorted(p for p in self.root.glob("Video*/*") if p.suffix.lower() in (".flv", ".mp4")):
            match = NAME.fullmatch(video.stem)
            if match is None:
                continue
            sound = self.root / "AudioWAV" / f"{video.stem}.wav"
            clips.append(
                ClipSource(
                    id=clip_id(video.stem),
                    speaker=match[1],
                    emotion=emotion_of(match[3]),
                    original_emotion=match[3],
                    level=LEVELS.get(match[4]),
                    audio=sound if sound.exists() else None,
                    video=video,
                    licence=self.licence,
                )
            )
        return self.found(clips, "VideoFlash/1001_IEO_ANG_HI.flv")
