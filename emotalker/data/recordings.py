"""Speech corpora for training the audio encoder, with cached hidden states of the teacher network for distillation."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.core.emotions import RAVDESS_EMOTIONS
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.splits import TEST_SPEAKERS, VALIDATION_SPEAKERS, Split, split_of_name, split_of_speaker
from emotalker.data.shards import UNLABELLED
from emotalker.models.hubert import HOP_LENGTH, AudioEncoder

#: Classes of the emotion head.
EMOTIONS = RAVDESS_EMOTIONS
FORMAT = "emotalker-recordings-1"


@dataclass(frozen=True)
class SpeechCorpus:
    """File layout and labels of a speech corpus.

    Attributes:
        source, licence: stored in the checkpoint; weights inherit the licence.
        files: glob below the root folder.
        name: pattern of a labelled recording's name, with groups ``emotion`` and ``actor``, and ``level`` where the name says
            how strong the emotion is; None for an unlabelled corpus.
        emotions: index into :data:`EMOTIONS` by the number in the name.
        sentence: each recording is one sentence with silence around it, which crops can leave out.
    """

    source: str
    licence: str
    files: str
    name: str | None = None
    emotions: dict[int, int] | None = None
    sentence: bool = False


CORPORA = {
    "ravdess": SpeechCorpus(
        "RAVDESS (Livingstone and Russo 2018)", "CC BY-NC-SA 4.0", "ravdess/*.opus",
        r"03-01-(?P<emotion>\d\d)-(?P<level>\d\d)-\d\d-\d\d-(?P<actor>\d\d)", {n: n - 1 for n in range(1, 9)}, True,
    ),
    "javanese": SpeechCorpus(
        "Javanese emotional speech, audio set", "MIT", "javanese/*.mp4",
        r"(?P<actor>\d\d)-\d\d-(?P<emotion>\d\d)_\d\d", {1: 0, 2: 3, 3: 2, 4: 7, 5: 5, 6: 4}, True,
    ),
    "grid": SpeechCorpus("GRID (Cooke et al. 2006)", "CC BY 4.0", "grid_s1/audio/*.opus"),
    "facegood": SpeechCorpus("FACEGOOD Audio2Face", "MIT", "facegood/*.flac"),
    "styletalk": SpeechCorpus("StyleTalk's talkers", "research use", "styletalk/*.opus"),
    "livelink": SpeechCorpus("Live Link speech test", "MIT below 1 M$ revenue", "livelink/speech_test.flac"),
}  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        corpus, name: key of :data:`CORPORA`, and file name without suffix.
        samples: ``(N,)`` int16 at 16 kHz.
        emotion: index into :data:`EMOTIONS`, or -1.
        actor: number of the speaker in a labelled corpus, else 0.
        speech: start and end of the speech in samples.
        targets: ``(layers, T, dim)`` float16, the teacher's hidden states at 50 Hz, memory-mapped.
    """

    corpus: str
    name: str
    samples: np.ndarray
    emotion: int
    actor: int
    speech: tuple[int, int]
    targets: torch.Tensor

    @property
    def split(self) -> Split:
        """The split: by actor in corpora with test speakers, else by name."""
        if self.corpus in TEST_SPEAKERS:
            actor = f"{self.actor:02d}"
            return split_of_speaker(actor, VALIDATION_SPEAKERS[self.corpus], TEST_SPEAKERS[self.corpus])
        return split_of_name(self.name)


def load_recordings(
    root: str | os.PathLike,
    corpora: Sequence[str],
    cache: str | os.PathLike,
    teacher: Callable[[], AudioEncoder],
    layers: Sequence[int],
) -> list[Recording]:
    """Recordings of several corpora with the teacher's hidden states, which are computed once and cached.

    Args:
        root: folder of the corpora.
        corpora: keys of :data:`CORPORA`.
        cache: folder for one file per corpus.
        teacher: creates the teacher; called only if a corpus is not cached.
        layers: indices of the hidden states; 0 is the input of the first layer, the number of layers the normalised output.

    Raises:
        DataError: a corpus is unknown, missing, damaged in the cache or cached with other layers.
        AudioError: a recording cannot be decoded.
    """
    recordings, model = [], None
    for corpus in corpora:
        if corpus not in CORPORA:
            raise DataError(f"there is no corpus {corpus!r} in data.corpora; choose among {', '.join(CORPORA)}")
        file = Path(cache) / f"{corpus}.safetensors"
        if not file.exists():
            paths = sorted(Path(root).glob(CORPORA[corpus].files))
            if not paths:
                raise DataError(f"no recordings at {Path(root) / CORPORA[corpus].files}; correct data.root or data.corpora")
            model = model or teacher()
            _write_cache(file, corpus, paths, model, layers)
        recordings += _read_cache(file, corpus, layers)
    return recordings


