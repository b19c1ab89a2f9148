"""Prepared corpora: WebDataset shards with a manifest.

A corpus folder holds

- ``corpus.json``: coefficient space, rates, source, licence, speakers for validation and test;
- ``shard-00000.tar`` ...: per clip ``<id>.json`` (labels, quality), ``<id>.npz`` (``coefficients (T, D)`` float32, ``names``,
  ``fps``, ``space``, ``valid``, ``confidence``), ``<id>.flac`` (16 kHz mono, 640 samples a frame) where there is sound,
  ``<id>.jpg`` (the worst-tracked frame) where there is video. The
  `webdataset` package and plain ``tar`` read them;
- ``manifest.jsonl``: one line a clip: its json, its shard, and offset and size of each of its files, for random access;
- ``failures.jsonl``: clips left out, and why.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import av
import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.coefficients import CoefficientSpace, get_space
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.splits import SPLITS, Split, split_of_name, split_of_speaker

FORMAT = "emotalker-webdataset-1"
HEADER, MANIFEST, FAILURES = "corpus.json", "manifest.jsonl", "failures.jsonl"
UNLABELLED = -1
CACHE_BYTES = 512 * 2**20  # decoded sound kept per process


def encode_flac(samples: np.ndarray) -> bytes:
    """``(N,)`` floating-point samples at 16 kHz as 16-bit FLAC; the same samples give the same bytes."""
    buffer = io.BytesIO()
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    with av.open(buffer, "w", format="flac", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        stream.format = "s16"
        stream.codec_context.flags |= 1 << 23  # bit-exact: no encoder version
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
    """Inverse of :func:`encode_flac`: ``(N,)`` int16."""
    with av.open(io.BytesIO(data)) as container:
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(parts).astype(np.int16, copy=False)


def encode_arrays(**arrays: np.ndarray) -> bytes:
    """Arrays as an ``.npz``; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def write_tar(path: str | os.PathLike, members: Iterable[tuple[str, bytes]]) -> dict[str, tuple[int, int]]:
    """Write files into a tar, whole or not at all; the same files give the same bytes.

    Returns:
        per name offset and size of its bytes in the tar.
    """
    places = {}
    with replace_on_success(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            places[name] = (tar.offset + tarfile.BLOCKSIZE, len(data))
            tar.addfile(info, io.BytesIO(data))
    return places


def read_tar(path: str | os.PathLike) -> list[tuple[str, bytes]]:
    """All files of a tar in order."""
    with tarfile.open(path) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar if info.isfile()]


def write_lines(path: Path, entries: Iterable[dict]) -> None:
    """Write one JSON object a line, whole or not at all."""
    with replace_on_success(path) as temporary:
        temporary.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")


@dataclass(frozen=True)
class Clip:
    """One clip of a prepared corpus.

    Attributes:
        name: unique in its corpus.
        frames: T.
        speaker: who speaks.
        emotion, original_emotion: one of :data:`~emotalker.data.readers.base.EMOTIONS` and the corpus' own word, or None.
        level: intensity, 1 the weakest, or None.
        first_frame: where the clip starts in its source recording, in frames (the source's alignments count from there).
        has_audio: whether :attr:`audio` is there.
        quality: share of frames with a face, mean and least confidence.
    """

    name: str
    frames: int
    speaker: str
    emotion: str | None = None
    original_emotion: str | None = None
    level: int | None = None
    first_frame: int = 0
    has_audio: bool = True
    quality: dict = field(default_factory=dict, compare=False)
    files: dict = field(default_factory=dict, repr=False, compare=False)
    shard: str = field(default="", repr=False, compare=False)
    corpus: Corpus | None = field(default=None, repr=False, compare=False)

    @property
    def motion(self) -> np.ndarray:
        """``(T, D)`` float32 in the corpus' space."""
        return np.load(io.BytesIO(self.corpus.read(self, "npz")), allow_pickle=False)["coefficients"]

    @property
    def audio(self) -> np.ndarray:
        """``(640 T,)`` float32 in -1..1 at 16 kHz; DataError if the clip has no sound."""
        return self.corpus.samples(self).astype(np.float32) / 32768.0

    @property
    def label(self) -> int:
        """Index into :data:`~emotalker.data.readers.base.EMOTIONS`, or -1."""
        return EMOTIONS.index(self.emotion) if self.emotion in EMOTIONS else UNLABELLED

    @property
    def split(self) -> Split:
        """``train``, ``val`` or ``test``: by speaker where the corpus names speakers for that, else by the name's hash."""
        validation, test = (self.corpus.manifest[key] for key in ("validation_speakers", "test_speakers"))
        return split_of_speaker(self.speaker, validation, test) if validation or test else split_of_name(self.name)


