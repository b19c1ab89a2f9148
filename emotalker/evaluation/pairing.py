"""Which generated video belongs to which real one: by file name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emotalker.core.errors import DataError
from emotalker.core.suffixes import VIDEO_SUFFIXES
from emotalker.evaluation.video_takes import describe

#: Ending of the n-th sample of one clip: ``clip__2.mp4``.
SAMPLE = re.compile(r"(.+)__(\d+)")


@dataclass(frozen=True)
class Source:
    """A real video, or an array of landmarks in an NPZ file.

    Attributes:
        path: of the file.
        key: of the array; empty for a video.
        fps: of the landmarks.
    """

    path: Path
    key: str = ""
    fps: float = 25.0


@dataclass(frozen=True)
class Pair:
    """One generated video and what it is compared with.

    Attributes:
        id: unique; the generated file's path below its folder, without suffix.
        clip: id of the clip; the same for all samples of it.
        generated: the video.
        references: real videos of the clip; empty without any.
        audio: the sound, where neither video has it.
        emotion, level, subject: labels, or None.
    """

    id: str
    clip: str
    generated: Path
    references: tuple[Source, ...] = ()
    audio: Path | None = None
    emotion: str | None = None
    level: int | None = None
    subject: str | None = None


def list_videos(folder: Path, option: str) -> dict[str, Path]:
    """Videos at any depth below a folder by id, the path without suffix, sorted; DataError if there is none."""
    if not folder.is_dir():
        raise DataError(f"{option}: there is no folder {folder}; give a folder of videos")
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith(".")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{option}: {found[name]} and {path} have the same name; keep one of them")
        found[name] = path
    if not found:
        raise DataError(f"{option}: {folder} contains no video ({', '.join(sorted(VIDEO_SUFFIXES))}); correct the folder")
    return found


def clip_of(name: str) -> str:
    """The id of a clip without the number of the sample."""
    match = SAMPLE.fullmatch(name)
    return match[1] if match else name


def pair_videos(generated: Path, references: Sequence[Path] = (), pattern: str | None = None) -> list[Pair]:
    """Pairs of all generated videos of a folder.

    A reference belongs to a generated video if their ids are equal without the number of the sample, or else their file
    names, if these are unique. There may be several: of several folders, or ``clip__1.mp4``, ``clip__2.mp4``.

    Args:
        generated: folder.
        references: folders of real videos.
        pattern: regular expression that is searched in ids; its first group, or the whole match, is then compared instead.

    Raises:
        DataError: a folder is missing or empty, the pattern is invalid, or no generated video has a reference.
    """
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise DataError(f"--id: {pattern!r} is not a regular expression ({error}); correct it") from error

    def key(name: str) -> str:
        clip = clip_of(name)
        match = compiled.search(clip) if compiled else None
        return clip if match is None else match[1] if match.groups() else match[0]

    known: dict[str, list[Path]] = {}
    for folder in references:
        for name, path in list_videos(folder, "--reference").items():
            known.setdefault(key(name), []).append(path)
    by_stem: dict[str, list[str]] = {}
    for name in known:
        by_stem.setdefault(Path(name).name, []).append(name)
    pairs = []
    for name, path in list_videos(generated, "--generated").items():
        wanted = key(name)
        stems = by_stem.get(Path(wanted).name, [])
        paths = known.get(wanted) or (known[stems[0]] if len(stems) == 1 else [])
        subject, emotion = describe(Path(clip_of(name)).name)
        pairs.append(Pair(name, clip_of(name), path, tuple(map(Source, paths)), None, emotion, None, subject))
    if references and not any(pair.references for pair in pairs):
        raise DataError(
            f"no video of {generated} has the name of one in {', '.join(map(str, references))}, as {pairs[0].id}; give --id "
            "with a regular expression of the common part"
        )
    return pairs
