"""Folders of 3DMM coefficients in the format of StyleTalk, SadTalker and PIRender: one MATLAB file per clip, with audio."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from emotalker.audio.io import load_audio
from emotalker.coefficients.bfm import read_bfm_mat
from emotalker.coefficients.resample import resample, resample_angles
from emotalker.coefficients.space import BFM, CoefficientSpace
from emotalker.core.emotions import emotion_of
from emotalker.core.suffixes import AUDIO_SUFFIXES
from emotalker.data.clip_ids import clip_id
from emotalker.data.readers.base import ClipData, ClipSource, CorpusReader

#: Flat names of MEAD clips: ``M030_front_angry_level3_001``.
MEAD_NAME = re.compile(r"([MW]\d{3})_[a-z]+(?:_\d+)?_([a-z]+)_level(\d)_(\d+)")


class BfmMatReader(CorpusReader):
    """Reads every ``.mat`` file below a folder, in the coefficient space ``bfm``.

    Audio is a file of the same name anywhere below the folder.

    Args:
        root: the folder.
        fps: of the coefficients; files with MEAD names are always at 25.
        source, licence: stored with the prepared corpus.
        options: of :class:`CorpusReader`.
    """

    name = "bfm_mat"
    source = "3DMM coefficients of the user"
    licence = ""
    space: CoefficientSpace = BFM

    def __init__(self, root: str | os.PathLike, fps: float = 25.0, source: str = source, licence: str = "", **options):
        super().__init__(root, **options)
        self.fps, self.source, self.licence = float(fps), source, licence

    def clips(self) -> list[ClipSource]:
        sounds = {p.stem: p for p in sorted(self.root.glob("**/*")) if p.suffix.lower() in AUDIO_SUFFIXES}
        clips = [self._clip(path, sounds.get(path.stem)) for path in sorted(self.root.glob("**/*.mat"))]
        return self.found(clips, "clip.mat with clip.wav")

    def _clip(self, path: Path, sound: Path | None) -> ClipSource:
        mead = MEAD_NAME.fullmatch(path.stem)
        return ClipSource(
            id=clip_id(str(path.relative_to(self.root).with_suffix(""))),
            speaker=mead[1] if mead else path.stem.partition("_")[0],
            emotion=emotion_of(mead[2]) if mead else None,
            original_emotion=mead[2] if mead else None,
            level=int(mead[3]) if mead else None,
            fps=25.0 if mead else self.fps,
            audio=sound,
            coefficients=path,
            licence=self.licence,
        )

    def load(self, clip: ClipSource) -> ClipData:
        found = read_bfm_mat(clip.coefficients)
        angles = resample_angles(found.angles, clip.fps, BFM.fps)
        motion = np.concatenate(
            [resample(found.expression, clip.fps, BFM.fps), angles, resample(found.translation, clip.fps, BFM.fps)], 1
        )
        audio = None if clip.audio is None else load_audio(clip.audio)
        return self.cut(motion, audio, np.isfinite(motion).all(1))
