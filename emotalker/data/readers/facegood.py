"""Voice2Face takes of FACEGOOD: weights of its face rig at 30 fps, with a table that maps them to ARKit blendshapes."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import numpy as np

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.resample import resample
from emotalker.core.arrays import open_arrays
from emotalker.core.errors import DataError
from emotalker.core.suffixes import AUDIO_SUFFIXES
from emotalker.data.clip_ids import clip_id
from emotalker.data.readers.base import ClipData, ClipSource, CorpusReader

FPS = 30.0
MAXIMUM = re.compile(r"max\((.+)\)")


def read_arkit_map(path: str | os.PathLike) -> dict[str, list[str]]:
    """Names of the rig's weights for each animated ARKit blendshape; the blendshape is the maximum of these weights.

    Raises:
        DataError: the table is missing or contains no ARKit blendshape.
    """
    by_lower = {name.lower(): name for name in ARKIT_BLENDSHAPES}  # the table has spellings such as browDownleft
    table = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file):
                if len(row) >= 3 and row[2].strip().lower() == "valid" and row[0].strip().lower() in by_lower:
                    several = MAXIMUM.fullmatch(row[1].strip())
                    names = several[1].split(",") if several else [row[1]]
                    table[by_lower[row[0].strip().lower()]] = [name.strip() for name in names]
    except OSError as error:
        raise DataError(
            f"no table of blendshapes {path} ({error.strerror}); give the folder with arkit_map.csv as root="
        ) from error
    if not table:
        raise DataError(f"{path} contains none of ARKit's blendshapes")
    return table


class FacegoodReader(CorpusReader):
    """Reads takes ``2_01.npz`` (``weights (T, W)``, ``names``, ``fps``) with audio of the same name, and ``arkit_map.csv``.

    Only mouth and jaw are animated; eyes, brows and pose are zero.
    """

    name = "facegood"
    source = "FACEGOOD Audio2Face, Voice2Face takes"
    licence = "MIT"

    def clips(self) -> list[ClipSource]:
        clips = []
        for path in sorted(self.root.glob("*.npz")):
            sound = next((p for s in AUDIO_SUFFIXES if (p := path.with_suffix(s)).exists()), None)
            if sound:
                clips.append(
                    ClipSource(clip_id(path.stem), "facegood", fps=FPS, audio=sound, coefficients=path, licence=self.licence)
                )
        return self.found(clips, "arkit_map.csv, 2_01.npz and 2_01.flac")

    def load(self, clip: ClipSource) -> ClipData:
        table = read_arkit_map(self.root / "arkit_map.csv")
        blendshapes, fps = read_weights(clip.coefficients, table)
        motion = np.zeros((len(blendshapes), ARKIT.dim), np.float32)
        motion[:, ARKIT.expression] = blendshapes
        motion = resample(motion, fps, ARKIT.fps)
        motion[:, ARKIT.expression] = motion[:, ARKIT.expression].clip(0, 1)
        audio = load_audio(clip.audio)
        frames = min(len(motion), len(audio) * ARKIT.fps // 16000)
        return self.cut(motion[:frames], audio, np.ones(frames, bool))


def read_weights(path: Path, table: dict[str, list[str]]) -> tuple[np.ndarray, float]:
    """Blendshapes ``(T, 52)`` of a take and its frame rate; DataError if it is damaged or lacks a weight of ``table``."""
    with open_arrays(path, "{path} is not a take of FACEGOOD ({reason})") as file:
        weights, names = file["weights"].astype(np.float32), [str(n) for n in file["names"]]
        fps = float(file["fps"]) if "fps" in file else FPS
        blendshapes = np.zeros((len(weights), len(ARKIT_BLENDSHAPES)), np.float32)
        for blendshape, sources in table.items():
            blendshapes[:, ARKIT.index(blendshape)] = weights[:, [names.index(s) for s in sources]].max(1)
    return blendshapes, fps
