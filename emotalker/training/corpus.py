"""Prepared corpora: clips of speech with the motion of the face that spoke it, in one folder a reader needs nothing else for.

A corpus folder holds ``corpus.json`` (format, space, rates, source, licence, and one entry a clip) and ``clips.safetensors``
(per clip ``motion/<name>`` ``(T, D)`` float32 and ``audio/<name>`` ``(640 T,)`` int16). Tensors are read on demand.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from emotalker.coefficients import CoefficientSpace, get_space
from emotalker.errors import DataError
from emotalker.files import replace_on_success

FORMAT = "emotalker-corpus-1"
MANIFEST = "corpus.json"
TENSORS = "clips.safetensors"
SAMPLE_RATE = 16000
HELD_OUT_SHARE = 0.1

#: The eight emotions of MEAD (SPEC 6), in the order of the VQ-VAE's emotion head.
EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
UNLABELLED = -1


def is_held_out(name: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a clip is kept for validation and evaluation: a fixed hash of its name, so that nothing has to be stored."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


@dataclass(frozen=True)
class Clip:
    """One clip of a corpus.

    Attributes:
        name: unique in its corpus; decides the split.
        frames: T, motion frames; the audio has 640 T samples.
        emotion: one of :data:`EMOTIONS`, or None where unknown.
        first_frame: where the clip starts in its source recording, in frames (the source's alignments count from there).
    """

    name: str
    frames: int
    emotion: str | None = None
    first_frame: int = 0
    corpus: Corpus | None = field(default=None, repr=False, compare=False)

    @property
    def motion(self) -> np.ndarray:
        """``(T, D)`` float32 in the corpus' space."""
        return self.corpus.tensor(f"motion/{self.name}")

    @property
    def audio(self) -> np.ndarray:
        """``(640 T,)`` float32 in -1..1 at 16 kHz."""
        return self.corpus.tensor(f"audio/{self.name}").astype(np.float32) / 32768.0

    @property
    def label(self) -> int:
        """Index into :data:`EMOTIONS`, or -1."""
        return EMOTIONS.index(self.emotion) if self.emotion in EMOTIONS else UNLABELLED


class Corpus:
    """Reader of a prepared corpus.

    Raises:
        DataError: the folder is not there, or was not written by :class:`CorpusWriter`.
    """

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)
        try:
            manifest = json.loads((self.root / MANIFEST).read_text())
        except OSError as error:
            raise DataError(f"no prepared corpus in {self.root}; write one with scripts/prepare_grid.py") from error
        except ValueError as error:
            raise DataError(f"{self.root / MANIFEST} is damaged ({error}); prepare the corpus again") from error
        if manifest.get("format") != FORMAT:
            raise DataError(f"{self.root} holds {manifest.get('format')!r}, not {FORMAT!r}; prepare the corpus again")
        self.manifest = manifest
        self.space: CoefficientSpace = get_space(manifest["space"])
        self.clips = [Clip(**entry, corpus=self) for entry in manifest["clips"]]

    @cached_property
    def _tensors(self):
        try:
            return safe_open(self.root / TENSORS, framework="numpy")
        except (OSError, SafetensorError) as error:
            raise DataError(f"{self.root / TENSORS} cannot be read ({error}); prepare the corpus again") from error

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_tensors"}  # the mapping is per process

    def tensor(self, name: str) -> np.ndarray:
        """One stored array; DataError if the file lacks it."""
        try:
            return self._tensors.get_tensor(name)
        except SafetensorError as error:
            raise DataError(f"{self.root / TENSORS} lacks {name}; prepare the corpus again") from error

    def split(self, name: str) -> list[Clip]:
        """The clips of ``"train"`` or ``"val"``, in the manifest's order."""
        if name not in ("train", "val"):
            raise ValueError(f"a split is 'train' or 'val', not {name!r}")
        return [clip for clip in self.clips if is_held_out(clip.name) == (name == "val")]


class CorpusWriter:
    """Collects clips and writes a corpus folder.

    Args:
        root: the folder; made if missing.
        space: layout of the motion.
        source, licence: where the data comes from and what may be done with it; kept in the manifest.
        notes: anything else worth keeping beside the data (calibration, counts), JSON-serialisable.
    """

    def __init__(
        self, root: str | os.PathLike, space: CoefficientSpace, source: str, licence: str, notes: dict | None = None
    ):
        self.root = Path(root)
        self.space = space
        self.header = {"format": FORMAT, "space": space.name, "fps": space.fps, "sample_rate": SAMPLE_RATE}
        self.header |= {"source": source, "licence": licence, "notes": notes or {}}
        self._entries: list[dict] = []
        self._arrays: dict[str, np.ndarray] = {}

    def add(self, name: str, motion: np.ndarray, audio: np.ndarray, emotion: str | None = None, first_frame: int = 0) -> None:
        """Take one clip: motion ``(T, D)``, audio ``(N,)`` float in -1..1, cut or padded with silence to 640 T samples."""
        if motion.shape != (len(motion), self.space.dim) or not np.isfinite(motion).all():
            raise ValueError(f"clip {name}: motion must be finite (T, {self.space.dim}), not {motion.shape}")
        samples = len(motion) * SAMPLE_RATE // self.space.fps
        audio = np.pad(audio[:samples], (0, max(0, samples - len(audio))))
        self._arrays[f"motion/{name}"] = np.ascontiguousarray(motion, dtype=np.float32)
        self._arrays[f"audio/{name}"] = np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
        self._entries.append({"name": name, "frames": len(motion), "emotion": emotion, "first_frame": first_frame})

    def close(self) -> Corpus:
        """Write the folder and open it; OutputError if that cannot be done."""
        with replace_on_success(self.root / TENSORS) as temporary:
            save_file(self._arrays, temporary)
        with replace_on_success(self.root / MANIFEST) as temporary:
            temporary.write_text(json.dumps(self.header | {"clips": self._entries}, indent=1))
        return Corpus(self.root)


def load_clips(roots: str | os.PathLike | Sequence[str | os.PathLike], split: str) -> list[Clip]:
    """The clips of one split over one or several corpora of the same space.

    Raises:
        DataError: a corpus is missing, the spaces differ, or the split is empty.
    """
    roots = [roots] if isinstance(roots, (str, os.PathLike)) else list(roots)
    corpora = [Corpus(root) for root in roots]
    if len({corpus.space.name for corpus in corpora}) > 1:
        raise DataError(f"the corpora {', '.join(map(str, roots))} are in different coefficient spaces; train on one space")
    clips = [clip for corpus in corpora for clip in corpus.split(split)]
    if not clips:
        raise DataError(f"{', '.join(map(str, roots))}: no clip falls into the {split!r} split; prepare more clips")
    return clips
