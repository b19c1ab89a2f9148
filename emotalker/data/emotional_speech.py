"""Speech with emotion labels, for the emotion recogniser: corpora labelled by file name or by an index, and plain speech."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.core.emotions import EMOTIONS, RAVDESS_EMOTIONS, emotion_of
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.splits import TEST_SPEAKERS, VALIDATION_SPEAKERS, Split, split_of_name, split_of_speaker
from emotalker.data.recordings import CORPORA, emotion_level, label, speech_span

FORMAT = "emotalker-emotional-speech-2"
#: Index of corpora without labels in their file names, below the root folder: one row a recording, with at least the columns
#: file, corpus, speaker and emotion.
INDEX = "emotional_speech/index.csv"


@dataclass(frozen=True)
class IndexedCorpus:
    """A corpus of :data:`INDEX`: source and licence, which weights inherit."""

    source: str
    licence: str


#: Corpora of the index by the name in its column ``corpus``.
INDEXED = {
    "savee": IndexedCorpus("SAVEE (Haq and Jackson 2009)", "research use"),
    "nemo": IndexedCorpus("nEMO (Christop 2024)", "CC BY-NC-SA 4.0"),
    "ased": IndexedCorpus("ASED (Retta et al. 2023)", "research use (no licence stated)"),
    "banglaser_ext": IndexedCorpus("BanglaSER, extension (Das et al. 2022)", "research use (no licence stated)"),
}
#: Corpora in which people speak without acting an emotion. Their recordings count as neutral.
PLAIN = ("grid", "facegood", "styletalk")
#: Of plain speech, about this many pieces of a corpus are used: more of one voice teach nothing new.
PLAIN_CLIPS = 250
#: Corpora with emotions, all of which the recogniser is trained on; each is left out in turn to measure it.
ACTED = ("ravdess", "javanese", *INDEXED)


@dataclass(frozen=True)
class EmotionClip:
    """A recording with an emotion.

    Attributes:
        corpus: one of :data:`ACTED` or :data:`PLAIN`.
        speaker: name that the corpus gives the speaker; in plain speech the recording's name.
        emotion: index into :data:`~emotalker.core.emotions.EMOTIONS`.
        label: the corpus' own name of the emotion.
        samples: ``(N,)`` int16 at 16 kHz.
        speech: start and end of the speech in samples.
        level: strength of the emotion, 1 normal or 2 strong (RAVDESS); 0 unknown.
    """

    corpus: str
    speaker: str
    emotion: int
    label: str
    samples: np.ndarray
    speech: tuple[int, int]
    level: int = 0

    @property
    def split(self) -> Split:
        """By speaker; by recording in plain speech. Corpora without test speakers are measured by leaving them out."""
        if self.corpus in PLAIN:
            return split_of_name(self.speaker)
        return split_of_speaker(self.speaker, VALIDATION_SPEAKERS.get(self.corpus, ()), TEST_SPEAKERS.get(self.corpus, ()))


@dataclass(frozen=True)
class _Source:
    """Where a clip comes from, before it is decoded: fields of :class:`EmotionClip`, and the file."""

    corpus: str
    speaker: str
    label: str
    path: str
    level: int = 0


def load_emotion_clips(
    root: str | os.PathLike, corpora: Sequence[str], cache: str | os.PathLike, plain_seconds: float = 4.0
) -> list[EmotionClip]:
    """All recordings of some corpora, decoded once and cached.

    Args:
        root: folder of the corpora.
        corpora: names in :data:`ACTED` or :data:`PLAIN`.
        cache: folder for one file per corpus.
        plain_seconds: plain speech is cut into pieces of about this length.

    Raises:
        DataError: a corpus is unknown or missing, its index is not complete, or its cache is damaged.
        AudioError: a recording cannot be decoded.
    """
    clips: list[EmotionClip] = []
    for corpus in corpora:
        if corpus not in (*ACTED, *PLAIN):
            raise DataError(f"there is no emotional speech {corpus!r}; choose among {', '.join((*ACTED, *PLAIN))}")
        file = Path(cache) / f"{corpus}.safetensors"
        if not file.exists():
            _write_cache(file, _sources(Path(root), corpus), corpus)
        found = _read_cache(file)
        if corpus in PLAIN:
            found = [piece for clip in found for piece in _pieces(clip, plain_seconds)]
            found = found[:: max(1, len(found) // PLAIN_CLIPS)]
        clips += found
    return clips


def licences(corpora: Sequence[str]) -> list[dict[str, str]]:
    """Source and licence of each corpus."""
    return [{key: asdict(({**CORPORA, **INDEXED})[name])[key] for key in ("source", "licence")} for name in corpora]


def _sources(root: Path, corpus: str) -> list[_Source]:
    """The files of a corpus with speaker and label; DataError if there is none."""
    if corpus in INDEXED:
        return _indexed(root, corpus)
    paths = sorted(root.glob(CORPORA[corpus].files))
    if not paths:
        raise DataError(f"no recordings at {root / CORPORA[corpus].files}; correct data.root or data.corpora")
    if corpus in PLAIN:
        return [_Source(corpus, path.stem, "neutral", str(path)) for path in paths]
    named = [(path, *label(corpus, path.stem)) for path in paths]
    return [
        _Source(corpus, f"{actor:02d}", RAVDESS_EMOTIONS[emotion], str(path), emotion_level(corpus, path.stem))
        for path, emotion, actor in named
    ]


def _indexed(root: Path, corpus: str) -> list[_Source]:
    index = root / INDEX
    try:
        with open(index, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["corpus"] == corpus]
        found = [_Source(corpus, row["speaker"], row["emotion"], str(index.parent / row["file"])) for row in rows]
    except (OSError, KeyError) as error:
        raise DataError(
            f"{index} is not an index of emotional speech ({error}); correct data.root or data.corpora"
        ) from error
    if not found:
        raise DataError(f"{index} lists no recording of {corpus}; remove it from data.corpora")
    unknown = sorted({source.label for source in found if emotion_of(source.label) is None})
    if unknown:
        raise DataError(f"{index} has emotions of {corpus} that have no class: {', '.join(unknown)}; correct the index")
    return found


def _write_cache(file: Path, sources: Sequence[_Source], corpus: str) -> None:
    tensors = {}
    for number, source in enumerate(track(sources, corpus)):
        wave = np.clip(load_audio(source.path, SAMPLE_RATE), -1, 1)
        key = f"{number:06d}/{source.speaker}/{source.label}/{source.level}"
        tensors[key] = torch.from_numpy(np.round(wave * 32767).astype(np.int16))
    with replace_on_success(file) as temporary:
        save_file(tensors, temporary, {"format": FORMAT, "corpus": corpus})


def _read_cache(file: Path) -> list[EmotionClip]:
    clips = []
    try:
        with safe_open(file, framework="pt") as cached:
            header = cached.metadata() or {}
            if header.get("format") != FORMAT:
                raise DataError(f"{file} was written by another version; delete it to compute it again")
            for key in sorted(cached.keys()):
                _, speaker, name, level = key.split("/")
                samples = cached.get_tensor(key).numpy()
                emotion = EMOTIONS.index(emotion_of(name))
                span = speech_span(samples)
                clips.append(EmotionClip(header["corpus"], speaker, emotion, name, samples, span, int(level)))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error}); delete it to compute it again") from error
    return clips


def _pieces(clip: EmotionClip, seconds: float) -> list[EmotionClip]:
    """A long recording as pieces of about ``seconds``."""
    count = max(1, round(len(clip.samples) / (seconds * SAMPLE_RATE)))
    parts = np.array_split(clip.samples, count)
    return [EmotionClip(clip.corpus, clip.speaker, clip.emotion, clip.label, part, speech_span(part)) for part in parts]
