"""Prepared corpora: WebDataset shards with a manifest.

A corpus folder contains

- ``corpus.json``: coefficient space, rates, source, licence, speakers of the validation and test splits;
- ``shard-00000.tar`` ...: per clip ``<id>.json`` (labels, quality), ``<id>.npz`` (``coefficients (T, D)`` float32, ``names``,
  ``fps``, ``space``, ``valid``, ``confidence``), ``<id>.flac`` (16 kHz mono, 640 samples per frame) if it has sound, and
  ``<id>.jpg`` (the worst-tracked frame) if it has video. The ``webdataset`` package and ``tar`` can read the shards;
- ``manifest.jsonl``: one line per clip with its json, its shard, and offset and size of each of its files;
- ``failures.jsonl``: clips left out, with the reason.
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
from emotalker.coefficients.space import SPACES
from emotalker.core.arrays import open_arrays
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.splits import SPLITS, Split, split_of_name, split_of_speaker
from emotalker.data.clip_ids import check_clip_id, check_shard_name

FORMAT = "emotalker-webdataset-1"
HEADER, MANIFEST, FAILURES = "corpus.json", "manifest.jsonl", "failures.jsonl"
UNLABELLED = -1
CACHE_BYTES = 512 * 2**20  # decoded audio kept per process


def encode_flac(samples: np.ndarray) -> bytes:
    """Encode ``(N,)`` float samples at 16 kHz as 16-bit FLAC; deterministic."""
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
    """Encode arrays as a compressed ``.npz``; deterministic."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def write_tar(path: str | os.PathLike, members: Iterable[tuple[str, bytes]]) -> dict[str, tuple[int, int]]:
    """Write a tar atomically and deterministically.

    Args:
        path: of the tar.
        members: names and contents of its files.

    Returns:
        offset and size in bytes of each file's contents, by name.
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
    """Names and contents of all files of a tar, in order; DataError if it is damaged."""
    try:
        with tarfile.open(path, "r:") as tar:
            return [(info.name, tar.extractfile(info).read()) for info in tar if info.isfile()]
    except (OSError, ValueError, tarfile.TarError) as error:
        raise DataError(f"{path} is damaged ({error}); prepare the corpus again") from error


def write_lines(path: Path, entries: Iterable[dict]) -> None:
    """Write a JSON Lines file atomically."""
    with replace_on_success(path) as temporary:
        temporary.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")


@dataclass(frozen=True)
class Clip:
    """One clip of a prepared corpus.

    Attributes:
        name: its id, unique in the corpus.
        frames: T, the number of frames.
        speaker: name of the speaker.
        emotion: one of :data:`~emotalker.core.emotions.EMOTIONS`, or None.
        original_emotion: the corpus' own label, or None.
        level: intensity from 1, the weakest, or None.
        first_frame: start of the clip in its source recording, in frames.
        has_audio: whether the clip has :attr:`audio`.
        quality: ``found`` (fraction of frames with a face), ``confidence`` (mean) and ``least_confidence``.
        files: offset and size of each file in the shard, by suffix.
        shard: file name of the tar.
        corpus: the corpus that contains the clip.
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
        """Motion ``(T, D)`` float32 in the corpus' coefficient space."""
        name = f"{self.name}.npz in {self.corpus.root / self.shard}"
        with open_arrays(
            self.corpus.read(self, "npz"), "{path} is damaged ({reason}); prepare the corpus again", name
        ) as file:
            motion = file["coefficients"].astype(np.float32, copy=False)
        if motion.shape != (self.frames, self.corpus.space.dim) or not np.isfinite(motion).all():
            raise DataError(f"the motion in {name} is damaged; prepare the corpus again")
        return motion

    @property
    def audio(self) -> np.ndarray:
        """Audio ``(640 T,)`` float32 in -1..1 at 16 kHz; DataError if the clip has none."""
        return self.corpus.samples(self).astype(np.float32) / 32768.0

    @property
    def label(self) -> int:
        """Index into :data:`~emotalker.core.emotions.EMOTIONS`, or -1."""
        return EMOTIONS.index(self.emotion) if self.emotion in EMOTIONS else UNLABELLED

    @property
    def split(self) -> Split:
        """``train``, ``val`` or ``test``: by speaker if the corpus defines validation or test speakers, else by name."""
        validation, test = (self.corpus.manifest[key] for key in ("validation_speakers", "test_speakers"))
        return split_of_speaker(self.speaker, validation, test) if validation or test else split_of_name(self.name)


