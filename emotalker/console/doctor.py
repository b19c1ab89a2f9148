"""What is installed, what is missing and how to get it, and the licences of what is in use.

emotalker doctor
emotalker doctor --fetch                # downloads the model files that inference needs
emotalker doctor --fetch evaluation     # and those of the evaluation
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emotalker
from emotalker.core import registry
from emotalker.core.cli import FAILED, Outcome
from emotalker.core.errors import CheckpointError
from emotalker.core.shipped import shipped_folder

#: Extras of people who work on EmoTalker itself.
_DEVELOPMENT = ("build", "dev", "docs")
#: Folders of weights without which nothing works.
_REQUIRED_WEIGHTS = ("small", "tracker")


@dataclass(frozen=True)
class Item:
    """Something that may be installed.

    Attributes:
        section: heading.
        name: of a package, model or file.
        found: version or path; None if it is missing.
        licence: its own.
        required: whether EmoTalker does not work without it.
        get: how to get it.
        sha256: of a file.
    """

    section: str
    name: str
    found: str | None
    licence: str
    required: bool = False
    get: str = ""
    sha256: str = ""

    def line(self) -> str:
        """One line for people."""
        mark = "ok     " if self.found else "MISSING" if self.required else "absent "
        parts = [f"  {mark} {self.name}", self.found or self.get, self.licence, self.sha256 and f"sha256 {self.sha256[:16]}"]
        return "  ".join(part for part in parts if part)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--fetch",
        nargs="?",
        const="inference",
        choices=["inference", "training", "evaluation"],
        help="download the model files that this needs (default: inference)",
    )


def main(args: argparse.Namespace) -> Outcome:
    """Look at everything; the exit status is 1 if something that is needed is missing."""
    if args.fetch:
        for entry in registry.MODELS.values():
            if entry.purpose in ("inference", args.fetch):
                registry.resolve(entry.name)
    items = [*packages(), *models(), *weights()]
    missing = [item for item in items if item.required and not item.found]
    machine = _machine()
    lines = [f"{name}: {value}" for name, value in machine.items()]
    for section in dict.fromkeys(item.section for item in items):
        lines += ["", section, *(item.line() for item in items if item.section == section)]
    if missing:
        lines += ["", *(f"missing: {item.name}; get it with: {item.get}" for item in missing)]
    else:
        lines += ["", "everything that emotalker infer needs is there"]
    values = {**machine, "items": [vars(item) for item in items], "missing": [item.name for item in missing]}
    return Outcome("\n".join(lines), values, FAILED if missing else 0)


def _machine() -> dict[str, Any]:
    values = {"emotalker": emotalker.__version__, "python": platform.python_version(), "platform": platform.platform()}
    values["environment"] = sys.prefix
    try:
        import torch

        devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), *(["mps"] if _has_mps(torch) else [])]
        values["devices"] = ", ".join(devices)
    except ImportError:
        values["devices"] = "unknown without torch"
    return values


def _has_mps(torch: Any) -> bool:
    return bool(getattr(torch.backends, "mps", None)) and torch.backends.mps.is_available()


def packages() -> Iterator[Item]:
    """The packages that EmoTalker depends on, and those of its extras."""
    try:
        requirements = importlib.metadata.requires("emotalker") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
        yield Item("packages", "emotalker", None, "Apache-2.0", True, "pip install . in the folder of pyproject.toml")
    for requirement in requirements:
        name, extra = _parse(requirement)
        if extra in _DEVELOPMENT or name == "emotalker":
            continue
        command = f"pip install 'emotalker[{extra}]'" if extra else f"pip install '{requirement}'"
        section = f"packages of the extra {extra}" if extra else "packages"
        try:
            found = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            yield Item(section, name, None, "", not extra, command)
        else:
            yield Item(section, name, found["Version"], licence_of(found), not extra, command)


def _parse(requirement: str) -> tuple[str, str]:
    """``('fastapi', 'serve')`` of ``fastapi>=0.115; extra == "serve"``."""
    name = re.match(r"[\w.-]+", requirement)
    extra = re.search(r"extra\s*==\s*[\"']([\w-]+)", requirement)
    return (name[0] if name else requirement), (extra[1] if extra else "")


def licence_of(metadata: Any) -> str:
    """A package's licence: its SPDX expression, else its classifiers, else the first line of its licence."""
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    first = (metadata.get("License") or "").strip().splitlines()
    return ", ".join(classifiers) or (first[0][:60] if first else "no licence stated")


def models() -> Iterator[Item]:
    """The model files that others made."""
    for entry in registry.MODELS.values():
        try:
            found = registry.find(entry.name)
        except CheckpointError as error:
            found, reason = None, str(error)
        else:
            option = "" if entry.purpose == "inference" else f" {entry.purpose}"
            reason = f"emotalker doctor --fetch{option}"
        required = entry.purpose == "inference" and not entry.optional
        path = None if found is None else str(found)
        yield Item(f"models for {entry.purpose}", entry.name, path, entry.licence, required, reason, entry.sha256)


def weights() -> Iterator[Item]:
    """The weights that are part of the project."""
    folder = shipped_folder("checkpoints")
    names = sorted(
        {*_REQUIRED_WEIGHTS, *(path.name for path in folder.iterdir() if path.is_dir())} if folder else _REQUIRED_WEIGHTS
    )
    for name in names:
        files = sorted((folder / name).glob("*.safetensors")) if folder else []
        section = f"weights {name}"
        if not files:
            yield Item(section, name, None, "", name in _REQUIRED_WEIGHTS, "install EmoTalker again, its wheel contains them")
        licence = _card_licence(files[0].parent / "README.md") if files else ""
        for path in files:
            yield Item(section, path.name, str(path), licence, True, "", hashlib.sha256(path.read_bytes()).hexdigest())


def _card_licence(card: Path) -> str:
    """The licence that a model card states in its line "Licence of these weights"."""
    try:
        text = card.read_text(encoding="utf-8")
    except OSError:
        return "no model card"
    found = re.search(r"Licence of these weights: \*\*(.+?)\*\*", text)
    return found[1] if found else "see the model card"
