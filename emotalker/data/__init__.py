"""Training corpora: readers of published corpora, and the prepared format that training reads."""

from emotalker.core.emotions import EMOTIONS
from emotalker.data.shards import UNLABELLED, Clip, Corpus, load_clips
from emotalker.data.writer import CorpusWriter

__all__ = ["EMOTIONS", "UNLABELLED", "Clip", "Corpus", "CorpusWriter", "load_clips"]
