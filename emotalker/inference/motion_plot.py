"""A plot of a motion: mouth, brows, head and emotion over the waveform."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import MissingExtraError
from emotalker.core.files import replace_on_success
from emotalker.inference.emotion_track import EmotionTrack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Title, unit and lines of each panel; a line is the mean of its entries.
_PANELS = (
    (
        "mouth",
        "blendshape",
        {"jaw": ("jawOpen",), "smile": ("mouthSmileLeft", "mouthSmileRight"), "pucker": ("mouthPucker",)},
    ),
    (
        "eyes and brows",
        "blendshape",
        {
            "inner brows": ("browInnerUp",),
            "outer brows": ("browOuterUpLeft", "browOuterUpRight"),
            "frown": ("browDownLeft", "browDownRight"),
            "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
        },
    ),
    ("head", "degrees", {name: (name,) for name in ("pitch", "yaw", "roll")}),
)

#: Panels of the comparison of several motions, each the mean of its entries.
_COMPARED = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "corners down": ("mouthFrownLeft", "mouthFrownRight"),
    "frown": ("browDownLeft", "browDownRight"),
    "inner brows up": ("browInnerUp",),
    "eyes wide": ("eyeWideLeft", "eyeWideRight"),
    "nose wrinkled": ("noseSneerLeft", "noseSneerRight"),
    "jaw": ("jawOpen",),
}


def save_motion_plot(
    path: str | os.PathLike, motion: MotionTrack, audio: np.ndarray | None = None, emotion: EmotionTrack | None = None
) -> Path:
    """Write the plot as a picture of the suffix' kind (.png, .svg, .pdf).

    Args:
        path: file to write.
        motion: of ARKIT.
        audio: ``(N,)`` at 16 kHz.
        emotion: weights of the emotions over time.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
        ValueError: the motion is of another space.
    """
    if motion.space != ARKIT:
        raise ValueError(f"the plot shows {ARKIT.name} motion, not {motion.space.name}")
    times = np.arange(len(motion.coefficients)) / motion.space.fps
    rows = len(_PANELS) + (audio is not None) + (emotion is not None)
    figure = _figure(rows)
    axes = list(np.atleast_1d(figure.subplots(rows, 1, sharex=True)))
    if audio is not None:
        panel = axes.pop(0)
        panel.plot(np.arange(len(audio)) / SAMPLE_RATE, audio, linewidth=0.4, color="0.3", rasterized=True)
        panel.set_ylabel("voice")
    if emotion is not None:
        panel = axes.pop(0)
        weights = emotion.frames(len(times), motion.space.fps, 0.0)
        panel.stackplot(times, weights.T, labels=EMOTIONS)
        panel.set_ylim(0, 1)
        panel.set_ylabel("emotion, share")
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7)
    for panel, (title, unit, lines) in zip(axes, _PANELS, strict=True):
        for label, names in lines.items():
            values = motion.coefficients[:, ARKIT.indices(names)].mean(1)
            panel.plot(times, np.degrees(values) if unit == "degrees" else values, label=label, linewidth=1)
        panel.set_ylabel(f"{title}, {unit}")
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7)
    axes[-1].set_xlabel("seconds")
    axes[-1].set_xlim(0, max(float(times[-1]), 1 / motion.space.fps))
    with replace_on_success(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return Path(path)


def save_comparison_plot(path: str | os.PathLike, motions: Mapping[str, MotionTrack]) -> Path:
    """Write a plot of several motions of one voice: a panel for each part of an expression, a line for each motion.

    Args:
        path: file to write.
        motions: of ARKIT, by label.

    Raises:
        MissingExtraError, OutputError: as :func:`save_motion_plot`.
    """
    figure = _figure(len(_COMPARED))
    axes = figure.subplots(len(_COMPARED), 1, sharex=True)
    for panel, (title, names) in zip(axes, _COMPARED.items(), strict=True):
        for label, motion in motions.items():
            panel.plot(motion.times, motion.coefficients[:, ARKIT.indices(names)].mean(1), label=label, linewidth=1)
        panel.set_ylabel(title)
        panel.set_ylim(-0.02, 1.02)
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    axes[-1].set_xlabel("seconds")
    axes[-1].set_xlim(0, max(float(motion.times[-1]) for motion in motions.values()))
    with replace_on_success(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return Path(path)


def check_plotting() -> None:
    """MissingExtraError if matplotlib is not installed; for commands, before minutes of computation."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("plots need matplotlib; install it with: pip install 'emotalker[plot]'")


def _figure(rows: int) -> Figure:
    """A figure for this many panels; MissingExtraError if matplotlib is not installed."""
    check_plotting()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((10, 1.7 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
