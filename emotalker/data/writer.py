"""Writing of prepared corpora in the format of :mod:`emotalker.data.shards`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.coefficients import CoefficientSpace
from emotalker.core.files import replace_on_success
from emotalker.data.readers.base import ClipData, fit_length
from emotalker.data.shards import (
    FAILURES,
    FORMAT,
    HEADER,
    MANIFEST,
    Corpus,
    encode_arrays,
    encode_flac,
    write_lines,
    write_tar,
)


def header(
    space: CoefficientSpace,
    source: str,
    licence: str,
    validation_speakers: Sequence[str] = (),
    test_speakers: Sequence[str] = (),
    **more,
) -> dict:
    """Contents of ``corpus.json``; ``more`` are additional entries."""
    return {
        "format": FORMAT, "space": space.name, "fps": space.fps, "sample_rate": SAMPLE_RATE, "source": source,
        "licence": licence, "validation_speakers": list(validation_speakers),
        "test_speakers": list(test_speakers), **more,
    }  # fmt: skip


def clip_files(labels: dict, data: ClipData, space: CoefficientSpace) -> dict[str, bytes]:
    """Contents of a clip's json, npz and, if it has audio, flac, by suffix.

    Args:
        labels: ``id``, ``speaker`` and optional labels of :class:`~emotalker.data.shards.Clip`.
        data: motion and audio.
        space: coefficient space of the motion.
    """
    arrays = {
        "coefficients": data.motion, "names": np.array(space.names), "fps": np.array(space.fps),
        "space": np.array(space.name), "valid": data.valid, "confidence": data.confidence,
    }  # fmt: skip
    quality = {
        "found": round(float(data.valid.mean()), 4), "confidence": round(float(data.confidence.mean()), 4),
        "least_confidence": round(float(data.confidence.min()), 4),
    }  # fmt: skip
    facts = {
        **labels, "frames": len(data.motion), "space": space.name, "sample_rate": SAMPLE_RATE,
        "first_frame": data.first_frame, "has_audio": data.audio is not None, "quality": quality,
    }  # fmt: skip
    files = {"json": json.dumps(facts, ensure_ascii=False).encode(), "npz": encode_arrays(**arrays)}
    if data.audio is not None:
        files["flac"] = encode_flac(data.audio)
    return files


def write_shard(root: Path, name: str, clips: Sequence[Sequence[tuple[str, bytes]]], failures: Iterable[dict] = ()) -> None:
    """Write a shard and its ``.jsonl``, which is written last and marks the shard as complete.

    Args:
        root: folder of the corpus.
        name: of the shard, without suffix.
        clips: names and contents of each clip's files, the json first.
        failures: ``id`` and ``reason`` of clips left out.
    """
    places = write_tar(root / f"{name}.tar", [file for files in clips for file in files])
    entries = []
    for files in clips:
        entry = json.loads(files[0][1])
        where = {file.removeprefix(entry["id"] + "."): places[file] for file, _ in files}
        entries.append(entry | {"shard": f"{name}.tar", "files": where})
    write_lines(root / f"{name}.jsonl", [*entries, *({"failed": failure} for failure in failures)])


def join_shards(root: Path, names: Iterable[str]) -> tuple[int, int]:
    """Write the manifest and the failures of the complete shards; returns the numbers of clips and of failures."""
    entries, failures = [], []
    for path in (root / f"{name}.jsonl" for name in names):
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                if "failed" in entry:
                    failures.append(entry["failed"])
                else:
                    entries.append(entry)
    write_lines(root / MANIFEST, entries)
    write_lines(root / FAILURES, failures)
    return len(entries), len(failures)


class CorpusWriter:
    """Writes a corpus from arrays in memory, one shard at a time.

    Args:
        root: the folder; created if missing.
        space: coefficient space of the motion.
        source, licence: of the data.
        clips_per_shard: clips in a shard.
    """

    def __init__(
        self, root: str | os.PathLike, space: CoefficientSpace, source: str, licence: str, clips_per_shard: int = 500
    ):
        self.root, self.space, self.clips_per_shard = Path(root), space, clips_per_shard
        self._header = header(space, source, licence)
        self._shards: list[str] = []
        self._clips: list[list[tuple[str, bytes]]] = []

    def add(self, name: str, motion: np.ndarray, audio: np.ndarray | None, speaker: str = "unknown", **labels) -> None:
        """Add one clip.

        Args:
            name: its id.
            motion: ``(T, D)``, finite.
            audio: ``(N,)`` float in -1..1 at 16 kHz, cut or zero-padded to the motion's length; None without audio.
            speaker: name of the speaker.
            labels: ``emotion``, ``original_emotion``, ``level``, ``first_frame``.

        Raises:
            ValueError: the motion has a wrong shape or is not finite.
            OutputError: a shard cannot be written.
        """
        if motion.shape != (len(motion), self.space.dim):
            raise ValueError(f"clip {name}: motion must be finite (T, {self.space.dim}), not {motion.shape}")
        samples = len(motion) * SAMPLE_RATE // self.space.fps
        sound = None if audio is None else fit_length(np.asarray(audio, np.float32), samples)
        data = ClipData(motion, sound, first_frame=labels.pop("first_frame", 0))
        files = clip_files({"id": name, "speaker": speaker, **labels}, data, self.space)
        self._clips.append([(f"{name}.{suffix}", content) for suffix, content in files.items()])
        if len(self._clips) == self.clips_per_shard:
            self._write()

    def close(self) -> Corpus:
        """Write the remaining clips and the manifest, and return the corpus; OutputError if that fails."""
        if self._clips:
            self._write()
        with replace_on_success(self.root / HEADER) as temporary:
            temporary.write_text(json.dumps(self._header, indent=1, ensure_ascii=False), encoding="utf-8")
        join_shards(self.root, self._shards)
        return Corpus(self.root)

    def _write(self) -> None:
        self._shards.append(f"shard-{len(self._shards):05d}")
        write_shard(self.root, self._shards[-1], self._clips)
        self._clips = []
