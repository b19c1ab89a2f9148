"""Motion generated from the sound of evaluation clips, with the real motion of the same clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.core.errors import DataError
from emotalker.core.progress import progress_bar
from emotalker.data.shards import Clip, Corpus
from emotalker.inference.generator import MotionGenerator

#: The word for neutral in both corpora; calm is another emotion.
NEUTRAL = "neutral"


@dataclass(frozen=True)
class Performance:
    """One clip, real and generated.

    Attributes:
        clip: its labels and sound.
        reference: ``(D,)`` the generator's input for the speaker: a neutral frame with zero pose.
        real: ``(T, D)`` as tracked.
        generated: ``(T, D)`` from the clip's sound.
    """

    clip: Clip
    reference: np.ndarray
    real: np.ndarray
    generated: np.ndarray


def open_corpus(root: str) -> Corpus:
    """A prepared corpus of blendshapes; DataError if it is missing or in another coefficient space."""
    corpus = Corpus(root)
    if corpus.space is not ARKIT:
        raise DataError(f"{root} is in the space {corpus.space.name!r}; the evaluation needs {ARKIT.name!r}")
    return corpus


def pair_key(clip: Clip) -> tuple:
    """A key shared by clips that differ in their level only. The level is the third field of a RAVDESS name."""
    fields = clip.name.split("-")
    if clip.level is not None and len(fields) > 2:
        del fields[2]
    return (clip.speaker, *fields)


def choose_clips(clips: Sequence[Clip], limit: int) -> list[Clip]:
    """At most ``limit`` clips, spread evenly, both levels of a sentence together. Each speaker's first neutral clip is always
    included."""
    if len(clips) <= limit:
        return list(clips)
    rest = {clip.speaker: clip for clip in reversed(clips) if clip.original_emotion == NEUTRAL}
    groups: dict[tuple, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip is not rest.get(clip.speaker):
            groups[pair_key(clip)].append(clip)
    ordered = sorted(groups.values(), key=lambda group: group[0].name)
    fraction = max(0, limit - len(rest)) / (len(clips) - len(rest))
    kept = [group for i, group in enumerate(ordered) if int((i + 1) * fraction) > int(i * fraction)]
    return [*rest.values(), *(clip for group in kept for clip in group)]


def neutral_references(corpus: Corpus) -> dict[str, np.ndarray]:
    """Per speaker a motion vector ``(D,)`` as a portrait's: the first frame of their first neutral clip, pose zero."""
    references: dict[str, np.ndarray] = {}
    for clip in corpus.clips:
        if clip.original_emotion == NEUTRAL and clip.speaker not in references:
            frame = clip.motion[0].copy()
            frame[corpus.space.pose] = 0
            references[clip.speaker] = frame
    return references


def perform(
    generator: MotionGenerator, corpus: Corpus, clips: Sequence[Clip], title: str, seed: int = 0, **options
) -> list[Performance]:
    """Generate every clip's motion from its sound.

    Args:
        generator: all learned stages.
        corpus: of the clips; the speakers' references come from its neutral clips.
        clips: with sound.
        title: of the progress bar.
        seed: of the first clip; the n-th takes ``seed + n``.
        options: further arguments of :meth:`MotionGenerator.generate`.

    Raises:
        DataError: a speaker has no neutral clip.
    """
    references = neutral_references(corpus)
    missing = {clip.speaker for clip in clips} - set(references)
    if missing:
        raise DataError(f"{corpus.root} has no neutral clip of speaker {', '.join(sorted(missing))}; prepare one")
    performances = []
    with progress_bar() as progress:
        for n, clip in enumerate(progress.track(clips, description=title)):
            reference, real = references[clip.speaker], clip.motion
            track = generator.generate(clip.audio, reference, seed=seed + n, **options)
            performances.append(Performance(clip, reference, real, track.coefficients[: len(real)]))
    return performances
