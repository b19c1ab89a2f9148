"""Ids of clips never become paths outside the corpus."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emotalker.coefficients import ARKIT
from emotalker.core.errors import DataError
from emotalker.data.clip_ids import clip_id, is_clip_id, with_unique_ids
from emotalker.data.readers.base import ClipSource
from emotalker.data.readers.grid import GridReader
from emotalker.data.shards import MANIFEST, Corpus
from emotalker.data.writer import CorpusWriter


@pytest.mark.parametrize("text", ["/etc/passwd", "..", "a/b", "a.b", "", "a b", "x" * 91, "a\0b", None, 3])
def test_what_is_no_id(text):
    assert not is_clip_id(text)


@pytest.mark.parametrize("text", ["a/b c", "x" * 300, "caf\udce9", "é" * 80, "../../up"])
def test_any_name_gives_an_id_of_its_own(text):
    assert is_clip_id(clip_id(text)) and clip_id(text) == clip_id(text)
    assert clip_id("x" * 300) != clip_id("x" * 301) and clip_id("01-02") == "01-02"


def test_names_that_become_equal_stay_apart():
    clips = [ClipSource(id=clip_id(name), speaker="s", video=Path(f"{name}.mp4")) for name in ("a b", "a_b", "c")]
    ids = [clip.id for clip in with_unique_ids(clips)]
    assert len(set(ids)) == 3 and ids[2] == "c" and all(map(is_clip_id, ids))


@pytest.fixture
def corpus(tmp_path):
    writer = CorpusWriter(tmp_path / "corpus", ARKIT, "test", "none")
    writer.add("clip1", np.zeros((10, ARKIT.dim), np.float32), None)
    return writer.close()


@pytest.mark.parametrize(
    "change",
    [{"shard": "/etc/passwd"}, {"shard": "../x.tar"}, {"id": "../x"}, {"id": "<script>"}, {"frames": "9"}, {"files": 1}],
)
def test_a_manifest_cannot_name_other_files(corpus, change):
    path = corpus.root / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(DataError, match=r"manifest|names a"):
        Corpus(corpus.root)


def test_the_shard_of_a_manifest_may_not_be_missing(corpus):
    path = corpus.root / MANIFEST
    entry = json.loads(path.read_text())
    del entry["shard"]
    path.write_text(json.dumps(entry) + "\n")
    with pytest.raises(DataError, match="damaged"):
        Corpus(corpus.root)


def test_grid_ids_are_checked(tmp_path, monkeypatch):
    reader = GridReader(tmp_path)
    sources = [ClipSource(id="/tmp/outside", speaker="s1")]
    with pytest.raises(DataError, match="no id"):
        reader.found(sources, "layout")
    assert reader.found([replace(sources[0], id="bbaf2n")], "layout")
