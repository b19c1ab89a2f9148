"""The small audio encoder: its stem, teacher, corpora and training."""

import dataclasses
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import save_wav
from safetensors.torch import load_file

from emotalker.coefficients.resample import change_speed
from emotalker.core import registry
from emotalker.core.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from emotalker.core.errors import CheckpointError, DataError
from emotalker.core.launch import compose
from emotalker.data import recordings
from emotalker.data.recordings import Recording, hidden_states, label, load_recordings, speech_span
from emotalker.models import hubert
from emotalker.models.hubert import AudioEncoder, AudioEncoderConfig
from emotalker.models.mel_stem import FLOOR, SPEECH_LEVEL, LogMelStem
from emotalker.models.whisper import read_ctranslate2, whisper_encoder
from emotalker.settings.audio_encoder import AudioEncoderTraining
from emotalker.training import audio_encoder
from emotalker.training.sampling import Key
from emotalker.training.solver import Solver
from emotalker.training.teacher_crops import TeacherCrops, distort_mel

DIM, LAYERS, FRAMES = 64, 2, 50


@pytest.fixture(scope="module")
def reference():
    """A tiny random Whisper encoder of transformers, for one second."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=DIM, encoder_layers=LAYERS, encoder_attention_heads=1, encoder_ffn_dim=96, max_source_positions=FRAMES
    )
    return WhisperEncoder(config).eval()


@pytest.fixture(scope="module")
def teacher_file(reference, tmp_path_factory) -> Path:
    """Its weights in CTranslate2's layout."""
    state, variables = reference.state_dict(), {}
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            variables[f"encoder/{conv}/{part}"] = state[f"{conv}.{part}"]
    names = {"gamma": "weight", "beta": "bias"}
    for theirs, ours in names.items():
        variables[f"encoder/layer_norm/{theirs}"] = state[f"layer_norm.{ours}"]
    for n in range(LAYERS):
        source, target = f"layers.{n}.", f"encoder/layer_{n}/"
        state[f"{source}self_attn.k_proj.bias"] = torch.zeros(DIM)
        for part in ("weight", "bias"):
            joined = [state[f"{source}self_attn.{x}_proj.{part}"] for x in "qkv"]
            variables[f"{target}self_attention/linear_0/{part}"] = torch.cat(joined)
            variables[f"{target}self_attention/linear_1/{part}"] = state[f"{source}self_attn.out_proj.{part}"]
            variables[f"{target}ffn/linear_0/{part}"] = state[f"{source}fc1.{part}"]
            variables[f"{target}ffn/linear_1/{part}"] = state[f"{source}fc2.{part}"]
        for theirs, ours in names.items():
            variables[f"{target}self_attention/layer_norm/{theirs}"] = state[f"{source}self_attn_layer_norm.{ours}"]
            variables[f"{target}ffn/layer_norm/{theirs}"] = state[f"{source}final_layer_norm.{ours}"]
    variables["decoder/embeddings/weight"] = torch.zeros(3)

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    content = struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        data = value.detach().numpy().astype(np.float32)
        shape = struct.pack(f"<B{data.ndim}I", data.ndim, *data.shape)
        content += string(name) + shape + struct.pack("<BI", 0, data.nbytes) + data.tobytes()
    path = tmp_path_factory.mktemp("teacher") / "model.bin"
    path.write_bytes(content + struct.pack("<I", 0))
    return path


def voice(seconds: float, pitch: float = 140.0, seed: int = 0) -> np.ndarray:
    """A buzzing tone with syllables, between pauses of 0.5 s."""
    time = np.arange(round(seconds * 16000)) / 16000
    tone = np.sin(2 * np.pi * pitch * time) + 0.5 * np.sin(2 * np.pi * 3 * pitch * time)
    tone *= (1 + np.sin(2 * np.pi * 4 * time)) * ((time > 0.5) & (time < seconds - 0.5))
    return (0.1 * tone + 1e-4 * np.random.default_rng(seed).standard_normal(len(time))).astype(np.float32)


