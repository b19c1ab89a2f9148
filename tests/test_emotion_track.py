"""Emotion over time: tracks and their files, windows of a voice, networks with an emotion per frame, and pauses."""

import argparse
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from emotalker.audio.activity import PAUSE_FRAMES, pauses
from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT
from emotalker.core.emotions import EMOTIONS
from emotalker.evaluation.emotion_track import joint_scores
from emotalker.evaluation.lips import MouthOpening
from emotalker.face.model import FaceModel
from emotalker.inference import hearing
from emotalker.inference.emotion_track import EmotionTrack, EmotionTrackError
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.hearing import emotion_probabilities, hear_over_time
from emotalker.inference.options import add_style_options, style_from
from emotalker.inference.performance import PERFORMANCE, Performance
from emotalker.inference.recording import code_means
from emotalker.inference.silence import relaxation, rest_weight
from emotalker.inference.style import Style, StyleError
from emotalker.inference.valence_arousal import COORDINATES, weights_of
from emotalker.models.emotion_recognizer import HeardWindows
from emotalker.models.expression import ExpressionConfig, ExpressionPrior
from emotalker.models.lip import LipBranch, LipConfig
from emotalker.models.transformer import CrossModalTransformer, TransformerConfig

HAPPY, NEUTRAL, SAD = (np.eye(8, dtype=np.float32)[EMOTIONS.index(name)] for name in ("happy", "neutral", "sad"))
REST = np.zeros(ARKIT.dim, np.float32)
SMILE = ARKIT.index("mouthSmileLeft")
#: 1.5 s of the demo's recording.
SPEECH = load_audio(str(files("emotalker") / "assets" / "demo.flac"))[16000:40000]


@pytest.fixture(scope="module")
def generator() -> MotionGenerator:
    return MotionGenerator.from_pretrained()


# Tracks


def test_weights_between_two_times_are_linear_and_ends_are_held():
    track = EmotionTrack(np.array([1.0, 3.0]), np.stack([HAPPY, SAD]))
    np.testing.assert_allclose(track.at(np.array([0.0, 1.5, 9.0])), [HAPPY, 0.75 * HAPPY + 0.25 * SAD, SAD], atol=1e-6)
    frames = track.frames(100, 25)
    assert frames.shape == (100, 8) and frames.dtype == np.float32
    np.testing.assert_allclose(frames[50], (HAPPY + SAD) / 2, atol=1e-6)


def test_a_sudden_change_is_smoothed_to_less_than_a_second():
    track = EmotionTrack(np.array([1.99, 2.0]), np.stack([HAPPY, SAD]))
    sad = track.frames(100, 25, PERFORMANCE.emotion_smoothing)[:, EMOTIONS.index("sad")]
    changing = (sad > 0.02) & (sad < 0.98)
    assert 8 <= changing.sum() < 25 and (np.diff(sad) > -1e-6).all()
    np.testing.assert_array_equal(EmotionTrack.constant(HAPPY).frames(50, 25, 0.15), np.tile(HAPPY, (50, 1)))


def test_a_code_has_the_mean_of_its_frames():
    weights = EmotionTrack(np.array([0.0, 1.0]), np.stack([HAPPY, SAD])).frames(10, 25)
    codes = code_means(weights, 4)
    assert codes.shape == (3, 8)
    np.testing.assert_allclose(codes[:2], weights[:8].reshape(2, 4, 8).mean(1), atol=1e-6)
    np.testing.assert_allclose(codes[2], (weights[8] + 3 * weights[9]) / 4, atol=1e-6)


@pytest.mark.parametrize(
    ("times", "weights", "message"),
    [
        ([0.0], np.zeros((1, 3)), r"weights \(W, 8\)"),
        ([], np.zeros((0, 8)), "W >= 1"),
        ([1.0, 1.0], np.zeros((2, 8)), "do not increase"),
        ([0.0], np.ones((1, 8)), "sum to more than 1"),
        ([0.0], -HAPPY[None], "negative"),
    ],
)
def test_unusable_tracks_raise_errors(times, weights, message):
    with pytest.raises(EmotionTrackError, match=message):
        EmotionTrack(np.array(times), weights)


