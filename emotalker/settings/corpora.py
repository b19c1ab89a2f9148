"""Settings of preparing and describing corpora."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from emotalker.core.config import Settings, mandatory, setting
from emotalker.settings.run import Roots


@dataclass(frozen=True, kw_only=True)
class Preparation(Settings):
    """Preparing a corpus: recordings of talking people to WebDataset shards."""

    NAME = "prepare"
    GROUPS: ClassVar[Mapping[str, str]] = {"corpus": "folder"}

    corpus: dict[str, Any] = mandatory("reader of the corpus and its options, chosen as corpus=NAME")
    root: Roots = mandatory("folder of the corpus; corpus=folder also takes a list")
    out: str = mandatory("folder of the prepared corpus")
    clips_per_shard: int = setting(100, "clips per shard", least=1)
    shard: str = setting("1/1", "part of the corpus: 3/16 is the third of sixteen machines that share the output folder")
    workers: int | None = setting(None, "processes; null starts one per core", least=1)
    threads: int | None = setting(1, "CPU threads per process; null uses torch's default", least=1)
    backend: Literal["processes", "ray"] = setting("processes", "processes, or ray for a cluster")
    retry: bool = setting(False, "prepare again the clips that failed before")


@dataclass(frozen=True, kw_only=True)
class CorpusReport(Settings):
    """Describing prepared corpora on one page."""

    NAME = "describe"

    data: Roots = mandatory("prepared corpus, or a list of them")
    out: str = setting("report.html", "self-contained page to write")
    worst: int = setting(12, "number of worst-tracked clips to show")
