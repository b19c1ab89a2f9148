"""Running a protocol: videos of one or several systems are scored and put into the supplement's tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emotalker.core.errors import ConfigError
from emotalker.evaluation.evaluate import score, write_sheet, write_text
from emotalker.evaluation.pairing import Pair, clip_of, list_videos
from emotalker.evaluation.protocol_tables import level_table, summary_table
from emotalker.evaluation.protocol_videos import STILL, generate_videos
from emotalker.evaluation.protocols import Protocol, ProtocolClip, list_clips, load_published
from emotalker.evaluation.scorer import ScoreOptions
from emotalker.evaluation.scoring import ClipResult

OURS = "this project"


def run_protocol(
    protocol: Protocol,
    systems: Sequence[str],
    options: ScoreOptions,
    output: Path,
    workers: int = 1,
    still: bool = True,
    samples: int = 1,
    checkpoints: str | os.PathLike | None = None,
    seed: int = 0,
) -> str:
    """Run a protocol; writes one folder a system, ``report.md``, ``table1.tex`` and ``table3.tex``; returns the report.

    Args:
        systems: ``folder`` or ``name=folder`` of other systems' videos, named by the ids of the clips. With any, ours are
            scored only if they have been generated before.
        still: also score the first picture without motion.
        samples, checkpoints, seed: see :func:`~emotalker.evaluation.protocol_videos.generate_videos`.

    Raises:
        EmoTalkerError: the corpus, a folder, a package or weights are missing.
    """
    clips = list_clips(protocol)
    failures: dict[str, str] = {}
    folders = dict(_named(system) for system in systems)
    ours = output / "emotalker"
    if not systems:
        failures = generate_videos(
            clips, protocol, output, options.size, options.crop, still, samples, checkpoints, seed, workers
        )
        for clip, message in failures.items():
            print(f"warning: {clip}: {message}", file=sys.stderr)
    if ours.is_dir():
        folders = {OURS: ours, **folders}
    if still and (output / "still").is_dir():
        folders[STILL] = output / "still"
    results: dict[str, list[ClipResult]] = {}
    for name, folder in folders.items():
        # a picture is compared with frames of the same person: its identity is a property of the corpus
        chosen = options if name != STILL else replace(options, groups=tuple(g for g in options.groups if g != "identity"))
        target = output / "scores" / _file_name(name)
        results[name] = score(protocol_pairs(clips, folder, name), chosen, target, workers, name)
        write_sheet(results[name], target, f"{name}: {protocol.title}")
    text = report(protocol, results, failures, options.size)
    write_text(output / "report.md", text)
    write_tables(protocol, results, output)
    return text


def protocol_pairs(clips: Sequence[ProtocolClip], folder: Path, name: str = "") -> list[Pair]:
    """Pairs of a system's videos with the clips of a protocol; ConfigError if the folder has none of them."""
    by_id = {clip.id: clip for clip in clips}
    pairs = []
    for video, path in list_videos(folder, f"--system {name}").items():
        clip = by_id.get(clip_of(video)) or by_id.get(clip_of(Path(video).name))
        if clip is not None:
            source = clip.source
            pairs.append(
                Pair(video, clip.id, path, (clip.reference,), source.audio, source.emotion, source.level, source.speaker)
            )
    if not pairs:
        raise ConfigError(
            f"{folder} contains no video of the protocol's clips; name them as --list-clips prints, {clips[0].id}.mp4"
        )
    return pairs


def report(protocol: Protocol, results: dict[str, list[ClipResult]], failures: dict[str, str], size: int) -> str:
    """The report of a protocol as Markdown; ``size`` is that of the frames in pixels."""
    parts = [f"## {protocol.title}"]
    published = load_published(protocol.published)
    first = next(iter(results.values()))
    parts.append(
        f"Protocol `{protocol.name}`, {len({r.pair.clip for r in first if not r.message})} clips of "
        f"{len({r.pair.subject for r in first})} people, moved by {protocol.drive}, from the "
        + ("person's portrait" if protocol.portraits else f"{protocol.identity} frame")
        + f" at {size} pixels."
    )
    if protocol.differences:
        lines = "\n".join(f"- {sentence}" for sentence in protocol.differences)
        parts.append(f"**Not the publications' protocol.** What differs:\n\n{lines}")
    if "summary" in protocol.tables:
        parts += ["### Table 1", summary_table(results, published), *_sources(published, "summary")]
    if "levels" in protocol.tables:
        parts.append("### Table 3")
        parts += [level_table(results, published, key) for key in ("f_lmd", "m_lmd")]
        parts += _sources(published, "levels")
    missing = failures | {r.pair.id: r.message for rs in results.values() for r in rs if r.message}
    if missing:
        parts.append("Clips left out:\n\n" + "\n".join(f"- `{clip}`: {message}" for clip, message in missing.items()))
    return "\n\n".join(parts)


def write_tables(protocol: Protocol, results: dict[str, list[ClipResult]], output: Path) -> None:
    """The protocol's tables in LaTeX."""
    published = load_published(protocol.published)
    if "summary" in protocol.tables:
        write_text(output / "table1.tex", summary_table(results, published, latex=True))
    if "levels" in protocol.tables:
        tables = [level_table(results, published, key, latex=True) for key in ("f_lmd", "m_lmd")]
        write_text(output / "table3.tex", "\n\n".join(tables))


def _sources(published: Sequence[dict], table: str) -> list[str]:
    sources = [entry["source"] for entry in published if entry["table"] == table]
    return (
        [f"Published rows: {'; '.join(sources)}. Measured on other clips by other code: see what differs."] if sources else []
    )


def _named(system: str) -> tuple[str, Path]:
    name, separator, folder = system.partition("=")
    return (name, Path(folder)) if separator else (Path(system).name, Path(system))


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
