"""Data splits, shared by all training stages and evaluations.

``train`` is for the weights, ``val`` for the choice of checkpoints and constants, ``test`` for evaluation only. Corpora with
several speakers are split by speaker, so that voices and faces in ``val`` and ``test`` are new. Corpora with one or two
speakers are split by sentence: all recordings of a sentence are in the same split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

#: Speakers by corpus, under the names that the corpus' files use.
VALIDATION_SPEAKERS: Mapping[str, tuple[str, ...]] = {
    "ravdess": ("15", "16"),
    "javanese": ("07",),
    "nemo": ("nemo_TP0",),
    "ased": ("ased_10", "ased_17", "ased_24", "ased_31"),
    "banglaser_ext": ("bser_43", "bser_44"),
}
TEST_SPEAKERS: Mapping[str, tuple[str, ...]] = {"ravdess": ("17", "18", "19", "20"), "javanese": ("08", "09")}

#: Fractions of the clips in a corpus that is split by name.
TEST_FRACTION, VALIDATION_FRACTION = 0.1, 0.05


def split_of_speaker(speaker: str, validation: Sequence[str], test: Sequence[str]) -> Split:
    """The split of a speaker, given the speakers of the validation and test splits."""
    return "test" if speaker in test else "val" if speaker in validation else "train"


def split_of_name(name: str, test: float = TEST_FRACTION, validation: float = VALIDATION_FRACTION) -> Split:
    """The split of a sentence or clip by a fixed hash of its name.

    Args:
        name: of the sentence; the same for all recordings of it.
        test, validation: fractions of all names.
    """
    position = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "test" if position < test else "val" if position < test + validation else "train"
