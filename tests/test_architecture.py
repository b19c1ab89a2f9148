"""Folders import downwards only, in the order of docs/architecture.md."""

import ast
from pathlib import Path

import emotalker

ROOT = Path(emotalker.__file__).parent
#: Each folder may import from those on earlier lines only.
LAYERS = (
    ("core",),
    ("settings",),
    ("audio", "video", "coefficients"),
    ("face", "models"),
    ("tracking", "render", "exchange"),
    ("synthetic", "inference"),
    ("data",),
    ("training",),
    ("evaluation",),
    ("study", "service", "app"),
    ("console",),
)
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders}


def imported_folders(path: Path) -> set[str]:
    """Folders of the package that a file imports from, lazily or not."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "emotalker" and len(part) > 1}


def test_every_folder_has_a_level():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(LEVEL)


def test_imports_point_downwards():
    upward = []
    for path in ROOT.glob("*/**/*.py"):
        folder = path.relative_to(ROOT).parts[0]
        upward += [
            f"{path.relative_to(ROOT)} imports {other}"
            for other in imported_folders(path) - {folder}
            if LEVEL[other] >= LEVEL[folder]
        ]
    assert not upward, "\n".join(upward)


def test_modules_are_not_named_by_strings():
    """Importing by a string would hide it from the test above; scripts pass their stage's name, which delays its import."""
    hidden = [
        f"{path.relative_to(ROOT)}: {node.value}"
        for path in ROOT.glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("emotalker.")
    ]
    assert not hidden, "\n".join(hidden)
