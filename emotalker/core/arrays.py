"""Reading files of arrays (``.npz``) that others may have made or damaged."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from emotalker.core.errors import DataError, EmoTalkerError
from emotalker.core.limits import MAX_ARRAY_BYTES


@contextmanager
def open_arrays(
    source: str | os.PathLike | bytes, sentence: str, name: object = None, limit: int | None = None
) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of a file by name, each read when it is taken.

    Errors of the block, such as a name that is missing or a wrong shape, count as errors of the file.

    Args:
        source: path or contents.
        sentence: the error's message, with ``{path}`` and ``{reason}``.
        name: of the contents, for errors; the path by default.
        limit: bytes of all arrays together; :data:`~emotalker.core.limits.MAX_ARRAY_BYTES` by default.

    Raises:
        DataError: it cannot be read, or its arrays are beyond the limit.
    """
    where = source if name is None else name
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        most = MAX_ARRAY_BYTES if limit is None else limit
        if size > most:
            raise DataError(f"{where} unpacks to more than {most >> 20} MiB; cut it into shorter parts")
        with np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except EmoTalkerError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy's parser of headers raise many types
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(sentence.format(path=where, reason=" ".join(reason.split())[:200])) from error
