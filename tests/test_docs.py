"""Documentation: the site builds, links lead somewhere, and the commands that it names exist."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import emotalker

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_site_builds_without_a_warning(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: pip install 'emotalker[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    reference = (tmp_path / "site/api.html").read_text(encoding="utf-8")
    assert "TalkingHead.generate" in reference and "FaceNotFoundError" in reference
    # The site works without a connection: nothing is loaded from elsewhere.
    loaded = re.findall(r'<(?:script|img|link rel="stylesheet")[^>]+(?:src|href)="(https?:[^"]+)"', reference)
    assert not loaded


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.fixture(scope="module")
def options():
    """All options that the source defines."""
    files = [*ROOT.glob("scripts/*.py"), *ROOT.glob("emotalker/**/*.py")]
    found = {option for file in files for option in re.findall(r'"(--[a-z][a-z-]*)"', file.read_text(encoding="utf-8"))}
    parts = {f"--ref-{part}" for part in ("pose", "expression", "lips")}  # added in a loop
    return found | parts | {f"{part}-amplitude" for part in parts} | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_exist_with_their_options(page, options):
    unknown = []
    for script, rest in re.findall(r"(scripts/\w+\.py)((?:[^\n`]|\\\n)*)", page.read_text(encoding="utf-8")):
        used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest.split("|")[0].split("#")[0]))
        unknown += [f"{script} {option}" for option in used - options]
        unknown += [] if (ROOT / script).exists() else [script]
    assert not unknown


def test_versions_agree():
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)[1]
    latest = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1]
    assert citation == latest == emotalker.__version__