# Files


def test_a_track_is_written_and_read(tmp_path):
    track = EmotionTrack(np.array([0.0, 0.5, 2.25]), np.stack([HAPPY, 0.3 * SAD + 0.7 * NEUTRAL, 0.25 * SAD]))
    text = track.save(tmp_path / "e.csv").read_text().splitlines()
    assert text[:2] == ["time,emotion,share,strength", "0.000,angry,0.00000,1.000"] and len(text) == 1 + 3 * 8
    loaded = EmotionTrack.load(tmp_path / "e.csv")
    np.testing.assert_allclose(loaded.times, track.times)
    np.testing.assert_allclose(loaded.weights, track.weights, atol=1e-5)
    strong = replace(track, strength=np.array([0.5, 1.25, 0.0]))
    np.testing.assert_allclose(EmotionTrack.load(strong.save(tmp_path / "s.csv")).strength, [0.5, 1.25, 0])


def test_strength_is_an_optional_column_of_both_kinds(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("time,emotion,share\n0,happy,1\n")
    np.testing.assert_array_equal(EmotionTrack.load(path).strength, [1])
    path.write_text("time,emotion,share,strength\n0,happy,0.75,1.2\n0,sad,0.25,0.4\n2,sad,0,0.3\n")
    np.testing.assert_allclose(EmotionTrack.load(path).strength, [1.0, 0.3])
    path.write_text("time,valence,arousal,strength\n0,0.8,0.5,1.4\n")
    np.testing.assert_allclose(EmotionTrack.load(path).strength, [1.4])
    path.write_text("time,emotion,share,strength\n0,happy,1,\n")
    with pytest.raises(EmotionTrackError, match="line 2: strength is ''; write a number from 0 to 3"):
        EmotionTrack.load(path)
    with pytest.raises(EmotionTrackError, match="one number from 0 to 3 for each time"):
        EmotionTrack.constant(HAPPY, -1.0)


def test_a_file_by_hand(tmp_path):
    """Rows in any order, synonyms, a byte-order mark, empty lines; shares above 1 are divided by their sum."""
    path = tmp_path / "e.csv"
    path.write_text("\ufeffTime,Emotion,Share\n2,sadness,1\n2,happy,1\n\n0, joy ,0.5\n", encoding="utf-8")
    track = EmotionTrack.load(path)
    np.testing.assert_allclose(track.times, [0, 2])
    np.testing.assert_allclose(track.weights, [0.5 * HAPPY, (HAPPY + SAD) / 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,feeling\n", r"e\.csv, line 1: the header is 'time,feeling'; write time,emotion,share or time,valence,arousal"),
        ("", "line 1: the header is ''"),
        ("time,emotion,share\n", "has a header and no rows; add at least one"),
        ("time,emotion,share\n0,happy,1\n1,bored,1\n", "line 3: unknown emotion 'bored'; write one of angry, contempt"),
        ("time,emotion,share\n0,happy,1.5\n", "line 2: share is '1.5'; write a number from 0 to 1"),
        ("time,emotion,share\n-1,happy,1\n", "line 2: time is '-1'; write a number of 0 or more"),
        ("time,emotion,share\n0,happy\n", "line 2: 2 columns; give 3"),
        ("time,emotion,share\n0,happy,1\n0,joy,1\n", "line 3: happy appears twice at time 0"),
        ("time,valence,arousal\n0,0,loud\n", "line 2: arousal is 'loud'; write a number from -1 to 1"),
        ("time,valence,arousal\n0,0,0\n0,1,1\n", "line 3: time 0 appears twice"),
    ],
)
def test_errors_name_the_line_and_how_to_mend_it(tmp_path, text, message):
    (tmp_path / "e.csv").write_text(text)
    with pytest.raises(EmotionTrackError, match=message):
        EmotionTrack.load(tmp_path / "e.csv")


def test_missing_files_and_other_formats_raise_errors(tmp_path):
    with pytest.raises(EmotionTrackError, match=r"none\.csv: No such file"):
        EmotionTrack.load(tmp_path / "none.csv")
    (tmp_path / "e.xls").write_bytes(b"\xd0\xcf\x11\xe0\xff")
    with pytest.raises(EmotionTrackError, match="not UTF-8 text; give a CSV file"):
        EmotionTrack.load(tmp_path / "e.xls")


def test_valence_and_arousal_give_the_nearest_emotions(tmp_path):
    for name, point in COORDINATES.items():
        assert weights_of(*point)[EMOTIONS.index(name)] == pytest.approx(1, abs=1e-4)
    assert EMOTIONS[weights_of(0.9, 0.4).argmax()] == "happy" and EMOTIONS[weights_of(-0.7, -0.6).argmax()] == "sad"
    between = weights_of(0.405, 0.255)  # half-way between neutral and happy
    assert between.sum() == pytest.approx(1) and between @ HAPPY == pytest.approx(between @ NEUTRAL, abs=0.02)
    (tmp_path / "e.csv").write_text("time,valence,arousal\n0,0,0\n1.5,0.81,0.51\n")
    track = EmotionTrack.load(tmp_path / "e.csv")
    np.testing.assert_allclose(track.times, [0, 1.5])
    np.testing.assert_allclose(track.weights, [NEUTRAL, HAPPY], atol=1e-4)


def test_options_read_a_track_and_refuse_a_second_emotion(tmp_path):
    parser = argparse.ArgumentParser()
    add_style_options(parser)
    path = EmotionTrack.constant(SAD).save(tmp_path / "e.csv")
    style = style_from(parser.parse_args(["--emotion-track", str(path)]))
    np.testing.assert_allclose(style.requested.weights, [SAD])
    with pytest.raises(StyleError, match="leave out --emotion or --emotion-track"):
        style_from(parser.parse_args(["--emotion-track", str(path), "--emotion", "happy"]))


# Hearing


class TwoHalves:
    """A recogniser that hears happy before ``switch`` seconds and sad after it, and a single wrong window."""

    def __init__(self, switch: float, wrong: int | None = None):
        self.switch, self.wrong = switch, wrong

    def windows(self, wave, seconds, hop):
        duration = len(wave) / 16000
        starts = np.arange(0, max(0.0, duration - seconds) + 1e-6, hop)
        sad = (((starts + seconds) - self.switch) / seconds).clip(0, 1)[:, None]
        probabilities = (1 - sad) * HAPPY + sad * SAD
        if self.wrong is not None and len(starts) > 1:
            probabilities[self.wrong] = 0.55 * SAD + 0.45 * HAPPY
        return HeardWindows(starts + seconds / 2, probabilities.astype(np.float32))


class GrowsLouder(TwoHalves):
    """Hears happy, weak before ``switch`` seconds and strong after it."""

    def windows(self, wave, seconds, hop):
        heard = super().windows(wave, seconds, hop)
        happy = np.tile(HAPPY, (len(heard.times), 1))
        return HeardWindows(heard.times, happy, heard.probabilities[:, EMOTIONS.index("sad")])


def noise(seconds: float) -> torch.Tensor:
    return 0.1 * torch.randn(round(seconds * 16000), generator=torch.Generator().manual_seed(0))


def test_a_switch_of_the_emotion_is_found():
    track = hear_over_time(TwoHalves(5.0), noise(10.0))
    sad = track.frames(250, 25)[:, EMOTIONS.index("sad")]
    assert (np.flatnonzero(sad > 0.5)[0] / 25) == pytest.approx(5.0, abs=0.5)
    assert sad[:75].max() < 0.2 and sad[-75:].min() > 0.8


def test_a_single_window_does_not_change_the_emotion():
    track = hear_over_time(TwoHalves(99.0, wrong=4), noise(8.0))
    assert (track.weights.argmax(1) == EMOTIONS.index("happy")).all()


@pytest.mark.parametrize(("seconds", "over_time"), [(2.9, True), (8.0, False)])
def test_short_recordings_and_the_step_off_are_one_window(seconds, over_time):
    track = hear_over_time(TwoHalves(seconds / 2), noise(seconds), over_time)
    np.testing.assert_allclose(track.weights, [(HAPPY + SAD) / 2], atol=1e-5)


def test_windows_without_speech_are_left_out():
    silent = torch.cat([noise(5.0), torch.zeros(5 * 16000)])
    track = hear_over_time(TwoHalves(5.0), silent)
    assert track.times.max() < 5.0 + hearing.WINDOW_SECONDS / 2
    assert hear_over_time(TwoHalves(5.0), torch.zeros(10 * 16000)).weights.shape == (1, 8)


@torch.inference_mode()
def test_the_encoder_hears_windows_that_cover_the_recording(generator):
    wave = torch.from_numpy(np.tile(SPEECH, 3))
    features = generator.encoder.encode_long(wave[None])
    recognizer = hearing.EncoderRecognizer(generator.encoder, features)
    times, probabilities, strength = recognizer.windows(wave, 2.5, 0.5)
    assert strength is None, "the encoder's head does not hear it"
    np.testing.assert_allclose(np.diff(times)[:-1], 0.5)
    assert times[0] == 1.25 and times[-1] == pytest.approx(4.5 - 1.25, abs=0.04)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    whole = emotion_probabilities(generator.encoder.recognize_emotion(features))
    np.testing.assert_allclose(recognizer.windows(wave, 4.5, 4.5)[1], [whole], atol=1e-6)


# Networks


def test_the_transformer_takes_an_emotion_for_each_code():
    torch.manual_seed(0)
    model = CrossModalTransformer(
        TransformerConfig(
            audio_dim=12, reference_dim=5, code_dim=6, codebook_size=20, dim=16, num_layers=2, num_heads=4, ffn_dim=24,
            num_emotions=8,
        )
    ).eval()  # fmt: skip
    audio, reference, codebook = torch.randn(2, 50, 12), torch.randn(2, 5), torch.randn(20, 6)
    happy, sad = torch.from_numpy(HAPPY)[None], torch.from_numpy(SAD)[None]
    options = {"unconditional": sad, "guidance_scale": 1.5}
    one = model.generate(audio, reference, codebook, emotion=happy, **options)
    each = model.generate(audio, reference, codebook, emotion=happy[:, None].expand(1, 7, 8), **options)
    torch.testing.assert_close(each.features, one.features)
    changing = happy[:, None].repeat(1, 7, 1)
    changing[:, 4:] = sad
    switched = model.generate(audio, reference, codebook, emotion=changing, **options).features
    torch.testing.assert_close(switched[:, :4], one.features[:, :4])
    assert (switched[:, 4:] - one.features[:, 4:]).abs().max() > 1e-3
    generated = model.generate(audio, reference, codebook, emotion=changing).features
    forced = model(audio, generated, reference, changing.expand(2, -1, -1)).features
    torch.testing.assert_close(forced, generated, atol=1e-5, rtol=1e-5)
    with pytest.raises(RuntimeError):
        model.generate(audio, reference, codebook, emotion=changing[:, :3])


def test_the_lip_branch_takes_an_emotion_for_each_frame():
    torch.manual_seed(0)
    config = {"channels": (4, 4, 8, 8), "blocks": 1, "audio_dim": 8, "hidden_dim": 16, "num_emotions": 8}
    branch = LipBranch(LipConfig(**config)).eval()
    mel, face, reference = torch.randn(1, 20, 80, 16), torch.randn(1, 20, 24), torch.randn(1, 58)
    happy, sad = torch.from_numpy(HAPPY)[None], torch.from_numpy(SAD)[None]
    one = branch(mel, face, reference, happy)
    changing = happy[:, None].repeat(1, 20, 1)
    torch.testing.assert_close(branch(mel, face, reference, changing), one)
    changing[:, 10:] = sad
    switched = branch(mel, face, reference, changing)
    torch.testing.assert_close(switched[:, :8], one[:, :8])
    torch.testing.assert_close(switched[:, 12:], branch(mel, face, reference, sad)[:, 12:])


def test_the_mean_correction_of_a_constant_track_is_that_of_the_mix():
    prior = ExpressionPrior(ExpressionConfig())
    prior.offsets[:, SMILE] = torch.linspace(-0.2, 0.5, 8)
    motion, mix = torch.rand(1, 40, ARKIT.dim), torch.from_numpy(0.6 * HAPPY + 0.4 * SAD)[None]
    for emotion in (mix, 1.7 * mix, 0 * mix):
        one = prior.correction(motion, emotion, range(ARKIT.dim))
        each = prior.correction(motion, emotion[:, None].expand(1, 40, 8), range(ARKIT.dim))
        torch.testing.assert_close(each, one.expand(1, 40, -1), atol=1e-5, rtol=0)


def test_the_mean_correction_reaches_the_expression_of_each_part():
    """A motion that smiles a little in its happy half gets each half's own mean expression."""
    prior = ExpressionPrior(ExpressionConfig())
    prior.offsets[EMOTIONS.index("happy"), SMILE] = 0.5
    motion, emotion = torch.zeros(1, 40, ARKIT.dim), torch.from_numpy(NEUTRAL).repeat(1, 40, 1)
    motion[:, 20:, SMILE], emotion[:, 20:] = 0.1, torch.from_numpy(HAPPY)
    corrected = (motion + prior.correction(motion, emotion, range(ARKIT.dim)))[0, :, SMILE]
    torch.testing.assert_close(corrected, torch.tensor([0.0] * 20 + [0.5] * 20), atol=1e-5, rtol=0)


# Generation


def test_a_constant_track_is_the_requested_emotion(generator):
    mix = {"happy": 0.6, "surprised": 0.2}
    weights = np.array([mix.get(name, 0) for name in EMOTIONS], np.float32)
    expected = generator.generate(SPEECH, REST, style=Style(emotion=mix, intensity=1.4))
    track = EmotionTrack(np.array([0.0, 0.7, 3.0]), np.tile(weights, (3, 1)))
    motion = generator.generate(SPEECH, REST, style=Style(emotion_track=track, intensity=1.4))
    np.testing.assert_allclose(motion.coefficients, expected.coefficients, atol=1e-5)
    np.testing.assert_allclose(motion.emotion.weights, expected.emotion.weights, atol=1e-6)
    assert (motion.emotion.weights[:, EMOTIONS.index("happy")] >= 0.6 - 1e-5).all()


def test_the_face_follows_a_track_and_its_intensity(generator):
    voice, half = np.tile(SPEECH, 3), 56
    track = EmotionTrack(np.array([2.2, 2.3]), np.stack([NEUTRAL, HAPPY]))
    lips = generator.generate(voice, REST, style=Style(emotion_track=track)).coefficients[:, SMILE]
    before, after = lips[: half - 12].mean(), lips[half + 12 :].mean()
    assert after - before > 0.15, f"smile {before:.3f} before, {after:.3f} after"
    strong = generator.generate(voice, REST, style=Style(emotion_track=track, intensity=1.5)).coefficients[:, SMILE]
    assert strong[half + 12 :].mean() > after + 0.05 and abs(strong[: half - 12].mean() - before) < 0.05


def test_another_recogniser_is_heard(generator):
    other = MotionGenerator(
        generator.encoder, generator.transformer, generator.vqvae, generator.lip, generator.expression, TwoHalves(2.25)
    )
    emotion = other.generate(np.tile(SPEECH, 3), REST).emotion
    assert emotion.weights[0].argmax() == EMOTIONS.index("happy") and emotion.weights[-1].argmax() == EMOTIONS.index("sad")
    off = other.generate(np.tile(SPEECH, 3), REST, performance=PERFORMANCE.without("emotion_windows")).emotion
    np.testing.assert_allclose(off.weights, off.weights[:1].repeat(len(off.weights), 0), atol=1e-6)


def test_the_expression_follows_the_strength_of_the_voice(generator):
    parts = (generator.encoder, generator.transformer, generator.vqvae, generator.lip, generator.expression)
    voice, half = np.tile(SPEECH, 3), 56
    grows, constant = MotionGenerator(*parts, GrowsLouder(2.25)), MotionGenerator(*parts, TwoHalves(99.0))
    motion = grows.generate(voice, REST)
    low, high = hearing.AMPLITUDES
    assert motion.emotion.strength[0] < 1 < motion.emotion.strength[-1]
    assert (motion.emotion.strength >= low).all() and (motion.emotion.strength <= high).all()
    smile = motion.coefficients[:, SMILE]
    before, after = smile[: half - 12].mean(), smile[half + 12 :].mean()
    assert after > 1.3 * before > 0
    # without the step, and from a recogniser that hears no strength, the motion is that of full expressions
    off = grows.generate(voice, REST, performance=PERFORMANCE.without("voice_strength"))
    np.testing.assert_array_equal(off.coefficients, constant.generate(voice, REST).coefficients)
    assert (off.emotion.strength == 1).all()
    # its track gives the same motion again; a requested emotion is shown in full whatever the voice
    again = constant.generate(voice, REST, style=Style(emotion_track=motion.emotion))
    assert np.abs(again.coefficients - motion.coefficients).max() < 0.05
    asked = Style(emotion={"happy": 1.0})
    np.testing.assert_array_equal(
        grows.generate(voice, REST, style=asked).coefficients, constant.generate(voice, REST, style=asked).coefficients
    )


def test_half_a_request_has_half_its_strength(generator):
    half, strong = Style(emotion={"happy": 0.5}), EmotionTrack.constant(SAD, 1.5)
    performance = Performance(PERFORMANCE, half, ARKIT, None)
    np.testing.assert_allclose(performance.strength(strong, 4), 1.25)
    assert (Performance(PERFORMANCE.without("voice_strength"), half, ARKIT, None).strength(strong, 4) == 1).all()


def test_a_track_needs_networks_with_an_emotion_input(generator, monkeypatch):
    monkeypatch.setattr(generator.lip, "config", replace(generator.lip.config, num_emotions=0))
    with pytest.raises(StyleError, match="no emotion input"):
        generator.generate(SPEECH, REST, style=Style(emotion_track=EmotionTrack.constant(HAPPY)))


# Pauses


def test_pauses_are_relative_to_the_noise_and_the_speech():
    random = np.random.default_rng(0)
    for gain in (1.0, 0.02):
        for floor in (0.0, 1e-3, 8e-3):
            wave = np.concatenate([SPEECH[:16000], np.zeros(16000), SPEECH[:16000]])
            silent = pauses((gain * (wave + floor * random.normal(size=len(wave)))).astype(np.float32), 75)
            assert silent[27:48].all(), (gain, floor)
            assert not silent[3:20].any() and not silent[53:70].any(), (gain, floor)


def test_short_gaps_and_sounds_without_a_pause_have_none():
    gap = np.concatenate([SPEECH[:12000], np.zeros(640 * (PAUSE_FRAMES - 3)), SPEECH[:12000]]).astype(np.float32)
    assert not pauses(gap, 43)[5:35].any()
    assert not pauses(0.1 * np.sin(np.arange(32000) * 0.1).astype(np.float32), 50).any()
    for hum in (0.0, 1e-4, 1e-3):
        assert pauses((hum * np.random.default_rng(0).normal(size=32000)).astype(np.float32), 50).all()


def test_lips_rest_inside_pauses_and_are_free_before_speech():
    silent = np.zeros(200, bool)
    silent[30:110] = True
    weight = rest_weight(silent)
    assert not weight[:37].any() and not weight[102:].any() and (weight[62:93] == 1).all()
    assert np.abs(np.diff(weight)).max() < 0.4
    silent[:20] = silent[130:] = True
    weight = rest_weight(silent)
    assert weight[0] == 1 and weight[-1] == 1 and not weight[12:37].any()


def test_the_expression_relaxes_slowly_and_returns():
    silent = np.zeros(150, bool)
    silent[30:90] = True
    relaxed = relaxation(silent, 25, down=0.5, up=0.2)
    assert not relaxed[:37].any(), "not in the first 0.3 s"
    assert 0.6 < relaxed[30 + 25] < 0.9 and relaxed[89] > 0.95 and relaxed[89 + 13] < 0.1


def test_silence_rest_closes_the_lips_and_keeps_blinks_and_pose(generator):
    opening = MouthOpening(FaceModel.load())
    wave = np.pad(SPEECH, (0, 2 * 16000))
    on, off = (
        generator.generate(wave, REST, style=Style(emotion={"happy": 1.0}), performance=performance).coefficients
        for performance in (PERFORMANCE, PERFORMANCE.without("silence_rest"))
    )
    first = np.flatnonzero(pauses(wave, len(on)))[0]
    np.testing.assert_array_equal(on[:first], off[:first])
    kept = [i for i, name in enumerate(ARKIT.names) if name.startswith(("eyeBlink", "eyeLook"))]
    np.testing.assert_array_equal(on[:, kept], off[:, kept])
    np.testing.assert_array_equal(on[:, ARKIT.pose], off[:, ARKIT.pose])
    assert opening(on)[75:, 1].max() < 0.035, "a smile may part the lips a little, speech no longer does"
    assert 0.8 < on[-1, SMILE] / off[-1, SMILE] < 0.97, "the smile fades, but not completely"


@pytest.mark.parametrize("level", [0.0, 1e-3])
def test_lips_are_closed_without_a_voice(generator, level):
    hum = (level * np.random.default_rng(0).normal(size=24000)).astype(np.float32)
    gap = MouthOpening(FaceModel.load())(generator.generate(hum, REST).coefficients)[:, 1]
    assert gap.max() < 0.03


def test_the_command_writes_the_emotion_that_it_heard(tmp_path, monkeypatch):
    from helpers import save_wav
    from skimage import data

    from emotalker.video.image import save_image

    save_wav(tmp_path / "voice.wav", SPEECH[:8000])
    save_image(tmp_path / "person.png", data.astronaut())
    script, track = Path(__file__).parent.parent / "scripts" / "infer.py", tmp_path / "e.csv"
    arguments = ["--audio", "voice.wav", "--image", "person.png", "--size", "64", "--output", "o.mp4"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), *arguments, "--write-emotion-track", str(track)])
    exec(compile(script.read_text(), script, "exec"), {"__name__": "__main__"})
    assert EmotionTrack.load(track).weights.sum(1) == pytest.approx(1, abs=1e-3)


# The evaluation


def test_scores_of_a_joined_recording():
    weights = EmotionTrack(np.array([3.8, 4.3]), np.stack([HAPPY, SAD])).frames(200, 25)
    happy, sad = EMOTIONS.index("happy"), EMOTIONS.index("sad")
    right, found, changes, rise = joint_scores(weights, 4.0, happy, sad)
    assert (right, found, changes) == (1.0, 1.0, 1.0) and rise == pytest.approx(0.4, abs=0.09)
    right, found, _, rise = joint_scores(weights, 6.0, happy, sad)
    assert right < 1 and not found and np.isnan(rise), "the change is 2 s early"
    right, found, changes, _ = joint_scores(np.tile(HAPPY, (200, 1)), 4.0, happy, sad)
    assert (right, found, changes) == (0.5, 0.0, 0.0)
