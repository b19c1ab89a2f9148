"""Report about a prepared corpus as one self-contained HTML page with SVG plots."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from emotalker.coefficients import CoefficientSpace
from emotalker.core.files import replace_on_success
from emotalker.data.shards import Clip, Corpus
from emotalker.settings.corpora import CorpusReport

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733; }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse } td, th { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #dde3ea }
td:first-child, th:first-child { text-align: left } figure { display: inline-block; margin: .4rem; text-align: center }
figcaption { font-size: .75rem; color: #566473 } svg text { font: 12px system-ui, sans-serif; fill: #1d2733 }
.note { color: #566473 }
"""
ACCENT, LINE = "#2e6db4", "#c4ccd6"


def describe(config: CorpusReport) -> Path:
    """Write the page and print its first numbers.

    Raises:
        DataError: a corpus cannot be read.
        OutputError: the page cannot be written.
    """
    roots = [config.data] if isinstance(config.data, str) else config.data
    corpora = [Corpus(root) for root in roots]
    path = Path(config.out)
    with replace_on_success(path) as temporary:
        temporary.write_text(page(corpora, config.worst), encoding="utf-8")
    for corpus in corpora:
        facts = ", ".join(f"{value} {name}" for name, value in summary(corpus.clips, corpus.space).items())
        print(f"{corpus.root}: {facts}")
    print(f"wrote {path}")
    return path


def summary(clips: Sequence[Clip], space: CoefficientSpace) -> dict[str, str]:
    """Formatted totals by name: hours, clips, speakers, emotions, clips without sound."""
    return {
        "hours": f"{sum(clip.frames for clip in clips) / space.fps / 3600:.2f}",
        "clips": str(len(clips)),
        "speakers": str(len({clip.speaker for clip in clips})),
        "emotions": str(len({clip.emotion for clip in clips} - {None})),
        "clips without sound": str(sum(not clip.has_audio for clip in clips)),
    }


def page(corpora: Sequence[Corpus], worst: int) -> str:
    """The page's HTML, with at most ``worst`` of the worst-tracked clips per corpus."""
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Corpus report</title><style>{STYLE}</style>"]
    for corpus in corpora:
        facts, motion = corpus.manifest, [clip.motion for clip in corpus.clips]
        parts.append(
            f"<h1>{escape(corpus.root.name)}</h1><p class=note>{escape(facts['source'])}. {escape(facts['licence'])}."
        )
        parts.append(f"Space {escape(corpus.space.name)}, {corpus.space.fps} frames per second.</p>")
        parts.append(table([*zip(*summary(corpus.clips, corpus.space).items(), strict=True)]))
        parts.append("<h2>Emotions and levels</h2>" + table(emotion_levels(corpus.clips)))
        if motion:
            pitch = pitch_by_emotion(corpus.clips, motion, corpus.space)
            parts.append("<h2>Head pitch by emotion</h2><p class=note>Mean of each clip in degrees, upwards positive; ")
            parts.append("box: 25 to 75 %, whiskers: 5 to 95 %.</p>" + box_plot(pitch, "degrees"))
            parts.append("<h2>Coefficients</h2>" + range_plot(np.concatenate(motion), corpus.space))
        parts.append("<h2>Worst-tracked clips</h2>" + worst_clips(corpus, worst))
    return "\n".join([*parts, "</html>\n"])


def table(rows: Sequence[Sequence[object]]) -> str:
    """An HTML table; the first row is the head."""
    head, *body = rows
    cells = "".join(f"<th>{escape(str(c))}</th>" for c in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in row) + "</tr>" for row in body)
    return f"<table><tr>{cells}</tr>{lines}</table>"


def emotion_levels(clips: Sequence[Clip]) -> list[list[object]]:
    """Table rows with the number of clips by emotion label and level."""
    counts = Counter((label_of(clip), clip.level) for clip in clips)
    levels = sorted({level for _, level in counts}, key=lambda level: (level is None, level))
    names = ["no level" if level is None else f"level {level}" for level in levels]
    rows = [["emotion", *names, "all"]]
    for emotion in sorted({emotion for emotion, _ in counts}):
        row = [counts[emotion, level] for level in levels]
        rows.append([emotion, *row, sum(row)])
    return rows


def label_of(clip: Clip) -> str:
    """A clip's emotion, with the corpus' own label in brackets if it differs: "neutral (calm)"."""
    if clip.emotion is None:
        return clip.original_emotion or "unlabelled"
    own = (clip.original_emotion or clip.emotion).lower()
    return clip.emotion if own[:3] == clip.emotion[:3] else f"{clip.emotion} ({own})"


