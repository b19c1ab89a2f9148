"""The emotion heard over time in recordings joined of two clips (docs/method.md 9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.coefficients import ARKIT
from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.core.errors import DataError
from emotalker.data.shards import Clip
from emotalker.evaluation.tables import markdown_table
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.performance import PERFORMANCE, PerformanceConfig

#: Seconds around the joint of two clips in which either emotion is right, and in which the change has to lie.
TOLERANCE = 1.0


def emotion_index(clip: Clip) -> int:
    """Position of the clip's label in EMOTIONS; calm counts as neutral."""
    return EMOTIONS.index(emotion_of(clip.original_emotion))


def different_pairs(clips: Sequence[Clip], count: int, seed: int = 0) -> list[tuple[Clip, Clip]]:
    """Random pairs of clips of one speaker with different emotions; DataError if no speaker has two emotions."""
    by_speaker: dict[str, list[Clip]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    varied = [group for _, group in sorted(by_speaker.items()) if len({emotion_index(clip) for clip in group}) > 1]
    if not varied:
        raise DataError("no speaker has clips of two emotions; give a prepared corpus of acted emotions")
    rng, pairs = np.random.default_rng(seed), []
    while len(pairs) < count:
        group = varied[rng.integers(len(varied))]
        first, second = (group[i] for i in rng.choice(len(group), 2, replace=False))
        if emotion_index(first) != emotion_index(second):
            pairs.append((first, second))
    return pairs


def joint_scores(weights: np.ndarray, joint: float, first: int, second: int, fps: int = ARKIT.fps) -> list[float]:
    """Scores of one joined recording.

    Args:
        weights: ``(F, 8)`` heard.
        joint: end of the first clip, seconds.
        first, second: emotions of the clips, positions in EMOTIONS.
        fps: frames per second.

    Returns:
        Share of frames further than TOLERANCE from the joint whose strongest emotion is right, mean of both sides; whether
        the weight of the second emotion overtakes that of the first within TOLERANCE of the joint; number of changes of the
        strongest emotion; seconds in which the second emotion rises from 10 % to 90 %, NaN if the change is not found.
    """
    times, strongest = np.arange(len(weights)) / fps, weights.argmax(1)
    right = [(strongest[times < joint - TOLERANCE] == first).mean(), (strongest[times > joint + TOLERANCE] == second).mean()]
    lead = weights[:, second] - weights[:, first]
    crossings = np.flatnonzero((lead[:-1] <= 0) & (lead[1:] > 0))
    distances = np.abs(times[crossings] - joint)
    found = bool((distances <= TOLERANCE).any())
    changes = np.count_nonzero(np.diff(strongest))
    rise = _rise(weights[:, second], int(crossings[distances.argmin()]), fps) if found else float("nan")
    return [float(np.mean(right)), float(found), float(changes), rise]


def _rise(weight: np.ndarray, crossing: int, fps: int) -> float:
    """Seconds from the last 10 % before a frame to the first 90 % after it, between the extremes of 2 s around it."""
    before, after = weight[max(0, crossing - 2 * fps) : crossing + 1], weight[crossing : crossing + 2 * fps]
    low, high = before.min(), after.max()
    ten = np.flatnonzero(before <= low + 0.1 * (high - low))[-1] - (len(before) - 1)
    ninety = np.flatnonzero(after >= low + 0.9 * (high - low))[0]
    return float(ninety - ten) / fps


def report(generator: MotionGenerator, clips: Sequence[Clip], pairs: int, seed: int = 0) -> str:
    """Joined pairs, and single clips with one mix and over time, as Markdown tables."""
    joined = [joint_scores(*_joined(generator, *pair)) for pair in different_pairs(clips, pairs, seed)]
    header = ["pairs", f"right beyond {TOLERANCE:g} s", f"found within {TOLERANCE:g} s", "changes", "rise (s)"]
    one_mix = PERFORMANCE.without("emotion_windows")
    table = markdown_table(header, [[str(pairs), *map(float, np.nanmean(joined, axis=0))]])
    single = markdown_table(
        ["single clips", "right, one mix", "right, over time"],
        [[str(len(clips)), _share_right(generator, clips, one_mix), _share_right(generator, clips, PERFORMANCE)]],
    )
    return f"{table}\n\n{single}"


def _joined(generator: MotionGenerator, first: Clip, second: Clip) -> tuple[np.ndarray, float, int, int]:
    """Arguments of :func:`joint_scores`."""
    weights = generator.emotion_weights(np.concatenate([first.audio, second.audio]))
    return weights, len(first.audio) / SAMPLE_RATE, emotion_index(first), emotion_index(second)


def _share_right(generator: MotionGenerator, clips: Sequence[Clip], performance: PerformanceConfig) -> float:
    """Mean share of frames whose strongest emotion is the clip's."""
    strongest = (generator.emotion_weights(clip.audio, performance=performance).argmax(1) for clip in clips)
    return float(np.mean([(heard == emotion_index(clip)).mean() for heard, clip in zip(strongest, clips, strict=True)]))
