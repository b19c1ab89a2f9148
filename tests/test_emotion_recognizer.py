"""The emotion recogniser on a tiny random audio encoder: windows, training, cache, evaluation."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import save_wav, tiny_hubert
from safetensors.torch import load_file

from emotalker.core.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import CheckpointError, DataError
from emotalker.core.launch import compose
from emotalker.data.emotional_speech import ACTED, load_emotion_clips
from emotalker.evaluation import emotion_recognizer as evaluation
from emotalker.models import AudioEncoder, EmotionRecognizer
from emotalker.models.emotion_recognizer import CLASSES, NEUTRAL, EmotionRecognizerConfig
from emotalker.models.prosody import ENERGY, PITCH, STATISTICS, VOICED, VOICING, is_speech, prosody, prosody_statistics
from emotalker.settings.emotion_recognizer import EmotionRecognizerLoss, EmotionRecognizerTraining
from emotalker.training import emotion_recognizer as training
from emotalker.training.emotion_strength import fit_strength, strength_targets
from emotalker.training.solver import Solver

RATE = 16000
HIGH, LOW = "happy", "sad"  # of the synthetic corpora: high and fast, low and slow


def voice(seconds: float, pitch: float, rate: float = 3.0, seed: int = 0) -> np.ndarray:
    """Harmonics of a pitch in Hz in ``rate`` syllables a second, with a little noise."""
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 9)) * (1 - np.cos(2 * np.pi * rate * time)) / 2
    return (0.1 * wave + 1e-3 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder(tiny_hubert()).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def recognizer(encoder) -> EmotionRecognizer:
    """Random weights, scaled such that different sounds are heard differently."""
    torch.manual_seed(1)
    model = EmotionRecognizer(EmotionRecognizerConfig(encoder_dim=16, encoder_layers=2, hidden_dim=16, members=2)).eval()
    model.std.fill_(0.3)
    model.strength_weights.normal_(std=0.02)
    return model.attach(encoder)


def test_prosody_measures_pitch_and_pauses():
    silence = np.zeros(RATE, np.float32)
    measured = prosody(torch.from_numpy(np.concatenate([voice(1, 150), silence, voice(1, 300)])))
    assert measured.shape == (150, 8)
    voiced = measured[:, VOICING] > VOICED
    for span, pitch in ((slice(5, 45), 150), (slice(105, 145), 300)):
        heard = measured[span, PITCH][voiced[span]].median()
        assert heard == pytest.approx(12 * np.log2(pitch / 100), abs=0.5)
    speech = is_speech(measured)
    assert not speech[55:95].any() and speech[5:45].float().mean() > 0.7
    assert measured[60, ENERGY] < measured[20, ENERGY] - 30
    assert prosody_statistics(measured, speech).shape == (STATISTICS,)


def test_windows_cover_the_recording_and_ignore_its_level(recognizer):
    wave = torch.from_numpy(np.concatenate([voice(3, 120), voice(3, 320, 6.0)]))
    times, heard, strength = recognizer.windows(wave, seconds=2.0, hop=0.5)
    assert np.allclose(times, 1 + 0.5 * np.arange(9)) and heard.shape == (9, 8)
    assert np.allclose(heard.sum(1), 1, atol=1e-5) and (heard >= 0).all()
    assert np.abs(heard[0] - heard[-1]).max() > 0.02  # another voice, another emotion
    assert strength.shape == (9,) and (strength > 0).all() and (strength < 1).all()
    quiet = recognizer.windows(0.05 * wave)
    assert np.allclose(quiet.probabilities, heard, atol=1e-3) and np.allclose(quiet.strength, strength, atol=1e-3)


def test_a_window_of_the_whole_recording_is_what_the_recording_is_heard_as(recognizer):
    wave = torch.from_numpy(voice(2.5, 200))
    whole = recognizer.recognize(wave)
    times, heard, _ = recognizer.windows(wave, seconds=10)
    assert heard.shape == (1, 8) and times[0] == pytest.approx(1.25, abs=0.03)
    assert np.allclose(heard[0], whole, atol=1e-6)
    long = recognizer.recognize(torch.from_numpy(np.tile(voice(2, 200), 8)))  # 16 s, described in pieces
    assert torch.allclose(long, recognizer.recognize(torch.from_numpy(np.tile(voice(2, 200), 2))), atol=0.05)


def test_windows_without_speech_are_neutral(recognizer):
    silence = np.zeros(4 * RATE, np.float32)
    _, heard, strength = recognizer.windows(torch.from_numpy(np.concatenate([voice(3, 200), silence])), 2.0, 0.5)
    assert strength[-1] == 0 < strength[0]
    assert heard[-1].argmax() == NEUTRAL and heard[-1].max() == 1 and heard[0].max() < 1


def test_save_load_and_attach(recognizer, encoder, tmp_path):
    save_checkpoint(tmp_path / "r.safetensors", recognizer)
    loaded = load_checkpoint(tmp_path / "r.safetensors", "emotion_recognizer").eval()
    wave = torch.from_numpy(voice(2, 180))
    with pytest.raises(CheckpointError, match="no audio encoder"):
        loaded.recognize(wave)
    assert torch.equal(loaded.attach(encoder).recognize(wave), recognizer.recognize(wave))
    with pytest.raises(CheckpointError, match="width 16 and 2 layers, this one has 16 and 1"):
        loaded.attach(AudioEncoder(tiny_hubert(num_hidden_layers=1)))
    assert not any(name.startswith("encoder") for name in recognizer.state_dict())


@pytest.fixture(scope="module")
def world(encoder, tmp_path_factory):
    """Two indexed corpora of five speakers each in two emotions and neutral, and an audio encoder's checkpoint."""
    root = tmp_path_factory.mktemp("world")
    rows = []
    for corpus, speakers in (("nemo", ("nemo_TP0", "a", "b", "c")), ("savee", ("d", "e", "f", "g"))):
        for number, speaker in enumerate(speakers):
            for take in range(2):
                for emotion, pitch, rate in ((HIGH, 330, 6.0), (LOW, 110, 2.0), ("neutral", 190, 4.0)):
                    name = f"{corpus}/{speaker}_{emotion}_{take}.wav"
                    wave = voice(2.0, pitch * (1 + 0.03 * number), rate, 10 * number + take)
                    save_wav(root / "emotional_speech" / name, wave)
                    rows.append({"file": name, "corpus": corpus, "speaker": speaker, "emotion": emotion})
    with open(root / "emotional_speech/index.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    save_checkpoint(root / "encoder.safetensors", encoder)
    return root


def settings(world, run, *more) -> EmotionRecognizerTraining:
    short = ["steps=40", "batch_size=16", "validate_every=20", "save_every=10", "log_every=5", "cpu=true"]
    tiny = ["optimizer.warmup=2", "optimizer.learning_rate=0.01", "model.hidden_dim=8", "model.members=2", "data.copies=1"]
    paths = [f"data.root={world}", f"data.encoder={world}/encoder.safetensors", f"data.recordings={world}/recordings"]
    chosen = ["data.corpora=[nemo,savee]", f"data.cache={world}/cache", f"run={run}"]
    return compose(EmotionRecognizerTraining, [*short, *tiny, *paths, *chosen, *more])


def test_training_reduces_the_loss_and_resumes_exactly(world, tmp_path, monkeypatch):
    untrained = training.train(settings(world, tmp_path / "untrained", "steps=1", "optimizer.learning_rate=0"))
    values = training.train(settings(world, tmp_path / "whole"))
    assert values["entropy"] < 0.7 * untrained["entropy"] and values["error"] <= 1 / 3

    take_step = Solver._step

    def killed(self, batches):
        if self.progress.step == 25:
            raise KeyboardInterrupt
        return take_step(self, batches)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Solver, "_step", killed)
        training.train(settings(world, tmp_path / "cut"))
    assert training.train(settings(world, tmp_path / "cut")) == values
    whole, cut = (load_file(tmp_path / run / "last.safetensors") for run in ("whole", "cut"))
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)
    extra = read_metadata(tmp_path / "whole/best.safetensors").extra
    assert {entry["licence"] for entry in extra["data"]} == {"CC BY-NC-SA 4.0", "research use"}


