"""Small studies and a rater without a browser, for the tests of the user study."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from emotalker.study.definition import LETTERS, load_study
from emotalker.video.writer import VideoWriter

SYSTEMS = ("first-secret", "second-secret")


def write_video(path: Path, grey: int = 128, frames: int = 10) -> Path:
    """A video of ``frames / 25`` seconds with a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.1 * np.sin(np.arange(640 * frames) / 10).astype(np.float32)
    with VideoWriter(path, 64, 64, audio=tone) as video:
        for i in range(frames):
            frame = np.full((64, 64, 3), grey, np.uint8)
            frame[:, : 6 * i] //= 2
            video.write(frame)
    return path


def write_study(folder: Path, items: int = 3, text: str = "", systems: tuple[str, ...] = SYSTEMS, video: Path | None = None):
    """A study's file in ``folder`` with links to ``video``, or with files that no browser plays.

    Returns:
        The study and its file.
    """
    for system in systems:
        (folder / system).mkdir(parents=True)
        for i in range(items):
            target = folder / system / f"clip{i}.mp4"
            if video is None:
                target.write_bytes(f"{system} {i}".encode() * 100)
            else:
                target.symlink_to(video)
    path = folder / "study.yaml"
    path.write_text("systems:\n" + "".join(f"  {system}: {system}\n" for system in systems) + text)
    return load_study(path), path


def hidden(html: str, name: str) -> str:
    """Value of a hidden field of a page."""
    return re.search(rf'name="{name}"\s+value="([^"]*)"', html)[1]


def answers_to(html: str, criteria: int, place: int = 0) -> dict[str, str]:
    """A form filled in: ``place`` for every question, or the place that an attention check asks for."""
    asked = re.search(r"choose Video ([A-Z]) for every", html)
    place = LETTERS.index(asked[1]) if asked else place
    return {"task": hidden(html, "task"), "form": hidden(html, "form")} | {f"q{i}": str(place) for i in range(criteria)}
