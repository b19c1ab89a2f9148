"""Evaluation protocols by name: which clips of which corpus, from which picture, in which tables.

A protocol is one YAML file of ``configs/protocol/``. Published figures are in ``published.yaml`` beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from emotalker.core.emotions import emotion_of
from emotalker.core.errors import ConfigError, DataError
from emotalker.core.launch import CONFIGS
from emotalker.core.splits import Split, split_of_name
from emotalker.data.readers import make_reader
from emotalker.data.readers.base import ClipSource
from emotalker.evaluation.pairing import Source

FOLDER = CONFIGS / "protocol"
PUBLISHED = "published"
#: "audio": sound and a picture; "audio+video": pose and expression of the real video replace those heard in the sound, the
#: supplement's "driving frames"; "video": the whole motion of the real video, for clips without sound.
Drive = Literal["audio", "audio+video", "video"]


@dataclass(frozen=True)
class Protocol:
    """A protocol and the corpus it is run on.

    Attributes:
        name: of the file.
        title: of tables.
        reader: arguments of :func:`~emotalker.data.readers.make_reader`, without the root.
        root: folder of the corpus.
        people, emotions, levels: that are chosen; empty for all.
        split: of a corpus that is split by name; None for all.
        clips: at most, spread evenly over people, emotions and levels; None for all.
        ids: exactly these clips; empty for none given.
        identity: the picture that is animated: the clip's "first" frame, or the first frame of the person's "neutral" clip.
        portraits: picture of a person below the root, with ``{speaker}``, instead of a frame of a video.
        drive: what moves our videos.
        tables: "summary" (the supplement's Table 1) and "levels" (its Table 3).
        published: names of entries of ``published.yaml`` that stand beside ours.
        differences: what differs from the publications, each a sentence.
    """

    name: str
    title: str
    reader: Mapping[str, Any]
    root: Path
    people: tuple[str, ...] = ()
    emotions: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    split: Split | None = None
    clips: int | None = None
    ids: tuple[str, ...] = ()
    identity: Literal["first", "neutral"] = "first"
    portraits: str = ""
    drive: Drive = "audio"
    tables: tuple[str, ...] = ("summary",)
    published: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProtocolClip:
    """One clip.

    Attributes:
        id: names the videos of every system.
        source: labels and sound.
        reference: the real video or its landmarks.
        identity: picture, or the video whose first frame is the picture.
    """

    id: str
    source: ClipSource
    reference: Source
    identity: Path


def protocol_names() -> list[str]:
    """Names of all protocols."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != PUBLISHED)


def load_protocol(
    name: str, root: Path, ids: Path | None = None, clips: int | None = None, drive: Drive | None = None
) -> Protocol:
    """A protocol by name.

    Args:
        root: folder of the corpus.
        ids: file with the ids of the clips, one a line.
        clips, drive: instead of the protocol's.

    Raises:
        ConfigError: the protocol does not exist or is not valid.
        DataError: the file of ids cannot be read.
    """
    if name not in protocol_names():
        raise ConfigError(f"--protocol: no {name!r}; known: {', '.join(protocol_names())}, vertices")
    values = _read(FOLDER / f"{name}.yaml")
    unknown = set(values) - {f.name for f in fields(Protocol)}
    if unknown or not {"title", "reader"} <= set(values):
        raise ConfigError(f"{FOLDER / name}.yaml needs title and reader and has unknown settings {sorted(unknown)}; mend it")
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    protocol = Protocol(name=name, root=root, **settings)
    if ids is not None:
        try:
            lines = ids.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"--list: {ids} cannot be read ({error}); give a text file with one id a line") from error
        protocol = replace(protocol, ids=tuple(line.strip() for line in lines if line.strip()), clips=None)
    changed = {key: value for key, value in (("clips", clips), ("drive", drive)) if value is not None}
    return replace(protocol, **changed)


