"""Lip sync of tracked videos, on synthetic mouth tracks."""

import numpy as np
import pytest

from emotalker.core.errors import DataError
from emotalker.evaluation import lipsync
from emotalker.evaluation.lipsync import GridClip, MouthTrack


def test_closure_ratio_is_the_smallest_gap_nearby():
    gap = np.full(75, 0.5)
    gap[0], gap[74], gap[25] = 0.1, 1.1, 0.3
    assert lipsync.closure_ratio(gap, 1.0) == pytest.approx(0.2)  # frame 25 at 1 s: (0.3 - 0.1) / (1.1 - 0.1)
    assert lipsync.closure_ratio(gap, 1.09) == pytest.approx(0.2)  # 0.10 s before is frame 24.75
    assert lipsync.closure_ratio(gap, 1.2) == pytest.approx(0.4)
    assert np.isnan(lipsync.closure_ratio(np.full(75, np.nan), 1.0)) and np.isnan(lipsync.closure_ratio(np.ones(75), 1.0))


def test_random_instants_stay_away_from_closures_and_pauses():
    closures = np.array([1.0, 1.5])
    times = lipsync.random_instants(closures, (0.8, 2.2), 40, np.random.default_rng(0))
    assert len(times) == 40 and times.min() >= 1.2 and times.max() <= 2.2
    assert np.abs(times[:, None] - closures).min() >= lipsync.AWAY
    assert np.array_equal(times, lipsync.random_instants(closures, (0.8, 2.2), 40, np.random.default_rng(0)))
    assert len(lipsync.random_instants(closures, (0.9, 1.15), 40, np.random.default_rng(0))) == 0
    assert len(lipsync.random_instants(np.array([]), (0.0, 1.0), 5, np.random.default_rng(0))) == 5


def test_closures_are_counted_against_random_instants():
    """Lips that close at the bilabials only: all closures are closed, no random instant is."""
    gap = np.ones(75)
    gap[24:27], gap[49:52] = 0.0, 0.0
    real = MouthTrack(np.sin(np.arange(75)), gap)
    clip = GridClip("clip", "clip.opus", real, np.array([1.0, 2.0]), (0.5, 2.8))
    made = MouthTrack(-real.jaw_open, np.where(np.arange(75) < 40, gap, 1.0))
    result = lipsync.compare([clip], lambda audio: made)
    assert result.jaw[0] == pytest.approx(-1)
    closed = {name: np.mean(r < lipsync.CLOSED) for name, r in result.closures.items()}
    assert closed == {
        "generated, at b, p, m": 0.5, "generated, at random instants": 0.0,
        "real, at b, p, m": 1.0, "real, at random instants": 0.0,
    }  # fmt: skip
    assert len(result.closures["real, at random instants"]) == 2 * lipsync.INSTANTS_PER_CLOSURE
    text = str(result)
    assert "| mean of 1 |" in text and "| real, at b, p, m" in text and "100%" in text and "50%" in text


def test_energy_table():
    samples = np.repeat(np.linspace(0.01, 0.5, 50), 640)
    energy = lipsync.log_energy(samples, 50)
    row = lipsync.energy_table({"a.wav": (MouthTrack(energy, -energy), samples)}).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["a.wav", "1.000", "-1.000"]


def test_grid_clips_come_from_one_split(tmp_path, monkeypatch):
    from emotalker.core.splits import split_of_name

    names = [f"clip{n}" for n in range(40)]
    test = [name for name in names if split_of_name(name) == "test"]

    class Stored:
        scores = np.zeros((40, 75, 52))
        landmarks = np.random.default_rng(0).uniform(0, 100, (40, 75, 478, 2))
        landmark_index = np.arange(478)

    Stored.names = names
    monkeypatch.setattr(lipsync.Tracks, "load", lambda path: Stored)
    with pytest.raises(DataError, match="no word alignments"):
        lipsync.grid_clips(tmp_path, "test", 2)
    spoken = (("0.0", "0.5", "sil"), ("0.5", "0.8", "place"), ("0.8", "1.1", "red"), ("1.1", "1.6", "m"), ("1.6", "3", "sil"))
    lines = ["clip\tstart_s\tend_s\tword", *("\t".join((name, *word)) for name in names for word in spoken)]
    (tmp_path / "words.tsv").write_text("\n".join(lines) + "\n")
    clips = lipsync.grid_clips(tmp_path, "test", 2)
    assert [clip.name for clip in clips] == test[:2] and clips[0].speech == (0.5, 1.6)
    assert clips[0].closures.tolist() == [0.5, 1.6]  # place begins with its closure, the letter m ends with it
