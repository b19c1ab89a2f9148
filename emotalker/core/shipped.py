"""Folders of data that are part of the project: weights and presets."""

from __future__ import annotations

from pathlib import Path


def shipped_folder(*parts: str) -> Path | None:
    """A folder such as ``("checkpoints", "small")`` or ``("configs",)``; None if this installation does not have it.

    A wheel carries them inside the package (``setup.py`` copies them there), a checkout beside it.
    """
    package = Path(__file__).resolve().parents[1]
    return next((path for root in (package, package.parent) if (path := root.joinpath(*parts)).is_dir()), None)