def label(corpus: str, name: str) -> tuple[int, int]:
    """Emotion and actor from a recording's name, ``(-1, 0)`` in an unlabelled corpus; DataError for an unknown name."""
    about = CORPORA[corpus]
    if about.name is None:
        return UNLABELLED, 0
    match = re.fullmatch(about.name, name)
    if match is None or int(match["emotion"]) not in about.emotions:
        raise DataError(f"{name}: no name of the {corpus} corpus; remove the file from its folder")
    return about.emotions[int(match["emotion"])], int(match["actor"])


def emotion_level(corpus: str, name: str) -> int:
    """Strength of the emotion from a recording's name, 1 normal or 2 strong; 0 if the name does not say it."""
    match = re.fullmatch(CORPORA[corpus].name or "", name)
    return int(match["level"]) if match and "level" in match.groupdict() else 0


def speech_span(samples: np.ndarray, below_peak_db: float = 35.0, margin: float = 0.2) -> tuple[int, int]:
    """Start and end of the speech in audio ``(N,)``, in samples, rounded to 20 ms frames.

    Args:
        samples: 16 kHz audio.
        below_peak_db: frames within this many dB of the loudest frame are speech.
        margin: seconds added on either side.
    """
    frames = samples[: len(samples) // HOP_LENGTH * HOP_LENGTH].reshape(-1, HOP_LENGTH).astype(np.float64)
    power = 10 * np.log10((frames**2).mean(1) + 1e-9)
    loud = np.flatnonzero(power > power.max() - below_peak_db)
    wide = round(margin * SAMPLE_RATE / HOP_LENGTH)
    return max(0, loud[0] - wide) * HOP_LENGTH, min(len(frames), loud[-1] + 1 + wide) * HOP_LENGTH


@torch.no_grad()
def hidden_states(encoder: AudioEncoder, wav: torch.Tensor, layers: Sequence[int]) -> torch.Tensor:
    """Hidden states ``(len(layers), T, dim)`` of audio ``(1, N)`` of any length.

    Computed in chunks of 20 s without overlap, because discontinuities between chunks are acceptable in training targets.
    """
    prepared, parts = encoder.prepare(wav), []
    total = (prepared.shape[-1] - 80) // HOP_LENGTH
    for first in range(0, total, 1000):
        last = min(total, first + 1000)
        output = encoder.hubert(prepared[:, first * HOP_LENGTH : last * HOP_LENGTH + 80], output_hidden_states=True)
        states = (*output.hidden_states[:-1], output.last_hidden_state)
        parts.append(torch.cat([states[layer] for layer in layers]))
    return torch.cat(parts, dim=1)


def _write_cache(file: Path, corpus: str, paths: list[Path], teacher: AudioEncoder, layers: Sequence[int]) -> None:
    tensors = {}
    for path in track(paths, corpus):
        wav = np.clip(load_audio(path, SAMPLE_RATE), -1, 1)
        samples = np.round(wav * 32767).astype(np.int16)
        label(corpus, path.stem)
        with torch.autocast("cpu", torch.bfloat16):
            states = hidden_states(teacher, torch.from_numpy(wav)[None], layers)
        tensors[f"wave/{path.stem}"] = torch.from_numpy(samples)
        tensors[f"teacher/{path.stem}"] = states.clamp(-6e4, 6e4).half().contiguous()
    header = {"format": FORMAT, "layers": json.dumps(list(layers)), "corpus": json.dumps(asdict(CORPORA[corpus]))}
    with replace_on_success(file) as temporary:
        save_file(tensors, temporary, header)


def _read_cache(file: Path, corpus: str, layers: Sequence[int]) -> list[Recording]:
    recordings = []
    try:
        with safe_open(file, framework="pt") as cached:
            header = cached.metadata() or {}
            if header.get("format") != FORMAT or json.loads(header["layers"]) != list(layers):
                raise DataError(f"{file} was computed for other layers or by another version; delete it to compute it again")
            for key in cached.keys():  # noqa: SIM118 - the handle is not a mapping
                kind, _, name = key.partition("/")
                if kind == "wave":
                    samples = cached.get_tensor(key).numpy()
                    targets = cached.get_tensor(f"teacher/{name}")
                    recordings.append(Recording(corpus, name, samples, *label(corpus, name), speech_span(samples), targets))
    except (SafetensorError, OSError, KeyError) as error:
        raise DataError(f"{file} is damaged ({error}); delete it to compute it again") from error
    return recordings
