"""Corpora: readers of published ones, and the prepared form that training reads."""

from emotalker.data.base import EMOTIONS
from emotalker.data.shards import UNLABELLED, Clip, Corpus, is_held_out, load_clips
from emotalker.data.writer import CorpusWriter

__all__ = ["EMOTIONS", "UNLABELLED", "Clip", "Corpus", "CorpusWriter", "is_held_out", "load_clips"]