class Corpus:
    """Random access to a prepared corpus, without unpacking its shards.

    Args:
        root: its folder.

    Attributes:
        manifest: the contents of ``corpus.json``.
        space: coefficient space of the motion.
        clips: all clips in the manifest's order.

    Raises:
        DataError: the folder is not a corpus prepared by ``scripts/prepare_data.py``, or its manifest is damaged.
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
        found = self.manifest.get("format") if isinstance(self.manifest, dict) else None
        if found != FORMAT:
            raise DataError(f"{self.root} has the format {found!r}, not {FORMAT!r}; prepare the corpus again")
        speakers = [self.manifest.get(key) for key in ("validation_speakers", "test_speakers")]
        valid = all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in speakers)
        if not valid or str(self.manifest.get("space")) not in SPACES:
            raise DataError(f"{self.root / HEADER} is damaged; prepare the corpus again")
        self.space: CoefficientSpace = get_space(str(self.manifest["space"]))
        self.clips = [self._clip(entry) for entry in entries]

    def _clip(self, entry: object) -> Clip:
        """A clip from its line of the manifest; DataError if it is damaged, or names files outside the corpus."""
        where = self.root / MANIFEST
        try:
            check_shard_name(entry["shard"], where)
            clip = Clip(name=check_clip_id(entry["id"], where), **_known(entry), corpus=self)
            valid = (
                isinstance(clip.frames, int)
                and isinstance(clip.speaker, str)
                and isinstance(clip.emotion, str | None)
                and isinstance(clip.quality, dict)
                and all(_is_place(place) for place in clip.files.values())
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(f"{where} is damaged ({error!r}); prepare the corpus again") from error
        if not valid:
            raise DataError(f"{where} is damaged at the clip {clip.name}; prepare the corpus again")
        return clip

    @cached_property
    def _open_files(self) -> dict[str, io.BufferedReader]:
        return {}

    @cached_property
    def _sound(self) -> OrderedDict[str, np.ndarray]:
        return OrderedDict()

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name not in ("_open_files", "_sound")}

    def read(self, clip: Clip, suffix: str) -> bytes:
        """Contents of a clip's file with a suffix; DataError if there is no such file or the shard is damaged."""
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
            raise DataError(f"{self.root / clip.shard} is truncated; prepare the corpus again")
        return data

    def samples(self, clip: Clip) -> np.ndarray:
        """A clip's audio ``(640 T,)`` int16, cached up to CACHE_BYTES; DataError if it has none."""
        if clip.name not in self._sound:
            try:
                self._sound[clip.name] = decode_flac(self.read(clip, "flac"))
            except (av.error.FFmpegError, ValueError, IndexError) as error:
                where = self.root / clip.shard
                raise DataError(f"the sound of {clip.name} in {where} is damaged; prepare the corpus again") from error
            while sum(array.nbytes for array in self._sound.values()) > CACHE_BYTES:
                self._sound.popitem(last=False)
        self._sound.move_to_end(clip.name)
        return self._sound[clip.name]

    def split(self, name: str) -> list[Clip]:
        """The clips of ``train``, ``val`` or ``test`` in the manifest's order; ValueError for another name."""
        if name not in SPLITS:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {name!r}")
        return [clip for clip in self.clips if clip.split == name]


def _is_place(place: object) -> bool:
    """Whether this is an offset and a size in bytes."""
    return isinstance(place, list) and len(place) == 2 and all(isinstance(x, int) and 0 <= x < 1 << 40 for x in place)


def _known(entry: dict) -> dict:
    return {
        name: value for name, value in entry.items() if name in Clip.__dataclass_fields__ and name not in ("name", "corpus")
    }


def load_clips(
    roots: str | os.PathLike | Sequence[str | os.PathLike], split: str, space: str | None = None, audio: bool = True
) -> list[Clip]:
    """The clips of one split of one or several corpora.

    Args:
        roots: folder or folders of prepared corpora, all in one coefficient space.
        split: ``train``, ``val`` or ``test``.
        space: the expected coefficient space, or None for any.
        audio: leave out clips without audio.

    Raises:
        DataError: a corpus is missing or in another space, or the split is empty.
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
        raise DataError(f"{', '.join(map(str, roots))}: there is no clip in the {split!r} split; prepare more clips")
    return clips
