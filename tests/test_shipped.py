"""Checks of the shipped weights on known sounds. Each check must fail for a generator in which its path is broken.

Thresholds are about half of the values of the shipped weights (in brackets), measured on the demo's recording with a portrait
at rest and seed 0.
"""

import copy
from importlib.resources import files

import numpy as np
import pytest
import torch

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT
from emotalker.core.emotions import EMOTIONS
from emotalker.evaluation.lips import MouthOpening
from emotalker.evaluation.lipsync import correlation, log_energy
from emotalker.face.model import FaceModel
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.performance import PERFORMANCE
from emotalker.inference.style import Style
from emotalker.models.emotion_recognizer import HeardWindows

RATE = 16000
SMILE = ARKIT.indices(["mouthSmileLeft", "mouthSmileRight"])
BROWS_DOWN = ARKIT.indices(["browDownLeft", "browDownRight"])
OPENING = MouthOpening(FaceModel.load())
#: The last 3.2 s of the demo's recording; the speaker stops 0.5 s before its end.
SPEECH = load_audio(str(files("emotalker") / "assets" / "demo.flac"))[-51200:]
SPEECH_FRAMES = 67


def vowel(level: float, pitch: float = 120.0) -> np.ndarray:
    """Half a second of silence, one second of the vowel in "father" at this root mean square, half a second of silence."""
    t = np.arange(RATE) / RATE
    formants = ((730, 90), (1090, 110), (2440, 170))  # centre and bandwidth in hertz
    harmonics = pitch * np.arange(1, int(3800 / pitch) + 1)
    gains = sum(1 / (1 + ((harmonics - centre) / (width / 2)) ** 2) for centre, width in formants) / np.sqrt(harmonics)
    wave = (gains[:, None] * np.sin(2 * np.pi * harmonics[:, None] * t)).sum(0)
    return np.pad(level * wave / np.sqrt(np.mean(wave**2)), RATE // 2).astype(np.float32)


def motion(generator: MotionGenerator, samples: np.ndarray, **style) -> np.ndarray:
    """One emotion for the recording, and without the step that closes the lips in silence: the networks are checked."""
    reference, performance = np.zeros(ARKIT.dim, np.float32), PERFORMANCE.without("emotion_windows", "silence_rest")
    return generator.generate(samples, reference, style=Style(**style), performance=performance).coefficients


# Each check takes a generator and raises AssertionError.


def louder_vowel_opens_the_mouth(generator: MotionGenerator) -> None:
    """12 dB more: jawOpen +0.03 (0.06), lip gap +0.012 eye distances (0.026), in the middle 0.8 s of the vowel."""
    quiet, loud = (OPENING(motion(generator, vowel(level)))[15:35].mean(0) for level in (0.04, 0.16))
    assert loud[0] - quiet[0] > 0.03, f"jawOpen {quiet[0]:.3f} -> {loud[0]:.3f}"
    assert loud[1] - quiet[1] > 0.012, f"lip gap {quiet[1]:.3f} -> {loud[1]:.3f}"


def silence_closes_the_lips(generator: MotionGenerator) -> None:
    """From 0.2 s after speech ends on, for 1.3 s, the lip gap stays below 0.04 eye distances (0.024; 0.138 in speech)."""
    gap = OPENING(motion(generator, np.pad(SPEECH, (0, RATE))))[:, 1]
    spoken, silent = gap[:SPEECH_FRAMES].mean(), gap[SPEECH_FRAMES + 5 :].max()
    assert silent < min(0.04, spoken / 2), f"lip gap {spoken:.3f} in speech, up to {silent:.3f} in silence"


def speech_moves_the_mouth(generator: MotionGenerator) -> None:
    """jawOpen has a standard deviation of 0.04 (0.080) and correlates with the log energy by 0.3 (0.56)."""
    jaw = OPENING(motion(generator, SPEECH))[:, 0]
    r = np.nan_to_num(correlation(jaw, log_energy(SPEECH, len(jaw))))
    assert jaw.std() > 0.04, f"standard deviation of jawOpen {jaw.std():.3f}"
    assert r > 0.3, f"correlation of jawOpen with log energy {r:.3f}"


def requested_emotions_change_the_face(generator: MotionGenerator) -> None:
    """Against neutral, happy raises the smile by 0.18 (0.36) and angry lowers the brows by 0.14 (0.28), means over time."""
    neutral, happy, angry = (motion(generator, SPEECH, emotion={name: 1.0}) for name in ("neutral", "happy", "angry"))
    smile = happy[:, SMILE].mean() - neutral[:, SMILE].mean()
    lowered = angry[:, BROWS_DOWN].mean() - neutral[:, BROWS_DOWN].mean()
    assert smile > 0.18, f"happy raises the smile by {smile:.3f}"
    assert lowered > 0.14, f"angry lowers the brows by {lowered:.3f}"


def intensity_scales_the_emotion(generator: MotionGenerator) -> None:
    """With happy, the smile is larger at intensity 1.5 than at 0 by 0.27 (0.54)."""
    none, strong = (motion(generator, SPEECH, emotion={"happy": 1.0}, intensity=i)[:, SMILE].mean() for i in (0.0, 1.5))
    assert strong - none > 0.27, f"smile {none:.3f} at intensity 0, {strong:.3f} at 1.5"


class Hears:
    """A recogniser that is certain of one emotion."""

    def __init__(self, emotion: str):
        self.emotion = emotion

    def windows(self, wave: torch.Tensor, seconds: float, hop: float) -> HeardWindows:
        return HeardWindows(np.array([len(wave) / 32000]), np.array([[float(name == self.emotion) for name in EMOTIONS]]))


def recognised_emotion_changes_the_face(generator: MotionGenerator) -> None:
    """A voice in which the recogniser hears happy smiles 0.1 more than one in which it hears sad (0.25)."""
    assert set(generator.hear_emotion(SPEECH)) == set(EMOTIONS)
    smiles = {}
    for emotion in ("happy", "sad"):
        changed = copy.copy(generator)
        changed.recognizer = Hears(emotion)
        smiles[emotion] = motion(changed, SPEECH)[:, SMILE].mean()
    assert smiles["happy"] - smiles["sad"] > 0.1, f"smile {smiles}"


MOUTH_CHECKS = (louder_vowel_opens_the_mouth, silence_closes_the_lips, speech_moves_the_mouth)
EMOTION_CHECKS = (requested_emotions_change_the_face, intensity_scales_the_emotion, recognised_emotion_changes_the_face)


@pytest.fixture(scope="module")
def generator() -> MotionGenerator:
    return MotionGenerator.from_pretrained()


@pytest.fixture(scope="module")
def frozen_mouth(generator) -> MotionGenerator:
    """A generator whose lip branch predicts the training mean for any input."""
    broken = copy.copy(generator)
    broken.lip = copy.deepcopy(generator.lip)
    mean = broken.lip.standardizer.mean[torch.from_numpy(ARKIT.lip)]
    broken.lip.predict = lambda audio, face, reference, emotion=None: mean.expand(*face.shape[:2], -1)
    return broken


@pytest.fixture(scope="module")
def without_emotion_inputs(generator) -> MotionGenerator:
    """A generator without emotion inputs: the weights of all emotion inputs are zero, and mean expressions are missing."""
    broken = copy.copy(generator)
    broken.transformer, broken.lip = copy.deepcopy(generator.transformer), copy.deepcopy(generator.lip)
    broken.transformer.emotion_projection.weight.zero_()
    predict = broken.lip.predict
    broken.lip.predict = lambda audio, face, reference, emotion=None: predict(audio, face, reference, None)
    broken.expression = None
    return broken


@pytest.mark.parametrize("check", [*MOUTH_CHECKS, *EMOTION_CHECKS], ids=lambda check: check.__name__)
def test_the_shipped_weights(check, generator):
    check(generator)


@pytest.mark.parametrize("check", MOUTH_CHECKS, ids=lambda check: check.__name__)
def test_a_frozen_mouth_fails(check, frozen_mouth):
    with pytest.raises(AssertionError):
        check(frozen_mouth)


@pytest.mark.parametrize("check", EMOTION_CHECKS, ids=lambda check: check.__name__)
def test_missing_emotion_inputs_fail(check, without_emotion_inputs):
    with pytest.raises(AssertionError):
        check(without_emotion_inputs)
