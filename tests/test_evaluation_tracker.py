"""The report of the tracker's closed loop, on synthetic tracked films."""

import numpy as np
import pytest

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.evaluation.benchmark import Cost, Timing, memory_bandwidth, peak_memory
from emotalker.evaluation.tracker import TrackedFilm, correlations, report
from emotalker.synthetic.films import LEADING_BLENDSHAPES

JAW = ARKIT.index("jawOpen")


def test_correlations_by_blendshape():
    true = np.random.default_rng(0).uniform(0, 1, (50, 52))
    tracked = 0.5 * true + 0.1
    tracked[:, 3], tracked[:, 4] = -true[:, 3], 0.25
    r = correlations(true, tracked)
    assert r[0] == pytest.approx(1) and r[3] == pytest.approx(-1) and np.isnan(r[4])


def test_the_report_compares_with_the_required_values():
    true = np.random.default_rng(0).uniform(0, 1, (50, 52))
    tracked = true.copy()
    tracked[:, JAW] = 1 - tracked[:, JAW]
    error = np.tile([1.0, -2.0, 0.5], (50, 1))
    text = report([TrackedFilm(true, tracked, error, 60, "landmarks: a, prior: b")])
    rows = {
        cells[1].strip(): [c.strip() for c in cells[2:5]] for cells in (r.split("|") for r in text.splitlines() if "|" in r)
    }
    assert rows["jawOpen"] == ["-1.000", "-1.000", "* below"] and len(rows) == len(ARKIT_BLENDSHAPES) + 2
    assert "face found in 50 of 60 frames; landmarks: a, prior: b" in text
    assert f"{len(LEADING_BLENDSHAPES) - 1} of {len(LEADING_BLENDSHAPES)}; pose within 1.5 degrees: no" in text
    assert "pitch 1.00, yaw 2.00, roll 0.50" in text


def test_timing_sums_the_stages_and_compares_with_the_encoder():
    costs = Cost(0.016, 0.02), Cost(0.012, 0.012), Cost(0.008, 0.01)
    timing = Timing({"motion": 1.0, "render": 3.0}, 250, 10.0, 512, 3, *costs, 8e9, 400_000, 2**30)
    text = str(timing)
    assert "12.00 ms a frame" in text and "62.5 frames/s, 2.50 x real time" in text
    assert timing.encoder_share == pytest.approx(0.5) and "50% of the encoder alone (125 frames/s)" in text
    assert "motion 10.0 x real time, peak memory 1024 MiB" in text and "0.05 ms at 8.0 GB/s" in text


def test_bandwidth_and_peak_memory_of_this_machine():
    assert memory_bandwidth(2**22, 2) > 1e7
    assert peak_memory() == 0 or peak_memory() > 2**24
