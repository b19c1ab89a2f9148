"""The emotion over the waveform, as SVG that follows the width of the page and its light or dark colours."""

from __future__ import annotations

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.emotions import EMOTIONS
from emotalker.inference.emotion_track import STRONGEST, EmotionTrack

#: Colours of EMOTIONS, legible on white and on black.
COLORS = dict(
    zip(EMOTIONS, ("#e5484d", "#b45fc4", "#4f9d4a", "#7c66dc", "#e5950b", "#8b8d98", "#3b82c4", "#0ea5a5"), strict=True)
)
#: Emotions whose share stays below this are not drawn.
LEAST_SHARE = 0.15
_WIDTH, _HEIGHT = 1000, 160
_COLUMNS = 300  # of the waveform and points of the curves


def emotion_plot(samples: np.ndarray, track: EmotionTrack, title: str) -> str:
    """HTML: waveform in grey, a curve a share of an emotion, the strength as a dashed line, and a legend.

    Args:
        samples: ``(N,)`` at 16 kHz.
        track: what is drawn.
        title: what the curves are; plain text of the page's own.
    """
    seconds = len(samples) / SAMPLE_RATE
    times = np.linspace(0, seconds, _COLUMNS)
    shares = track.at(times)
    strength = np.interp(times, track.times, track.strength)
    drawn = [index for index in np.argsort(-shares.max(0)) if shares[:, index].max() >= LEAST_SHARE]
    curves = [_curve(shares[:, index], f'stroke="{COLORS[EMOTIONS[index]]}" stroke-width="2.5"') for index in drawn]
    dashed = _curve(strength / STRONGEST, 'stroke="currentColor" stroke-width="1.2" stroke-dasharray="4 4" opacity="0.65"')
    keys = [f'<span><i style="background:{COLORS[EMOTIONS[index]]}"></i>{EMOTIONS[index]}</span>' for index in drawn]
    keys.append(
        f'<span><i class="dashed"></i>strength {strength.min():.1f} to {strength.max():.1f} (of {STRONGEST:g})</span>'
    )
    return (
        f'<figure class="emotion-plot"><figcaption>{title}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{title}">'
        f"{_waveform(samples)}{dashed}{''.join(curves)}</svg>"
        f'<div class="axis"><span>0 s</span><span>{seconds / 2:.1f} s</span><span>{seconds:.1f} s</span></div>'
        f'<div class="legend">{"".join(keys)}</div></figure>'
    )


def _curve(values: np.ndarray, look: str) -> str:
    """A polyline of values in 0..1 at equal distances over the whole width."""
    x = np.linspace(0, _WIDTH, len(values))
    y = (1 - 0.96 * values.clip(0, 1) - 0.02) * _HEIGHT
    points = " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" vector-effect="non-scaling-stroke" stroke-linejoin="round" {look}/>'


def _waveform(samples: np.ndarray) -> str:
    """The largest amplitude of each of _COLUMNS parts, mirrored, as one shape."""
    parts = np.array_split(np.abs(samples), min(_COLUMNS, len(samples)))
    peaks = np.array([part.max() for part in parts])
    half = peaks / max(peaks.max(), 1e-3) * (_HEIGHT / 2 - 4)
    x = np.linspace(0, _WIDTH, len(half))
    outline = [f"{a:.0f},{_HEIGHT / 2 - b:.1f}" for a, b in zip(x, half, strict=True)]
    outline += [f"{a:.0f},{_HEIGHT / 2 + b:.1f}" for a, b in zip(x[::-1], half[::-1], strict=True)]
    return f'<polygon points="{" ".join(outline)}" fill="currentColor" opacity="0.16"/>'
