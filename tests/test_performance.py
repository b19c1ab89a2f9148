"""The steps around the published method, with the shipped networks and 1.5 s of the demo recording."""

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT
from emotalker.core.emotions import EMOTIONS
from emotalker.inference import generator as generator_module
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.hearing import emotion_probabilities
from emotalker.inference.performance import (
    EXPRESSIVE_LIPS,
    OPENING_LIPS,
    PERFORMANCE,
    SAMPLED_ENTRIES,
    STEPS,
    Performance,
    PerformanceConfig,
)
from emotalker.inference.style import DEFAULT_STYLE, Style, StyleError
from emotalker.models.expression import EXPRESSIVE, OPENING, ExpressionConfig, ExpressionPrior

POSE = np.arange(ARKIT.dim)[ARKIT.pose]
#: Full expressions in ten frames.
ONES = torch.ones(1, 10)


def entries(prefixes: tuple[str, ...]) -> np.ndarray:
    return ARKIT.indices([name for name in ARKIT.names if name.startswith(prefixes)])


@pytest.fixture(scope="module")
def generator() -> MotionGenerator:
    return MotionGenerator.from_pretrained()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return load_audio(files("emotalker") / "assets" / "demo.flac")[16000:40000]


@pytest.fixture(scope="module")
def reference(generator: MotionGenerator) -> np.ndarray:
    """The training mean, which ``reference_range`` does not change."""
    return generator.lip.standardizer.mean.numpy()


@pytest.fixture(scope="module")
def all_on(generator, samples, reference) -> np.ndarray:
    return generator.generate(samples, reference).coefficients


def steps(*disabled: str, style: Style = DEFAULT_STYLE, expression: ExpressionPrior | None = None) -> Performance:
    return Performance(PERFORMANCE.without(*disabled), style, ARKIT, expression)