class Corpus:
    """Random access to a prepared corpus. Shards stay where they are; what is asked for is read.

    Raises:
        DataError: the folder is not there, or was not prepared by ``scripts/prepare_data.py``.
    """

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)
        try:
            self.manifest = json.loads((self.root / HEADER).read_text(encoding="utf-8"))
            lines = (self.root / MANIFEST).read_text(encoding="utf-8").splitlines()
            entries = [json.loads(line) for line in lines]
        except OSError as error:
            raise DataError(f"no prepared corpus in {self.root}; write one with scripts/prepare_data.py") from error
        except ValueError as error:
            raise DataError(f"the manifest in {self.root} is damaged ({error}); prepare the corpus again") from error
        if self.manifest.get("format") != FORMAT:
            raise DataError(f"{self.root} holds {self.manifest.get('format')!r}, not {FORMAT!r}; prepare the corpus again")
        self.space: CoefficientSpace = get_space(self.manifest["space"])
        self.clips = [Clip(**{"name": entry.pop("id"), **_known(entry)}, corpus=self) for entry in entries]

    @cached_property
    def _open_files(self) -> dict[str, io.BufferedReader]:
        return {}

    @cached_property
    def _sound(self) -> OrderedDict[str, np.ndarray]:
        return OrderedDict()

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name not in ("_open_files", "_sound")}

    def read(self, clip: Clip, suffix: str) -> bytes:
        """The bytes of one of a clip's files; DataError if the clip has none of that suffix or the shard is damaged."""
        if suffix not in clip.files:
            raise DataError(f"{clip.name} in {self.root} has no .{suffix}; prepare the corpus with it")
        offset, size = clip.files[suffix]
        try:
            if clip.shard not in self._open_files:
                self._open_files[clip.shard] = open(self.root / clip.shard, "rb")  # noqa: SIM115
            handle = self._open_files[clip.shard].fileno()
            data = os.pread(handle, size, offset)
        except OSError as error:
            raise DataError(f"{self.root / clip.shard} cannot be read ({error}); prepare the corpus again") from error
        if len(data) != size:
            raise DataError(f"{self.root / clip.shard} is cut short; prepare the corpus again")
        return data

    def samples(self, clip: Clip) -> np.ndarray:
        """A clip's sound ``(640 T,)`` int16, decoded once and kept while memory allows."""
        if clip.name not in self._sound:
            self._sound[clip.name] = decode_flac(self.read(clip, "flac"))
            while sum(array.nbytes for array in self._sound.values()) > CACHE_BYTES:
                self._sound.popitem(last=False)
        self._sound.move_to_end(clip.name)
        return self._sound[clip.name]

    def split(self, name: str) -> list[Clip]:
        """The clips of ``train``, ``val`` or ``test``, in the manifest's order."""
        if name not in SPLITS:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {name!r}")
        return [clip for clip in self.clips if clip.split == name]


def _known(entry: dict) -> dict:
    return {name: value for name, value in entry.items() if name in Clip.__dataclass_fields__}


def load_clips(
    roots: str | os.PathLike | Sequence[str | os.PathLike], split: str, space: str | None = None, audio: bool = True
) -> list[Clip]:
    """The clips of one split over one or several corpora.

    Args:
        roots: folder or folders.
        split: ``train``, ``val`` or ``test``.
        space: the coefficient space they must be in; None takes the corpora's, which must agree.
        audio: leave out clips without sound.

    Raises:
        DataError: a corpus is missing, is in another space, or the split is empty.
    """
    roots = [roots] if isinstance(roots, (str, os.PathLike)) else list(roots)
    corpora = [Corpus(root) for root in roots]
    spaces = {corpus.space.name for corpus in corpora}
    if len(spaces) > 1:
        raise DataError(f"the corpora {', '.join(map(str, roots))} are in different coefficient spaces; train on one space")
    found = spaces.pop()
    if space is not None and found != space:
        raise DataError(
            f"{', '.join(map(str, roots))}: prepared in the space {found!r}, not {space!r}; train with space={found}"
        )
    clips = [clip for corpus in corpora for clip in corpus.split(split) if clip.has_audio or not audio]
    if not clips:
        raise DataError(f"{', '.join(map(str, roots))}: no clip falls into the {split!r} split; prepare more clips")
    return clips
