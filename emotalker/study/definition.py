"""What a study asks about: systems, videos, criteria. Read from a YAML or JSON file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from emotalker.core.errors import ConfigError, DataError, MissingExtraError
from emotalker.core.suffixes import VIDEO_SUFFIXES

#: The five criteria of the supplement, section 3, and what raters are asked.
CRITERIA = {
    "emotion alignment": "In which video does the face fit the emotion of the voice best?",
    "lip synchronization": "In which video do the lips fit the speech best?",
    "motion diversity": "In which video are the movements of face and head most varied and lively?",
    "video sharpness": "Which video is the sharpest?",
    "overall naturalness": "Which video looks the most natural overall?",
}
CONSENT = (
    "You will see videos of talking faces made by computer programs and say which you prefer. Your answers are stored "
    "without your name and are used for research. You can stop at any time by closing this page."
)
#: Letters that raters see; as many systems can be compared at most.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MEDIA_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}


@dataclass(frozen=True)
class GoldCheck:
    """An attention check whose answer is clear: raters have to prefer ``better`` to ``worse`` by every criterion."""

    better: Path
    worse: Path


@dataclass(frozen=True)
class Study:
    """A user study; the fields are the keys of its file.

    Args:
        systems: folders of videos by system.
        title: heading of the pages.
        consent: text that raters agree to, paragraphs separated by an empty line.
        criteria: questions by name; the supplement's five by default.
        raters_per_item: raters who see each item; the paper has 3.
        items_per_rater: items that one rater sees at most; all by default.
        seed: of the order of videos and items.
        minutes: after which an item that was shown and not answered is given to another rater.
        instructed_checks: pages, for each rater, that name the video to choose.
        gold_checks: pairs of videos with a clear answer, shown to every rater.
        allowed_failures: failed attention checks after which a rater's answers still count.
    """

    systems: Mapping[str, Path]
    title: str = "Talking faces"
    consent: str = CONSENT
    criteria: Mapping[str, str] = None  # type: ignore[assignment]
    raters_per_item: int = 3
    items_per_rater: int | None = None
    seed: int = 0
    minutes: float = 30.0
    instructed_checks: int = 1
    gold_checks: tuple[GoldCheck, ...] = ()
    allowed_failures: int = 0

    def __post_init__(self):
        if self.criteria is None:
            object.__setattr__(self, "criteria", dict(CRITERIA))
        if not 2 <= len(self.systems) <= len(LETTERS):
            raise ConfigError(f"the study has {len(self.systems)} systems; name 2 to {len(LETTERS)} under systems")
        if not self.criteria:
            raise ConfigError("the study has no criteria; leave criteria out for the five of the paper")
        for name, least in (
            ("raters_per_item", 1),
            ("items_per_rater", 1),
            ("instructed_checks", 0),
            ("allowed_failures", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} of the study is {value}; give a whole number from {least} upwards")
        if not self.minutes > 0:
            raise ConfigError(f"minutes of the study is {self.minutes:g}; give a number above 0")

    @property
    def items(self) -> list[str]:
        """Names of files that all systems have, sorted.

        Raises:
            DataError: a folder is missing, or there is no such name.
        """
        found = [_videos(name, folder) for name, folder in self.systems.items()]
        shared = sorted(set.intersection(*found))
        if not shared:
            folders = ", ".join(str(folder) for folder in self.systems.values())
            raise DataError(f"no video has the same file name in all of {folders}; an item is a name that all systems have")
        return shared

    def path(self, system: str, item: str) -> Path:
        """The file of one system's video."""
        return self.systems[system] / item

    @property
    def checks(self) -> list[str]:
        """Names of the attention checks of every rater."""
        instructed = [f"instructed-{i}" for i in range(self.instructed_checks)]
        return instructed + [f"gold-{i}" for i in range(len(self.gold_checks))]

    @property
    def fingerprint(self) -> str:
        """Changes with everything that answers depend on; texts may be corrected during a study."""
        content = [list(self.systems), self.items, list(self.criteria), self.raters_per_item, self.seed, self.checks]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _videos(system: str, folder: Path) -> set[str]:
    if not folder.is_dir():
        raise DataError(f"{folder}, the folder of system {system}, does not exist; correct systems in the study's file")
    names = {
        path.name for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    }
    foreign = sorted(name for name in names if Path(name).suffix.lower() not in MEDIA_TYPES)
    if foreign:
        raise DataError(f"browsers do not play {folder / foreign[0]}; convert it to MP4 with H.264 and AAC")
    return names


def load_study(path: str | os.PathLike) -> Study:
    """Read a study's file; relative folders count from the folder of the file.

    Raises:
        ConfigError: the file is no YAML or JSON mapping, or has an unknown key or a wrong value.
        MissingExtraError: PyYAML is not installed, and the file is no JSON.
    """
    path = Path(path)
    content = _parse(path)
    known = {field.name: field for field in fields(Study)}
    for key in content:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key}; the keys are {', '.join(known)}")
    if not isinstance(content.get("systems"), dict):
        raise ConfigError(f"{path}: systems is missing; write a line 'name: folder' for each system below it")
    criteria = content.get("criteria")
    if isinstance(criteria, list) and set(criteria) <= set(CRITERIA):
        content["criteria"] = {name: CRITERIA[name] for name in criteria}
    elif criteria is not None and not (
        isinstance(criteria, dict) and all(isinstance(text, str) for text in criteria.values())
    ):
        raise ConfigError(f"{path}: criteria needs lines 'name: question', or a list of {', '.join(CRITERIA)}")
    for key, kind in (("title", str), ("consent", str), ("seed", int), ("minutes", (int, float)), ("gold_checks", list)):
        if key in content and (not isinstance(content[key], kind) or isinstance(content[key], bool)):
            raise ConfigError(f"{path}: {key} is {content[key]!r}, which is not of the right type")
    for key in ("raters_per_item", "items_per_rater", "instructed_checks", "allowed_failures"):
        if key in content and content[key] is not None and type(content[key]) is not int:
            raise ConfigError(f"{path}: {key} is {content[key]!r}; give a whole number")
    root = path.parent
    content["systems"] = {str(name): root / str(folder) for name, folder in content["systems"].items()}
    content["gold_checks"] = tuple(_gold(path, entry) for entry in content.get("gold_checks", ()))
    try:
        return Study(**content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}; give a study's file") from error
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{path} is no JSON: {error}") from error
    else:
        try:
            import yaml
        except ImportError as error:
            raise MissingExtraError("a study in YAML needs PyYAML: pip install 'emotalker[study]'") from error
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no mapping; write lines 'key: value' as in docs/study.md")
    return content


def _gold(path: Path, entry: Any) -> GoldCheck:
    if not isinstance(entry, dict) or set(entry) != {"better", "worse"}:
        raise ConfigError(f"{path}: an entry of gold_checks has the keys better and worse, each with a video")
    better, worse = (path.parent / str(entry[key]) for key in ("better", "worse"))
    for file in (better, worse):
        if not file.is_file() or file.suffix.lower() not in MEDIA_TYPES:
            raise DataError(f"{path}: {file} of gold_checks is no video for browsers; name MP4 files that exist")
    return GoldCheck(better, worse)
