"""Train, validation and test splits, shared by all training stages and evaluations.

``train`` fits the weights. ``val`` selects checkpoints and constants. ``test`` is used by evaluation commands only. Corpora
with several speakers are split by speaker, corpora of one or two speakers by sentence: all recordings of a sentence are in
the same split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

#: Speakers by corpus, with the identifiers of its files.
VALIDATION_SPEAKERS: Mapping[str, tuple[str, ...]] = {"ravdess": ("15", "16"), "javanese": ("07",)}
TEST_SPEAKERS: Mapping[str, tuple[str, ...]] = {"ravdess": ("17", "18", "19", "20"), "javanese": ("08", "09")}

#: Fractions of the sentences, for corpora without a speaker list.
TEST_FRACTION, VALIDATION_FRACTION = 0.1, 0.05


def split_of_speaker(speaker: str, validation: Sequence[str], test: Sequence[str]) -> Split:
    """The split of a speaker, given the validation and test speakers."""
    return "test" if speaker in test else "val" if speaker in validation else "train"


def split_of_name(name: str, test: float = TEST_FRACTION, validation: float = VALIDATION_FRACTION) -> Split:
    """The split of a sentence or clip, computed from a hash of its name.

    Args:
        name: of the sentence; equal in all its recordings.
        test, validation: fractions of all names.
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "test" if place < test else "val" if place < test + validation else "train"
