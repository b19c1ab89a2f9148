"""Which people and sentences train, validate and test: one list for every stage and every evaluation.

``train`` teaches the weights. ``val`` picks training steps and hand-set constants. ``test`` is read by evaluation commands
only. Corpora with several people are split by person, so that voices and faces are new; corpora of one or two by whole
sentences, so that no sentence of a test clip was heard in training, whoever said it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

#: Speakers by corpus, as their files name them. Every command takes them from here.
VALIDATION_SPEAKERS: Mapping[str, tuple[str, ...]] = {"ravdess": ("15", "16"), "javanese": ("07",)}
TEST_SPEAKERS: Mapping[str, tuple[str, ...]] = {"ravdess": ("17", "18", "19", "20"), "javanese": ("08", "09")}

#: Of all sentences, where no speakers are named.
TEST_FRACTION, VALIDATION_FRACTION = 0.1, 0.05


def split_of_speaker(speaker: str, validation: Sequence[str], test: Sequence[str]) -> Split:
    """The split of everything a person says, given the people of the two smaller splits."""
    return "test" if speaker in test else "val" if speaker in validation else "train"


def split_of_name(name: str, test: float = TEST_FRACTION, validation: float = VALIDATION_FRACTION) -> Split:
    """The split of a sentence or clip by a fixed hash of its name, so that nothing has to be stored.

    Args:
        name: of the sentence; the same in all recordings of it.
        test, validation: fractions of all names.
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "test" if place < test else "val" if place < test + validation else "train"