@torch.no_grad()
def test_whisper_encoder_equals_that_of_transformers(reference, teacher_file):
    encoder = whisper_encoder(teacher_file)
    wave = torch.from_numpy(voice(1.0))[None]
    mel = encoder.hubert.feature_extractor.log_mel(encoder.prepare(wave))
    # transformers needs an even number of mel frames; ours is one less, and convolutions pad with zeros
    expected = reference(torch.nn.functional.pad(mel, (0, 1))).last_hidden_state
    hidden = encoder(wave)
    assert hidden.shape == (1, FRAMES, DIM)
    assert torch.allclose(hidden[:, :-1], expected[:, :-1], atol=2e-2) and torch.allclose(
        hidden[:, 5:-5], expected[:, 5:-5], atol=5e-3
    )
    states = hidden_states(encoder, wave, [0, 2])
    assert torch.equal(states[1], hidden[0]) and not torch.equal(states[0], states[1])
    first = whisper_encoder(teacher_file, [0], emotions=("calm", "angry"))
    assert first.hubert.config.num_hidden_layers == 1 and first.emotion_head is not None


def test_unusable_teacher_files_raise_checkpoint_errors(teacher_file, tmp_path):
    assert "decoder/embeddings/weight" in read_ctranslate2(teacher_file)
    assert all(name.startswith("encoder/") for name in read_ctranslate2(teacher_file, "encoder/"))
    (tmp_path / "cut.bin").write_bytes(teacher_file.read_bytes()[:5000])
    for path in (tmp_path / "cut.bin", tmp_path / "none.bin"):
        with pytest.raises(CheckpointError, match="is not a CTranslate2 model"):
            whisper_encoder(path)
    with pytest.raises(CheckpointError, match="contains no Whisper encoder"):
        whisper_encoder(teacher_file, [7])


def test_log_mel_equals_whispers():
    from transformers import WhisperFeatureExtractor

    wave = voice(2.0)
    wave = (wave - wave.mean()) / wave.std()
    expected = WhisperFeatureExtractor(chunk_length=2)(wave * SPEECH_LEVEL, sampling_rate=16000).input_features[0]
    ours = LogMelStem(8).log_mel(torch.from_numpy(wave)[None])[0].numpy()
    # theirs is centred on sample 160 i, ours on 160 i + 200: the same segment is compared, above the floor of both
    shifted = LogMelStem(8).log_mel(torch.from_numpy(np.pad(wave, (200, 200)))[None])[0].numpy()
    inside = slice(60, 140)
    loud = expected[:, inside] > max(expected.min(), (FLOOR + 4) / 4) + 0.05
    assert ours.shape == (80, 198) and loud.mean() > 0.2
    assert np.abs(shifted[:, inside] - expected[:, inside])[loud].max() < 0.01


def test_the_first_position_is_random_only_in_training():
    torch.manual_seed(0)
    stem = LogMelStem(8)
    wave = torch.randn(2, 320 * 20 + 80)
    stem.eval()
    assert stem(wave).shape == (2, 8, 20) and torch.equal(stem(wave), stem(wave))
    stem.train()
    assert not torch.equal(stem(wave), stem(wave))


def test_checkpoint_contains_the_emotion_head(tmp_path):
    torch.manual_seed(0)
    tiny = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_conv_pos_embedding_groups": 4}
    encoder = AudioEncoder(AudioEncoderConfig.log_mel(("calm", "angry"), **tiny)).eval()
    save_checkpoint(tmp_path / "encoder.safetensors", encoder, half=True)
    loaded = load_checkpoint(tmp_path / "encoder.safetensors", "audio_encoder")
    features = loaded.encode_long(torch.from_numpy(voice(1.5))[None])
    recognized = loaded.recognize_emotion(features)
    assert list(recognized) == ["calm", "angry"] and sum(recognized.values()) == pytest.approx(1)
    assert recognized == loaded.recognize_emotion(features[0])
    assert AudioEncoder(AudioEncoderConfig.log_mel(**tiny)).recognize_emotion(features) == {}
    with pytest.raises(ValueError, match="stem"):
        AudioEncoderConfig(stem="cochlea")


