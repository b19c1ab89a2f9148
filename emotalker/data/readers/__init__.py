"""Readers of published corpora, by name."""

from __future__ import annotations

from emotalker.core.errors import DataError
from emotalker.data.readers.base import CorpusReader
from emotalker.data.readers.bfm_mat import BfmMatReader
from emotalker.data.readers.cremad import CremaDReader
from emotalker.data.readers.facegood import FacegoodReader
from emotalker.data.readers.folder import FolderReader
from emotalker.data.readers.grid import GridReader
from emotalker.data.readers.hdtf import HdtfReader
from emotalker.data.readers.live_link import LiveLinkReader
from emotalker.data.readers.mead import MeadReader
from emotalker.data.readers.ravdess import RavdessLandmarksReader, RavdessReader

READERS: dict[str, type[CorpusReader]] = {
    "mead": MeadReader,
    "ravdess": RavdessReader,
    "ravdess_landmarks": RavdessLandmarksReader,
    "cremad": CremaDReader,
    "hdtf": HdtfReader,
    "grid": GridReader,
    "facegood": FacegoodReader,
    "live_link": LiveLinkReader,
    "bfm_mat": BfmMatReader,
    "folder": FolderReader,
}


def make_reader(config: dict) -> CorpusReader:
    """A reader from its name and arguments, as in ``configs/prepare/corpus/*.yaml`` with ``root`` added.

    Raises:
        DataError: the reader or an argument does not exist, or the corpus' folder is missing.
    """
    options = dict(config)
    name = options.pop("reader", None)
    if name not in READERS:
        raise DataError(f"no reader {name!r}; known: {', '.join(READERS)}")
    try:
        return READERS[name](**options)
    except TypeError as error:
        raise DataError(f"corpus {name}: {error}; see configs/prepare/corpus/{name}.yaml") from error
