"""Prepared corpora, splits, data order, augmentation, and training windows."""

import json

import numpy as np
import pytest

from emotalker.coefficients import ARKIT
from emotalker.coefficients.resample import change_speed
from emotalker.core.errors import DataError
from emotalker.core.splits import SPLITS, split_of_name
from emotalker.data import Corpus, CorpusWriter, load_clips
from emotalker.training import augment
from emotalker.training.datasets import LipWindows, MotionWindows, SpeechMotion, motion_statistics
from emotalker.training.sampling import Key, StepBatches, sequential_batches


def motion_of(frames: int, seed: int) -> np.ndarray:
    """Smooth random motion ``(frames, 58)``."""
    steps = np.random.default_rng(seed).standard_normal((frames, ARKIT.dim)) * 0.1
    return np.abs(np.cumsum(steps, axis=0)).astype(np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus")
    writer = CorpusWriter(path, ARKIT, "synthetic", "CC0")
    for i in range(30):
        audio = np.random.default_rng(i).uniform(-0.5, 0.5, 640 * 75 - 100)
        writer.add(f"clip{i}", motion_of(75, i), audio, emotion="happy" if i % 2 else None, first_frame=i)
    writer.close()
    return path


def test_corpus_returns_the_written_data(root):
    corpus = Corpus(root)
    clip = corpus.clips[3]
    assert (clip.name, clip.frames, clip.emotion, clip.first_frame, clip.label) == ("clip3", 75, "happy", 3, 4)
    assert corpus.clips[2].label == -1
    np.testing.assert_array_equal(clip.motion, motion_of(75, 3))
    audio = np.random.default_rng(3).uniform(-0.5, 0.5, 640 * 75 - 100)
    assert clip.audio.shape == (640 * 75,) and clip.audio.dtype == np.float32
    np.testing.assert_allclose(clip.audio[:-100], audio, atol=1e-4)
    assert corpus.manifest["licence"] == "CC0"


def test_split_depends_on_the_name_only(root):
    parts = {split: {clip.name for clip in load_clips(root, split)} for split in SPLITS}
    assert sum(map(len, parts.values())) == 30 == len(set.union(*parts.values()))
    assert all(split_of_name(name) == split for split, names in parts.items() for name in names)
    splits = [split_of_name(f"name{i}") for i in range(5000)]
    assert abs(splits.count("test") / 5000 - 0.1) < 0.015 and abs(splits.count("val") / 5000 - 0.05) < 0.01
    assert split_of_name("swiz3n") == split_of_name("swiz3n")


def test_missing_damaged_or_other_corpora_are_data_errors(root, tmp_path):
    with pytest.raises(DataError, match="no prepared corpus"):
        Corpus(tmp_path / "missing")
    (tmp_path / "manifest.jsonl").write_text("")
    (tmp_path / "corpus.json").write_text("{broken")
    with pytest.raises(DataError, match="damaged"):
        Corpus(tmp_path)
    (tmp_path / "corpus.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(DataError, match="other"):
        Corpus(tmp_path)
    for name in ("corpus.json", "manifest.jsonl"):
        (tmp_path / name).write_text((root / name).read_text())
    with pytest.raises(DataError, match=r"shard-00000\.tar"):
        Corpus(tmp_path).clips[0].motion.sum()
    with pytest.raises(ValueError, match="finite"):
        CorpusWriter(tmp_path, ARKIT, "", "").add("a", np.full((5, 58), np.nan), np.zeros(10))


def test_data_order_depends_on_seed_and_step_only():
    whole = list(StepBatches(10, 4, seed=1, start=0, stop=12))
    resumed = list(StepBatches(10, 4, seed=1, start=7, stop=12))
    assert whole[7:] == resumed
    first_epochs = [key.index for batch in whole for key in batch][:40]
    for epoch in range(4):
        assert sorted(first_epochs[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert len({key.seed for batch in whole for key in batch}) == 48
    assert whole != list(StepBatches(10, 4, seed=2, start=0, stop=12))


def test_data_order_does_not_depend_on_the_number_of_processes():
    alone = [key for batch in StepBatches(50, 8, seed=3, start=0, stop=5) for key in batch]
    parts = [list(StepBatches(50, 4, seed=3, start=0, stop=5, rank=rank, world=2)) for rank in range(2)]
    together = [key for step in range(5) for rank in range(2) for key in parts[rank][step]]
    assert together == alone
    accumulated = [key for batch in StepBatches(50, 4, seed=3, start=0, stop=5, micro_batches=2) for key in batch]
    assert accumulated == alone


def test_validation_returns_every_item_once():
    keys = [key for batch in sequential_batches(10, 4, seed=0) for key in batch]
    assert [key.index for key in keys] == list(range(10))


def test_waveform_augmentation_is_deterministic_and_keeps_shape():
    wave = np.sin(np.arange(16000) * 0.05).astype(np.float32)
    everything = augment.SpeechAugmentation(gain=1, noise=1, filter=1)
    once, again = everything(wave, np.random.default_rng(5)), everything(wave, np.random.default_rng(5))
    np.testing.assert_array_equal(once, again)
    assert once.shape == wave.shape and once.dtype == np.float32 and np.isfinite(once).all() and np.abs(once).max() <= 1
    assert not np.allclose(once, wave, atol=1e-3)
    np.testing.assert_array_equal(augment.SpeechAugmentation(0, 0, 0)(wave, np.random.default_rng(5)), wave)
    assert np.isfinite(everything(np.zeros(16000, np.float32), np.random.default_rng(0))).all()


def test_noise_has_the_requested_signal_to_noise_ratio():
    wave = np.sin(np.arange(16000) * 0.05).astype(np.float32)
    noisy = augment.add_noise(wave, np.random.default_rng(0), low_snr=10, high_snr=10)
    assert 10 * np.log10(np.mean(wave**2) / np.mean((noisy - wave) ** 2)) == pytest.approx(10, abs=0.1)


def test_speed_change_keeps_audio_and_motion_synchronous():
    """A click at the middle of a linear motion stays at the middle."""
    motion = np.linspace(0, 1, 100, dtype=np.float32)[:, None]
    wave = np.zeros(64000, np.float32)
    wave[32000] = 1
    for speed in (0.85, 1.0, 1.2):
        frames = int(100 / speed)
        fast, moved = augment.resample_wave(wave, speed), change_speed(motion, speed, frames)
        click = np.argmax(np.abs(fast)) / 640 - 0.5
        at_click = np.interp(click, np.arange(frames), moved[:, 0])
        assert at_click == pytest.approx(np.interp(49.5, np.arange(100), motion[:, 0]), abs=0.005)
    assert all(round(20 * augment.random_speed(np.random.default_rng(i))) in range(17, 25) for i in range(50))


def test_mel_warp_shifts_a_band_and_mask_sets_the_fill_value():
    mel = np.zeros((80, 30), np.float32)
    mel[40] = 1
    assert augment.warp_mel(mel, 1.1)[:, 0].argmax() == 44
    np.testing.assert_array_equal(augment.warp_mel(mel, 1.0), mel)
    masked = augment.mask_mel(mel + 1, np.random.default_rng(3), fill=-4)
    assert (masked == -4).any() and masked.shape == mel.shape and mel.max() == 1


def test_windows_have_the_networks_input_shapes(root):
    clips = load_clips(root, "train")
    motion = MotionWindows(clips, 64, ARKIT.face)
    item = motion[Key(1, (0, 1))]
    assert item["motion"].shape == (64, len(ARKIT.face)) and item["emotion"] == clips[1].label
    np.testing.assert_array_equal(item["motion"], motion[Key(1, (0, 1))]["motion"])

    features = {clip.name: np.random.default_rng(0).standard_normal((3, 150, 16)).astype(np.float16) for clip in clips}
    speech = SpeechMotion(clips, features, 72, ARKIT.face, augment=True)[Key(0, (4, 2))]
    assert speech["features"].shape == (144, 16) and speech["motion"].shape == (72, 30)
    assert speech["reference"].shape == (58,) and not speech["reference"][ARKIT.pose].any()

    lips = LipWindows(clips, 40, augment.SpeechAugmentation())
    item = lips[Key(2, (0, 9))]
    assert item["mel"].shape == (40, 80, 16) and item["motion"].shape == (40, 58)
    np.testing.assert_array_equal(item["mel"], lips[Key(2, (0, 9))]["mel"])
    with pytest.raises(DataError, match=r"lower data\.frames"):
        MotionWindows(clips, 100, ARKIT.face)
    with pytest.raises(ValueError, match="multiple of 4"):
        SpeechMotion(clips, features, 70, ARKIT.face, augment=False)


def test_lip_windows_equal_those_of_inference(root):
    """Without augmentation, a window from the middle of a clip equals the same part of the whole clip's windows."""
    import torch

    from emotalker.audio.mel import MelSpectrogram, lip_windows

    clip = load_clips(root, "train")[0]
    whole = lip_windows(MelSpectrogram()(torch.from_numpy(clip.audio)[None]), 75)[0]
    for seed in range(4):
        item = LipWindows([clip], 30, None)[Key(0, (seed,))]
        start = int(np.flatnonzero((clip.motion == item["motion"][0]).all(1))[0])
        if start % 5 == 0:  # for other starts, the 3.2 mel frames per video frame are rounded differently
            inner = slice(1, -1)
            torch.testing.assert_close(item["mel"][inner], whole[start : start + 30][inner], atol=0.05, rtol=0)


def test_motion_statistics_average_all_frames(root):
    clips = load_clips(root, "train")
    statistics = motion_statistics(clips, ARKIT.face)
    frames = np.concatenate([clip.motion[:, ARKIT.face] for clip in clips])
    np.testing.assert_allclose(statistics.mean.numpy(), frames.mean(0), rtol=1e-4)
