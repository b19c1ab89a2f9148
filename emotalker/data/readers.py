"""The readers by name."""

from __future__ import annotations

import importlib

from emotalker.data.base import CorpusReader
from emotalker.errors import DataError

READERS = {
    "mead": "emotalker.data.mead:MeadReader",
    "ravdess": "emotalker.data.ravdess:RavdessReader",
    "ravdess_landmarks": "emotalker.data.ravdess:RavdessLandmarksReader",
    "cremad": "emotalker.data.cremad:CremaDReader",
    "hdtf": "emotalker.data.hdtf:HdtfReader",
    "grid": "emotalker.data.grid:GridReader",
    "facegood": "emotalker.data.facegood:FacegoodReader",
    "bfm_mat": "emotalker.data.bfm_mat:BfmMatReader",
    "folder": "emotalker.data.folder:FolderReader",
}


def make_reader(config: dict) -> CorpusReader:
    """A reader from its name and arguments, as in ``configs/corpus/*.yaml`` with ``root`` added.

    Raises:
        DataError: there is no such reader or argument, or the reader does not find its folder.
    """
    options = dict(config)
    name = options.pop("reader", None)
    if name not in READERS:
        raise DataError(f"no reader {name!r}; known: {', '.join(READERS)}")
    module, cls = READERS[name].split(":")
    try:
        return getattr(importlib.import_module(module), cls)(**options)
    except TypeError as error:
        raise DataError(f"corpus {name}: {error}; see configs/corpus/{name}.yaml") from error
