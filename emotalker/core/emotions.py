"""The emotion labels, and their synonyms in other corpora."""

from __future__ import annotations

#: The eight emotions of MEAD (docs/method.md 6), in the order of the VQ-VAE's emotion head.
EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
#: Labels of other corpora. RAVDESS' calm is mapped to neutral; the original label is kept with the clip.
SYNONYMS = {
    "anger": "angry", "ang": "angry", "disgust": "disgusted", "dis": "disgusted", "fearful": "fear", "fea": "fear",
    "happiness": "happy", "joy": "happy", "hap": "happy", "neu": "neutral", "calm": "neutral", "sadness": "sad",
    "surprise": "surprised",
}  # fmt: skip
#: RAVDESS' emotions in the order of its file names' third field; also the classes of the audio encoder's emotion head.
RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def emotion_of(word: str | None) -> str | None:
    """A corpus' label as one of :data:`EMOTIONS`, or None if it matches none of them."""
    word = (word or "").lower()
    word = SYNONYMS.get(word, word)
    return word if word in EMOTIONS else None