def test_a_bias_towards_neutral_moves_decisions_there(world, encoder, tmp_path):
    config = settings(world, tmp_path)
    described = training.describe_corpora(config.data, encoder, ["savee", "nemo"])
    biased = replace(config, run=str(tmp_path / "b"), loss=replace(config.loss, neutral_bias=20.0))
    model, _ = training.train_described(biased, encoder, described)
    assert (evaluation.hear_described(model, described).argmax(1) == NEUTRAL).all()


def test_a_corpus_is_left_out_and_measured(world, encoder, tmp_path):
    config = settings(world, tmp_path)
    described = training.describe_corpora(config.data, encoder, ["savee", "nemo"])
    result = evaluation.leave_out("savee", config, encoder, described)["savee"]
    assert result.five > 0.5 and result.confusion.sum() == 24 and 0 <= result.false_emotion <= 1
    assert not (tmp_path / "best.safetensors").exists()


def test_measures_count_each_emotion_equally():
    happy, sad, disgusted = (EMOTIONS.index(name) for name in ("happy", "sad", "disgusted"))
    emotions = torch.tensor([NEUTRAL] * 4 + [happy] * 2 + [sad])
    heard = torch.tensor([NEUTRAL, NEUTRAL, NEUTRAL, disgusted, happy, sad, sad])
    probabilities = torch.nn.functional.one_hot(heard, 8).float() * 0.8 + 0.01
    probabilities[3, NEUTRAL] += 0.1  # second choice, and the first among the five
    result = evaluation.measure(probabilities, emotions)
    assert result.five == pytest.approx((1 + 0.5 + 1) / 3) and result.false_emotion == pytest.approx(0.25)
    assert result.confusion[NEUTRAL, disgusted] == 1