@torch.inference_mode()
def published_method(generator: MotionGenerator, samples: np.ndarray, reference: np.ndarray, decoding: str, seed: int):
    """Encoder, transformer, VQ-VAE and lip branch without any step, ``(T, D)``."""
    wav, portrait = torch.from_numpy(samples)[None], torch.from_numpy(reference)[None]
    features = generator.encoder.encode_long(wav)
    emotion = torch.from_numpy(emotion_probabilities(generator.hear_emotion(samples)))[None]
    codes = generator.transformer.generate(
        features,
        portrait,
        generator.vqvae.quantizer.codebook,
        decoding,
        top_p=0.9,
        generators=[torch.Generator().manual_seed(seed)],
        emotion=emotion,
    )
    frames = -(-len(samples) // 640)
    face = generator.vqvae.decode(codes.features)[:, :frames]
    windows = generator.lip.windows(generator.mel(wav), frames)
    lips = generator.lip(windows, face[..., : len(generator.lip.face_expression)], portrait, emotion)
    motion = ARKIT.merge(face[0].numpy(), lips[0].numpy())
    motion[:, ARKIT.expression] = motion[:, ARKIT.expression].clip(0, 1)
    return motion


@pytest.mark.parametrize("decoding", ["continuous", "sample", "nearest"])
def test_all_steps_off_is_the_published_method(generator, samples, reference, decoding):
    reference = reference + 5 * generator.lip.standardizer.std.numpy()  # reference_range would clamp it
    motion = generator.generate(samples, reference, seed=3, decoding=decoding, performance=PERFORMANCE.without(*STEPS))
    expected = published_method(generator, samples, reference, decoding, seed=3)
    np.testing.assert_allclose(motion.coefficients, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("step", "allowed"),
    [
        ("expected_motion", np.setdiff1d(np.arange(ARKIT.dim), entries(SAMPLED_ENTRIES))),
        ("neutral_articulation", ARKIT.lip),
        ("slow_expression", ARKIT.lip),
        ("motion_variance", np.concatenate([entries(("brow",)), POSE])),
        ("mean_correction", entries((*EXPRESSIVE, *OPENING, "pitch"))),
        ("voice_strength", np.union1d(ARKIT.lip, entries((*EXPRESSIVE, "pitch")))),
        ("pose_smoothing", POSE),
        ("pose_limits", POSE),
    ],
)
def test_a_step_changes_only_its_entries(generator, samples, reference, all_on, step, allowed):
    without = generator.generate(samples, reference, performance=PERFORMANCE.without(step)).coefficients
    difference = np.abs(without - all_on).max(0)
    other = np.setdiff1d(np.arange(ARKIT.dim), allowed)
    assert difference[allowed].max() > 1e-3
    assert difference[other].max() < 1e-5, [ARKIT.names[i] for i in other if difference[i] >= 1e-5]


def test_reference_range_clamps_the_reference(generator, samples, reference, all_on):
    without = PERFORMANCE.without("reference_range")
    inside = generator.generate(samples, reference, performance=without).coefficients
    np.testing.assert_allclose(inside, all_on, atol=1e-5)
    deviation = generator.lip.standardizer.std.numpy()
    outside = generator.generate(samples, reference + 5 * deviation).coefficients
    limit = generator.generate(samples, reference + deviation, performance=without).coefficients
    np.testing.assert_allclose(outside, limit, atol=1e-4)
    assert np.abs(outside - all_on).max() > 1e-3


def test_emotion_sharpening_changes_only_the_recognized_weights(generator, samples, reference, all_on):
    recognized = EmotionTrack.constant(emotion_probabilities({"angry": 0.6, "calm": 0.4}))
    angry = EMOTIONS.index("angry")
    assert steps("emotion_sharpening").emotion(recognized, 3)[-1, angry] == pytest.approx(0.6)
    assert steps().emotion(recognized, 3)[-1, angry] == pytest.approx(0.6**3 / (0.6**3 + 0.4**3))
    requested = Style(emotion={"happy": 1.0})
    on, off = (
        generator.generate(samples, reference, style=requested, performance=performance).coefficients
        for performance in (PERFORMANCE, PERFORMANCE.without("emotion_sharpening"))
    )
    np.testing.assert_array_equal(on, off)
    off = generator.generate(samples, reference, performance=PERFORMANCE.without("emotion_sharpening")).coefficients
    assert np.abs(off - all_on).max() > 1e-3


def test_pose_limits_are_a_scaled_tanh(generator, samples, reference, all_on):
    unlimited = generator.generate(samples, reference, performance=PERFORMANCE.without("pose_limits")).coefficients
    limits = np.array(PERFORMANCE.pose_limits)
    np.testing.assert_allclose(all_on[:, POSE], limits * np.tanh(unlimited[:, POSE] / limits), atol=1e-5)
    assert (np.abs(all_on[:, POSE]) < limits).all()


def test_pose_smoothing_reduces_acceleration():
    pose = np.random.default_rng(0).normal(0, 0.05, (100, 6)).astype(np.float32)
    smoothed = steps("pose_limits").pose(pose)
    assert np.abs(np.diff(smoothed, 2, axis=0)).mean() < 0.05 * np.abs(np.diff(pose, 2, axis=0)).mean()
    assert steps("pose_smoothing", "pose_limits").pose(pose) is pose


def test_large_head_motion_grows_more_than_small():
    face, pitch = torch.zeros(1, 5, len(ARKIT.face)), [ARKIT.names[i] for i in ARKIT.face].index("pitch")
    for size in (1e-4, 0.05):
        face[0, :, pitch] = size * torch.tensor([-1, 1, 0, -1, 1.0])
        grown = steps().vary(face)[0, :, pitch] / face[0, :, pitch]
        change = PERFORMANCE.head_variation * size
        expected = PERFORMANCE.head_variation * np.sqrt(1 + (change / PERFORMANCE.head_expansion) ** 2)
        assert grown[[0, 1, 3, 4]].numpy() == pytest.approx(expected, rel=1e-4)


def test_decoding_modes_of_one_batch():
    assert steps().decoding_modes("sample") == ["sample", "continuous", "sample", "sample"]
    assert steps().decoding_modes("continuous") == ["continuous"]
    assert steps("expected_motion").decoding_modes("sample") == ["sample"]
    sampled = Performance(replace(PERFORMANCE, sampling_weight=1.0), DEFAULT_STYLE, ARKIT, None)
    assert sampled.decoding_modes("sample") == ["sample"]


def test_expected_motion_interpolates_between_the_rows():
    rows = torch.rand(4, 10, len(ARKIT.face))
    names, face = [ARKIT.names[i] for i in ARKIT.face], steps().face(rows)[0]
    brow, blink, yaw = (names.index(name) for name in ("browInnerUp", "eyeBlinkLeft", "yaw"))
    torch.testing.assert_close(face[:, brow], 0.4 * rows[0, :, brow] + 0.6 * rows[1, :, brow])
    torch.testing.assert_close(face[:, blink], rows[0, :, blink])
    torch.testing.assert_close(face[:, yaw], 0.4 * rows[0, :, yaw] + 0.6 * rows[1:, :, yaw].mean(0))


def test_slow_expression_keeps_closed_lips_closed():
    def predict(face: torch.Tensor, emotion: torch.Tensor) -> torch.Tensor:
        """Lips that the face branch opens and moves by 0.5, over closed articulation."""
        return torch.full((1, face.shape[1], len(ARKIT.lip)), 0.5 * face.any().item())

    face, emotion = torch.ones(1, 30, len(ARKIT.face)), torch.eye(8)[:1]
    lips = steps().lips(predict, face, emotion, emotion, torch.ones(1, 30))[0]
    for name, track in zip(ARKIT.lip_names, lips.T, strict=True):
        expected = 0.5 if name.startswith(EXPRESSIVE_LIPS) else 0.0
        torch.testing.assert_close(track, torch.full((30,), expected), msg=name)
    fast = steps("slow_expression").lips(predict, face, emotion, emotion, torch.ones(1, 30))[0]
    opening = [i for i, name in enumerate(ARKIT.lip_names) if name.startswith(OPENING_LIPS)]
    assert (fast[:, opening] == 0.5).all()


def test_mean_correction_gives_the_motion_the_mean_of_the_expression():
    prior, happy = ExpressionPrior(ExpressionConfig()), torch.eye(8)[[EMOTIONS.index("happy")]][:, None].expand(1, 10, 8)
    smile = ARKIT.index("mouthSmileLeft")
    prior.offsets.zero_()[EMOTIONS.index("happy"), smile] = 0.5
    face, lips = torch.zeros(1, 10, len(ARKIT.face)), torch.zeros(1, 10, len(ARKIT.lip))
    corrected_face, corrected_lips = steps(expression=prior).correct(face, lips, happy, ONES)
    assert torch.equal(corrected_face, face)
    assert corrected_lips[0, :, list(ARKIT.lip).index(smile)].mean().item() == pytest.approx(0.5)
    intense = steps(style=Style(intensity=1.5), expression=prior).correct(face, lips, happy, ONES)[1]
    assert intense[0, :, list(ARKIT.lip).index(smile)].mean().item() == pytest.approx(0.75)
    rising = torch.linspace(0.5, 1.5, 10)[None]
    followed = steps(expression=prior).correct(face, lips, happy, rising)[1]
    torch.testing.assert_close(followed[..., list(ARKIT.lip).index(smile)], 0.5 * rising)
    assert steps("mean_correction", expression=prior).correct(face, lips, happy, ONES)[1] is lips


def test_expressions_open_the_mouth_only_where_the_voice_does():
    angry = torch.eye(8)[[EMOTIONS.index("angry")]][:, None].expand(1, 10, 8)
    jaw = ARKIT.lip_names.index("jawOpen")
    face, lips = torch.zeros(1, 10, len(ARKIT.face)), torch.zeros(1, 10, len(ARKIT.lip))
    lips[0, 5:, jaw] = 0.2
    corrected = steps(expression=ExpressionPrior(ExpressionConfig())).correct(face, lips, angry, ONES)[1]
    assert corrected[0, :5, jaw].max() == 0 and corrected[0, 5:, jaw].min() > 0.3
    prior = ExpressionPrior(ExpressionConfig())
    half, strong = (steps(expression=prior).correct(face, lips, angry, a * ONES)[1][0, 5:, jaw] - 0.2 for a in (0.5, 1.6))
    full = corrected[0, 5:, jaw] - 0.2
    torch.testing.assert_close(half, full / 4)
    torch.testing.assert_close(strong, full, msg="a strong voice opens the mouth by itself")


def test_gestures_raise_the_brows_nod_and_blink():
    seconds = np.arange(16000 * 20) / 16000
    syllables = ((0.05 + np.cos(np.pi * seconds) ** 8) * 0.3 * np.sin(2 * np.pi * 150 * seconds)).astype(np.float32)
    face = torch.zeros(1, 500, len(ARKIT.face))
    names = [ARKIT.names[i] for i in ARKIT.face]

    def moved(*disabled: str) -> set[str]:
        blinks = steps().blink_times(np.random.default_rng(0))
        changed = steps(*disabled).gestures(face, syllables, blinks)[0].abs().max(0).values > 1e-3
        return {name for name, yes in zip(names, changed, strict=True) if yes}

    brows = {"browInnerUp", "browOuterUpLeft", "browOuterUpRight", "pitch"}
    assert moved("blink_rate") == brows and moved("accents") == {"eyeBlinkLeft", "eyeBlinkRight"}
    assert moved() == brows | {"eyeBlinkLeft", "eyeBlinkRight"} and not moved("accents", "blink_rate")
    assert not face.any(), "the argument is unchanged"


def test_unknown_steps_raise_style_errors():
    with pytest.raises(StyleError, match="unknown step pose_limit; known: reference_range"):
        PERFORMANCE.without("pose_limit")
    with pytest.raises(StyleError, match="unknown step a, b"):
        PerformanceConfig(disabled=frozenset({"b", "a", "pose_limits"}))


@torch.inference_mode()
def test_a_row_decoded_in_a_batch_equals_the_row_decoded_alone(generator, samples, reference):
    features = generator.encoder.encode_long(torch.from_numpy(samples)[None])
    portrait, modes = torch.from_numpy(reference)[None], steps().decoding_modes("sample")

    def decode(rows: range):
        generators = generator.random_generators(7, modes)
        return generator.transformer.generate(
            features.expand(len(rows), -1, -1),
            portrait.expand(len(rows), -1),
            generator.vqvae.quantizer.codebook,
            [modes[row] for row in rows],
            top_p=0.9,
            generators=[generators[row] for row in rows],
        )

    batch = decode(range(len(modes)))
    for row in range(len(modes)):
        alone = decode(range(row, row + 1))
        assert torch.equal(alone.codes[0], batch.codes[row])
        torch.testing.assert_close(alone.features[0], batch.features[row], atol=1e-4, rtol=1e-4)
    assert not torch.equal(batch.codes[0], batch.codes[2]), "sampled rows have different seeds"


def test_lips_in_chunks_equal_lips_at_once(generator, samples, reference, all_on, monkeypatch):
    monkeypatch.setattr(generator_module, "LIP_CHUNK", 13)
    chunked = generator.generate(samples, reference).coefficients
    np.testing.assert_allclose(chunked, all_on, atol=1e-5)


def test_a_requested_emotion_needs_networks_with_an_emotion_input(generator, samples, reference, monkeypatch):
    monkeypatch.setattr(generator.lip, "config", replace(generator.lip.config, num_emotions=0))
    with pytest.raises(StyleError, match="no emotion input"):
        generator.generate(samples, reference, style=Style(emotion={"happy": 1.0}))