def test_labels_come_from_names():
    assert label("ravdess", "03-01-05-02-01-01-17") == (4, 17)
    assert label("javanese", "09-02-06_01") == (4, 9)
    assert label("grid", "bbaf2n") == (-1, 0)
    with pytest.raises(DataError, match="no name of the ravdess corpus"):
        label("ravdess", "notes")


def test_speech_span_excludes_pauses():
    first, last = speech_span((voice(3.0) * 32767).astype(np.int16))
    assert abs(first - 0.3 * 16000) < 1600 and abs(last - 2.7 * 16000) < 1600 and first % 320 == last % 320 == 0
    assert speech_span(np.zeros(6400, np.int16)) == (0, 6400)


def test_speed_change_maps_frame_centres():
    ramp = np.arange(100.0, dtype=np.float32).reshape(1, 100, 1)
    assert np.array_equal(change_speed(ramp, 1.0, 60, axis=1)[0, :, 0], np.arange(60.0))
    fast = change_speed(ramp, 1.5, 60, axis=1)[0, :, 0]
    assert np.allclose(fast, (np.arange(60) + 0.5) * 1.5 - 0.5)
    assert change_speed(ramp[:, :10], 1.0, 20, axis=1).shape == (1, 20, 1)


def test_distortion_without_strength_is_the_identity():
    mel = torch.randn(3, 80, 40)
    assert torch.allclose(distort_mel(mel, 0, 0, 0, 0), mel, atol=1e-6)
    distorted = distort_mel(mel)
    assert distorted.shape == mel.shape and not torch.allclose(distorted, mel)


def test_crops_and_targets_are_aligned():
    """Samples and targets contain their frame number."""
    frames = 300
    samples = np.repeat(np.arange(frames), 320).astype(np.int16)
    targets = torch.arange(frames, dtype=torch.half).view(1, frames, 1).repeat(2, 1, 4)
    recording = Recording("ravdess", "x", samples, 2, 1, (320 * 100, 320 * 260), targets)
    crops = TeacherCrops([recording], 1.28, audio_encoder.SpeechAugmentation(0, 0, 0), (1.0, 1.0), copies=3)
    assert len(crops) == 3
    for index in range(3):
        item = crops[Key(index, (index,))]
        frame = np.round(item["wave"].reshape(64, 320)[:, 160] * 32768)
        assert np.array_equal(frame, item["targets"][0, :, 0]) and frame[-1] - frame[0] == 63
    short = dataclasses.replace(recording, samples=samples[: 320 * 30], targets=targets[:, :30], speech=(0, 320 * 30))
    item = TeacherCrops([short], 1.28, None)[Key(0, (0,))]
    assert item["valid"].sum() == 30 and item["wave"].shape == (320 * 64,) and item["targets"].shape == (2, 64, 4)


@pytest.fixture(scope="module")
def world(teacher_file, tmp_path_factory):
    """Recordings named as RAVDESS', by two actors, and the tiny teacher in place of the registry's."""
    root = tmp_path_factory.mktemp("world")
    (root / "ravdess").mkdir()
    for actor in (1, 15):
        for emotion in (1, 3, 5):
            wave = voice(1.6, 100 + 20 * emotion, actor)
            save_wav(root / "ravdess" / f"03-01-0{emotion}-01-01-01-{actor:02d}.wav", wave)
    return root


@pytest.fixture
def tiny_registry(teacher_file, monkeypatch):
    digest = hashlib.sha256(teacher_file.read_bytes()).hexdigest()
    entry = dataclasses.replace(registry.MODELS["whisper_base"], sha256=digest)
    monkeypatch.setitem(registry.MODELS, "whisper_base", entry)
    about = dataclasses.replace(recordings.CORPORA["ravdess"], files="ravdess/*.wav")
    monkeypatch.setitem(recordings.CORPORA, "ravdess", about)
    monkeypatch.setitem(hubert.LOG_MEL_HUBERT, "num_conv_pos_embedding_groups", 4)  # for 64 channels instead of 512


