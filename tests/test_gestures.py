"""Blinks and accents that accompany speech."""

import numpy as np

from emotalker.inference.gestures import BLINK, SHUT, BlinkTimes, accents, add_blinks

FPS = 25


def starts(lids: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff((lids.mean(1) > SHUT).astype(int), prepend=0) == 1)


def blink_times(per_minute: float) -> BlinkTimes:
    return BlinkTimes.poisson(per_minute, FPS, np.random.default_rng(0))


def test_blinks_in_parts_are_those_of_the_whole():
    lids = np.zeros((FPS * 60, 2), np.float32)
    whole, times = add_blinks(lids, blink_times(20.0), FPS), blink_times(20.0)
    assert len(starts(whole)) > 8
    for start in range(0, len(lids) - 600, 100):
        part = add_blinks(lids[start : start + 600], times, FPS, start)
        np.testing.assert_array_equal(part[20:500], whole[start : start + 600][20:500])


def test_blinks_are_added_at_the_rate_and_away_from_others():
    lids = np.zeros((FPS * 60 * 20, 2), np.float32)
    lids[1000 : 1000 + len(BLINK)] = BLINK[:, None]
    added = add_blinks(lids, blink_times(10.0), FPS)
    assert 140 < len(starts(added)) < 230, "20 minutes at 10 a minute, less those that would follow another at once"
    assert np.diff(starts(added)).min() >= 0.7 * FPS
    np.testing.assert_array_equal(added[1000 : 1000 + len(BLINK)], lids[1000 : 1000 + len(BLINK)])
    assert not np.shares_memory(added, lids) and lids[:900].max() == 0


def test_no_blinks_are_added_at_rate_zero_or_in_a_short_clip():
    lids = np.zeros((4, 2), np.float32)
    np.testing.assert_array_equal(add_blinks(lids, blink_times(0.0), FPS), lids)
    assert add_blinks(lids, blink_times(60.0), FPS).shape == (4, 2)


def test_accents_are_at_the_loud_syllables():
    seconds = np.arange(16000 * 4) / 16000
    loudness = 0.01 + 0.5 * np.exp(-(((seconds - 1) / 0.08) ** 2)) + 0.25 * np.exp(-(((seconds - 2.6) / 0.08) ** 2))
    accent = accents((loudness * np.sin(2 * np.pi * 200 * seconds)).astype(np.float32), 100, FPS)
    assert accent.shape == (100,) and abs(int(accent.argmax()) - 25) <= 1 and accent.max() <= 1
    assert 0.2 < accent[65] < accent[25] and accent[45] < 0.05


def test_a_steady_tone_and_silence_have_no_accents():
    tone = (0.1 * np.sin(np.arange(16000) / 8)).astype(np.float32)
    assert accents(tone, 25, FPS).max() == 0 and accents(np.zeros(16000, np.float32), 25, FPS).max() == 0
    assert accents(np.zeros(640, np.float32), 1, FPS).shape == (1,)