def pitch_by_emotion(clips: Sequence[Clip], motion: Sequence[np.ndarray], space: CoefficientSpace) -> dict[str, np.ndarray]:
    """Mean pitch of each clip in degrees, upwards positive, by emotion label."""
    groups = defaultdict(list)
    for clip, frames in zip(clips, motion, strict=True):
        groups[label_of(clip)].append(-np.degrees(frames[:, space.index("pitch")].mean()))
    return {name: np.array(groups[name]) for name in sorted(groups)}


def box_plot(groups: dict[str, np.ndarray], unit: str) -> str:
    """SVG with one horizontal box per group, and its median as text."""
    quantiles = {name: np.percentile(values, [5, 25, 50, 75, 95]) for name, values in groups.items()}
    low, high = min(q[0] for q in quantiles.values()), max(q[-1] for q in quantiles.values())
    left, width, row = 150, 640, 26
    scale = width / max(high - low, 1e-6)
    height = row * len(groups) + 30
    lines = [f'<svg width="{left + width + 80}" height="{height}" role="img">']
    if low < 0 < high:
        zero = left - low * scale
        lines.append(
            f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height - 24}" stroke="{LINE}" stroke-dasharray="3 3"/>'
        )
    for i, (name, q) in enumerate(quantiles.items()):
        y = row * i + row / 2
        p5, p25, median, p75, p95 = left + (q - low) * scale
        lines.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<line x1="{p5:.1f}" x2="{p95:.1f}" y1="{y}" y2="{y}" stroke="{ACCENT}"/>')
        lines.append(
            f'<rect x="{p25:.1f}" y="{y - 7}" width="{p75 - p25:.1f}" height="14" fill="{ACCENT}" fill-opacity=".35"/>'
        )
        lines.append(
            f'<line x1="{median:.1f}" x2="{median:.1f}" y1="{y - 7}" y2="{y + 7}" stroke="{ACCENT}" stroke-width="2"/>'
        )
        lines.append(f'<text x="{left + width + 10}" y="{y + 4}">{q[2]:+.1f}</text>')
    lines.append(f'<text x="{left}" y="{height - 6}">{low:.1f}</text>')
    lines.append(f'<text x="{left + width}" y="{height - 6}" text-anchor="end">{high:.1f} {unit}</text></svg>')
    return "".join(lines)


def range_plot(motion: np.ndarray, space: CoefficientSpace) -> str:
    """SVG with one row per entry of all frames ``(N, D)``: 1st, 50th and 99th percentile, for expressions also as a bar."""
    low, middle, high = np.percentile(motion, [1, 50, 99], axis=0)
    bottom, top = min(0.0, low[space.expression].min()), max(1e-6, high[space.expression].max())
    scale, row, left = 420 / (top - bottom), 17, 190
    lines = [f'<svg width="{left + 640}" height="{row * space.dim + 26}" role="img">']
    heading = f"1 % to 99 %, scale {bottom:.2g} to {top:.2g}" if bottom else f"1 % to 99 %, scale 0 to {top:.2g}"
    lines.append(f'<text x="{left}" y="14">{heading}</text><text x="{left + 440}" y="14">1 %, median, 99 %</text>')
    for i, name in enumerate(space.names):
        y = row * i + 32
        lines.append(f'<text x="{left - 8}" y="{y}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<text x="{left + 440}" y="{y}">{low[i]:.3g}, {middle[i]:.3g}, {high[i]:.3g}</text>')
        if i < space.expression.stop:
            x, width = left + (low[i] - bottom) * scale, max(1.0, (high[i] - low[i]) * scale)
            lines.append(f'<rect x="{x:.1f}" y="{y - 9}" width="{width:.1f}" height="9" fill="{ACCENT}" fill-opacity=".6"/>')
    return "".join([*lines, "</svg>"])


def worst_clips(corpus: Corpus, count: int) -> str:
    """HTML of the clips with the lowest mean confidence, with a thumbnail of their worst frame where there is one."""
    clips = sorted(corpus.clips, key=lambda clip: clip.quality.get("confidence", 1.0))[:count]
    if not any("jpg" in clip.files for clip in clips):
        rows = [[c.name, f"{c.quality['confidence']:.2f}", f"{c.quality['found']:.1%}"] for c in clips]
        return table([["clip", "confidence", "face found"], *rows])
    figures = []
    for clip in clips:
        data = base64.b64encode(corpus.read(clip, "jpg")).decode() if "jpg" in clip.files else ""
        caption = f"{escape(clip.name)}<br>confidence {clip.quality['confidence']:.2f}, face in {clip.quality['found']:.0%}"
        figures.append(f'<figure><img alt="" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>')
    return "".join(figures)