def settings(world: Path, teacher_file: Path, run: Path, *more: str) -> AudioEncoderTraining:
    """The settings of a tiny training run."""
    short = ["steps=6", "batch_size=2", "validate_every=3", "save_every=2", "log_every=1", "cpu=true", "optimizer.warmup=2"]
    tiny = ["model.layers=[1]", "data.layers=[1,2]", "data.seconds=0.8", "data.warm_start_crops=4", "data.corpora=[ravdess]"]
    paths = [f"data.root={world}", f"data.cache={world}/cache", f"data.teacher={teacher_file}", f"run={run}"]
    return compose(AudioEncoderTraining, [*short, "precision=no", *tiny, *paths, *more])


def test_training_reduces_the_loss_resumes_exactly_and_exports(world, teacher_file, tiny_registry, tmp_path, monkeypatch):
    values = audio_encoder.train(settings(world, teacher_file, tmp_path / "whole"))
    assert np.isfinite(list(values.values())).all() and 0 <= values["unweighted_accuracy"] <= 1

    take_step = Solver._step

    def killed(self, batches):
        if self.progress.step == 5:
            raise KeyboardInterrupt
        return take_step(self, batches)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Solver, "_step", killed)
        audio_encoder.train(settings(world, teacher_file, tmp_path / "cut"))
    assert audio_encoder.train(settings(world, teacher_file, tmp_path / "cut")) == values
    whole, cut = (load_file(tmp_path / run / "last.safetensors") for run in ("whole", "cut"))
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)

    metadata = read_metadata(tmp_path / "whole/best.safetensors")
    assert {entry["licence"] for entry in metadata.extra["data"]} == {"CC BY-NC-SA 4.0", "MIT"}
    loaded = load_checkpoint(tmp_path / "whole/best.safetensors", "audio_encoder")
    assert loaded.config.emotions == recordings.EMOTIONS and loaded.config.stem == "log_mel"


def test_warm_start_predicts_the_teacher_without_training(world, teacher_file, tiny_registry, tmp_path, monkeypatch):
    monkeypatch.setattr(audio_encoder, "distort_mel", None)  # random distortions outweigh six recordings
    more = ["steps=1", "optimizer.learning_rate=0", "data.warm_start_crops=100", "data.copies=40", "model.layers=[0,1]"]
    plain = ["data.speeds=[1,1]", "data.augmentation={gain:0,noise:0,filter:0}"]
    values = audio_encoder.train(settings(world, teacher_file, tmp_path, *more, *plain))
    assert values["similarity"] > 0.1


def test_missing_recordings_raise_data_errors(world, teacher_file, tmp_path):
    def load(corpora, layers=(1, 2)):
        return load_recordings(world, corpora, tmp_path, lambda: whisper_encoder(teacher_file), layers)

    with pytest.raises(DataError, match="there is no corpus 'mead'"):
        load(["mead"])
    with pytest.raises(DataError, match="no recordings at"):
        load(["grid"])


def test_the_cache_is_used_and_checked(world, teacher_file, tiny_registry, tmp_path):
    made = load_recordings(world, ["ravdess"], tmp_path, lambda: whisper_encoder(teacher_file), [1])
    assert len(made) == 6 and made[0].targets.shape == (1, 80, DIM) and {r.actor for r in made} == {1, 15}
    assert [r.split for r in made].count("val") == 3
    again = load_recordings(world / "missing", ["ravdess"], tmp_path, None, [1])
    assert all(torch.equal(a.targets, b.targets) for a, b in zip(made, again, strict=True))
    with pytest.raises(DataError, match="other layers"):
        load_recordings(world, ["ravdess"], tmp_path, None, [2])
    (tmp_path / "ravdess.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="is damaged"):
        load_recordings(world, ["ravdess"], tmp_path, None, [1])
