"""Scoring folders of videos from start to end: options, progress, files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from emotalker.core.errors import ConfigError
from emotalker.core.files import replace_on_success
from emotalker.core.progress import progress_bar
from emotalker.evaluation.footage import CropRule
from emotalker.evaluation.metrics.measure import GROUPS
from emotalker.evaluation.pairing import Pair, pair_videos
from emotalker.evaluation.scorer import ScoreOptions
from emotalker.evaluation.scoring import ClipResult, check_options, score_pairs, write_clips
from emotalker.evaluation.sheet import sheet


def score_options(
    measures: Sequence[str] | None = None,
    classifiers: Sequence[str] = (),
    syncnet: str = "",
    inception: str = "",
    alexnet: str = "",
    lpips: str = "",
    size: int = 256,
    crop: CropRule = "auto",
    every: int = 1,
    frames: int = 1500,
    judge: str = "",
) -> ScoreOptions:
    """Options from those of the command: groups whose weights are given are added, identity where dlib is installed.

    Raises:
        ConfigError: a group does not exist, or only one of the two files of LPIPS is given.
    """
    groups = list(measures or ScoreOptions().groups)
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise ConfigError(f"--measures: no group {', '.join(unknown)}; known: {', '.join(GROUPS)}")
    if bool(alexnet) != bool(lpips):
        raise ConfigError("LPIPS needs two files: give --alexnet and --lpips")
    weights = {"syncnet": syncnet, "fid": inception, "lpips": alexnet}
    for group, path in weights.items():
        if group in groups and not path:
            raise ConfigError(f"--measures: {group} needs its weights; give their path")
    if measures is None:
        groups += [group for group, path in weights.items() if path]
        if importlib.util.find_spec("dlib"):
            groups.append("identity")
        else:
            print("identity is left out: pip install 'emotalker[identity]'", file=sys.stderr)
    return ScoreOptions(
        tuple(groups), size, crop, every, frames, tuple(classifiers), syncnet, inception, alexnet, lpips, judge
    )


def folders(
    generated: Path,
    references: Sequence[Path],
    pattern: str | None,
    options: ScoreOptions,
    output: Path,
    workers: int = 1,
) -> str:
    """Score the videos of a folder; writes ``clips.csv``, ``sheet.md`` and ``sheet.tex`` and returns the sheet.

    Args:
        generated, references, pattern: see :func:`~emotalker.evaluation.pairing.pair_videos`.
        output: folder.

    Raises:
        EmoTalkerError: a folder, package or weights are missing.
    """
    pairs = pair_videos(generated, references, pattern)
    results = score(pairs, options, output, workers, generated.name)
    return write_sheet(results, output, f"Evaluation of {generated.name}")


def score(pairs: Sequence[Pair], options: ScoreOptions, output: Path, workers: int, title: str) -> list[ClipResult]:
    """Score pairs with a progress bar; a failed clip is printed. Writes ``clips.csv``."""
    check_options(options)
    results = []
    with progress_bar() as progress:
        for result in progress.track(score_pairs(pairs, options, output, workers), len(pairs), description=title):
            results.append(result)
            if result.message:
                print(f"warning: {result.pair.id}: {result.message}", file=sys.stderr)
    results.sort(key=lambda result: result.pair.id)
    write_clips(results, output / "clips.csv")
    return results


def write_sheet(results: Sequence[ClipResult], output: Path, title: str) -> str:
    """Write the sheet as Markdown and its table as LaTeX; returns the Markdown."""
    text = sheet(results, title)
    write_text(output / "sheet.md", text)
    write_text(output / "sheet.tex", sheet(results, title, latex=True))
    return text


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; OutputError if that fails."""
    with replace_on_success(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