def test_nuisance_directions_are_those_of_the_speakers(world, encoder, tmp_path):
    described = training.describe_corpora(settings(world, tmp_path).data, encoder, ["savee"])
    rng, speakers = np.random.default_rng(0), [clip.speaker for clip in described.clips]
    rows = torch.from_numpy(rng.standard_normal(described.descriptions.shape[1:])).float() * 0.1
    rows[:, 7] += torch.tensor([float(ord(speaker)) for speaker in speakers])  # one entry tells the speaker
    rows[:, 3] += 5.0 * described.targets  # another the emotion
    (found,) = training.nuisance_directions(rows, described, 1)
    assert found[7].abs() > 0.95 and found.norm() == pytest.approx(1, abs=1e-4)


def test_strength_is_learned_within_each_emotion_and_neutral_is_weak(encoder):
    """Entry 0 tells the strength, entry 1 the emotion, entry 2 the corpus; only the first is to be heard."""
    rng, n = np.random.default_rng(0), 200
    emotions = torch.from_numpy(rng.choice([EMOTIONS.index("sad"), EMOTIONS.index("angry"), NEUTRAL], n))
    levels = torch.from_numpy(rng.choice([1, 2], n, p=[0.8, 0.2])) * (emotions != NEUTRAL)
    corpora = rng.choice(["ravdess", "savee"], n)
    levels[torch.from_numpy(corpora == "savee")] = 0
    model = EmotionRecognizer(EmotionRecognizerConfig(encoder_dim=16, encoder_layers=2))
    rows = 0.3 * torch.randn(2, n, model.config.inputs, generator=torch.Generator().manual_seed(0))
    rows[:, :, 0] += levels - 1.0
    rows[:, :, 1] += 2.0 * (emotions == EMOTIONS.index("angry"))
    rows[:, :, 2] += torch.from_numpy(2.0 * (corpora == "savee"))
    targets, weights = strength_targets(corpora, emotions, levels, EmotionRecognizerLoss())
    sad = emotions == EMOTIONS.index("sad")
    assert weights[sad & (levels == 2)].sum() == pytest.approx(0.25) == weights[sad & (levels == 1)].sum()
    assert weights[emotions == NEUTRAL].sum() == pytest.approx(0.5)
    unknown = (emotions != NEUTRAL) & (levels == 0)
    assert weights[unknown].sum() == pytest.approx(0.5) and (targets[unknown] == torch.tensor(0.8)).all()
    fit_strength(model, rows, targets, weights * ~unknown, 0.003)
    strength = model.strength(rows[0])
    assert strength[levels == 2].mean() > 0.75 and strength[levels != 2].mean() < 0.25
    assert model.strength_weights[0] > 3 * model.strength_weights[1:].abs().max()
    fit_strength(model, rows, torch.zeros(n), weights, 0.003)
    heard = model.eval().attach(encoder).windows(torch.from_numpy(voice(2, 200)))
    assert heard.strength is None, "with no strong speech, nothing is known"
    result = evaluation.measure_strength(strength, emotions, levels)
    assert result.auc > 0.95 and result.accuracy > 0.85 and result.neutral < 0.4 < 0.6 < result.strong
    assert evaluation.measure_strength(strength[:1], emotions[:1] * 0 + NEUTRAL, levels[:1] * 0).auc is None


def test_weights_balance_emotions_and_corpora():
    happy, sad = (EMOTIONS.index(name) for name in ("happy", "sad"))
    targets = torch.tensor([happy] * 4 + [happy] + [sad] * 2)
    weights = training.balanced_weights(["a"] * 4 + ["b"] + ["a"] * 2, targets, 0.5, 1.0)
    assert weights.mean() == pytest.approx(1) and weights[:5].sum() == pytest.approx(weights[5:].sum())
    assert weights[:4].sum() == pytest.approx(2 * weights[4])  # square roots of 4 and 1


def test_wrong_corpora_raise_data_errors(world, encoder, tmp_path):
    assert {clip.split for clip in load_emotion_clips(world, ["nemo"], world / "recordings")} == {"train", "val"}
    with pytest.raises(DataError, match="no emotional speech 'mead'"):
        load_emotion_clips(world, ["mead"], tmp_path)
    with pytest.raises(DataError, match="lists no recording of ased"):
        load_emotion_clips(world, ["ased"], tmp_path)
    with pytest.raises(DataError, match="is not an index"):
        load_emotion_clips(tmp_path, ["savee"], tmp_path)
    config = settings(world, tmp_path)
    training.describe_corpora(config.data, encoder, ["savee"])
    torch.manual_seed(9)
    with pytest.raises(DataError, match="other data or settings"):
        training.describe_corpora(config.data, AudioEncoder(tiny_hubert()), ["savee"])
    assert "savee" in ACTED and CLASSES[-1] == "calm"
