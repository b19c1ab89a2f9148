"""Recordings that are processed in blocks, here of 4 s: constant work for every second, bounded memory, no seams."""

from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
import torch

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT
from emotalker.core.threads import one_thread
from emotalker.inference import recording
from emotalker.inference.generator import MotionGenerator

VOICE = load_audio(str(files("emotalker") / "assets" / "demo.flac"))
REFERENCE = np.zeros(ARKIT.dim, np.float32)


@pytest.fixture(scope="module")
def generator() -> MotionGenerator:
    return MotionGenerator.from_pretrained()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(recording, "BLOCK_FRAMES", 100)
    monkeypatch.setattr(recording, "OVERLAP_FRAMES", 40)
    monkeypatch.setattr(recording, "FADE_FRAMES", 20)


@pytest.mark.parametrize("frames", [1, 1500, 1501, 1700, 15000, 90001])
def test_blocks_cover_the_recording_and_overlap(frames):
    spans = recording.block_spans(frames)
    assert spans[0][0] == 0 and spans[-1][1] == frames
    assert all(start % 4 == 0 and 100 < end - start <= 1504 for start, end in spans) or len(spans) == 1
    assert all(97 <= a[1] - b[0] <= 100 for a, b in pairwise(spans))


def test_the_work_for_every_second_is_the_same(generator, small_blocks, monkeypatch):
    """Samples of the audio encoder and frames of the lip branch for 8 s and 16 s, and the most at once."""
    work: dict[str, list[int]] = {}

    def counted(network, method):
        original = getattr(network, method)

        def call(x, *args, **kwargs):
            work.setdefault(method, []).append(x.shape[1])
            return original(x, *args, **kwargs)

        monkeypatch.setattr(network, method, call)

    counted(generator.encoder, "encode_all")
    counted(generator.lip, "encode_audio")
    counted(generator.vqvae, "decode")
    totals, most = [], []
    for seconds in (8, 16):
        work.clear()
        motion = generator.generate(np.resize(VOICE, seconds * 16000), REFERENCE)
        assert motion.coefficients.shape == (seconds * 25, ARKIT.dim) and np.isfinite(motion.coefficients).all()
        totals.append({name: sum(sizes) / seconds for name, sizes in work.items()})
        most.append({name: max(sizes) for name, sizes in work.items()})
    for name, first in totals[0].items():
        assert totals[1][name] < 1.35 * first and most[1][name] <= 1.1 * most[0][name], name
    assert totals[1]["encode_all"] < 2 * 16000, "every sample is encoded once, but for the overlap"


def test_blocks_join_without_seams(generator, small_blocks):
    motion = generator.generate(VOICE[:96000], REFERENCE).coefficients
    recording.BLOCK_FRAMES = 10**6  # reset by the fixture
    whole = generator.generate(VOICE[:96000], REFERENCE).coefficients
    jaw = ARKIT.index("jawOpen")
    assert np.corrcoef(motion[:, jaw], whole[:, jaw])[0, 1] > 0.85
    for entries in (ARKIT.lip, np.arange(ARKIT.dim)[ARKIT.pose]):
        steps = [np.abs(np.diff(m[:, entries], axis=0)).max() for m in (motion, whole)]
        assert steps[0] < 1.6 * steps[1]


def test_one_thread_only_within_the_block():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