def list_clips(protocol: Protocol) -> list[ProtocolClip]:
    """The clips of a protocol in a fixed order.

    Raises:
        DataError: the corpus is missing, is not laid out as its reader expects, or lacks a clip of the list or a picture.
    """
    sources = make_reader({**protocol.reader, "root": protocol.root}).clips()
    chosen = [s for s in sources if _fits(protocol, s)]
    if protocol.ids:
        by_id = {s.id: s for s in sources}
        missing = [i for i in protocol.ids if i not in by_id]
        if missing:
            raise DataError(
                f"{protocol.root} has no clip {', '.join(missing[:3])} of the list; ids look like {sources[0].id}"
            )
        chosen = [by_id[i] for i in protocol.ids]
    elif protocol.clips is not None:
        chosen = spread(chosen, protocol.clips)
    if not chosen:
        raise DataError(f"{protocol.root} has no clip for {protocol.name}: {_wanted(protocol)}; correct --root")
    neutral: dict[str, ClipSource] = {}
    for source in sources:
        if source.emotion == "neutral" and source.original_emotion != "calm":
            neutral.setdefault(source.speaker, source)
    return [ProtocolClip(s.id, s, _reference(s), _identity(protocol, s, neutral)) for s in chosen]


def spread(clips: Sequence[ClipSource], limit: int) -> list[ClipSource]:
    """At most ``limit`` clips: groups of a person, emotion and level take turns, each gives its clips in their order."""
    groups: dict[tuple, list[ClipSource]] = {}
    for clip in clips:
        groups.setdefault((clip.speaker, clip.emotion, clip.level), []).append(clip)
    if limit < len(groups):
        kept = np.unique(np.linspace(0, len(groups) - 1, limit).round().astype(int))
        groups = {key: groups[key] for key in [list(groups)[i] for i in kept]}
    rounds = max(map(len, groups.values()), default=0)
    turns = [group[i] for i in range(rounds) for group in groups.values() if i < len(group)]
    chosen = {clip.id for clip in turns[:limit]}
    return [clip for clip in clips if clip.id in chosen]


def load_published(names: Sequence[str]) -> list[dict[str, Any]]:
    """Published tables by name, with their sources; ConfigError if there is none of a name."""
    known = _read(FOLDER / f"{PUBLISHED}.yaml")
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigError(f"{FOLDER / PUBLISHED}.yaml has no {missing[0]}; known: {', '.join(known)}")
    return [known[name] for name in names]


def _fits(protocol: Protocol, source: ClipSource) -> bool:
    wanted = {emotion_of(word) for word in protocol.emotions}
    return (
        (not protocol.people or source.speaker in protocol.people)
        and (not wanted or source.emotion in wanted)
        and (not protocol.levels or source.level in protocol.levels)
        and (protocol.split is None or split_of_name(source.id) == protocol.split)
    )


def _wanted(protocol: Protocol) -> str:
    parts = {"people": protocol.people, "emotions": protocol.emotions, "levels": protocol.levels}
    return ", ".join(f"{key} {' '.join(map(str, value))}" for key, value in parts.items() if value) or "any"


def _reference(source: ClipSource) -> Source:
    if source.video is not None:
        return Source(source.video)
    if source.coefficients is None:
        raise DataError(f"the clip {source.id} has neither video nor landmarks; leave it out")
    return Source(source.coefficients, f"02-{source.id}", source.fps or 25.0)


def _identity(protocol: Protocol, source: ClipSource, neutral: Mapping[str, ClipSource]) -> Path:
    if protocol.portraits:
        path = protocol.root / protocol.portraits.format(speaker=source.speaker)
        if not path.is_file():
            raise DataError(f"there is no picture {path} of {source.speaker}; add it, or choose other people")
        return path
    chosen = neutral.get(source.speaker) if protocol.identity == "neutral" else source
    if chosen is None or chosen.video is None:
        raise DataError(f"{protocol.root} has no neutral video of {source.speaker} for the picture; add one")
    return chosen.video


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); restore it") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a list of settings; restore it")
    return values
