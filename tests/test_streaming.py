"""Motion and frames of a voice that arrives in chunks, with the shipped networks and a few seconds of the demo."""

from importlib.resources import files

import numpy as np
import pytest
import torch
from skimage import data

from emotalker import TalkingHead
from emotalker.audio.chunks import ChunkReader
from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import AudioError
from emotalker.evaluation.lips import MouthOpening
from emotalker.evaluation.lipsync import correlation
from emotalker.face.model import FaceModel
from emotalker.inference.generator import MotionGenerator
from emotalker.inference.motion_stream import MotionStream
from emotalker.inference.style import Style
from emotalker.models.code_decoder import CodeDecoder, GeneratedCodes

RATE = 16000
VOICE = load_audio(str(files("emotalker") / "assets" / "demo.flac"))
REFERENCE = np.zeros(ARKIT.dim, np.float32)
OPENING = MouthOpening(FaceModel.load())


@pytest.fixture(scope="module")
def talking_head() -> TalkingHead:
    return TalkingHead.from_pretrained()


@pytest.fixture(scope="module")
def generator(talking_head) -> MotionGenerator:
    return talking_head.generator


def streamed(generator: MotionGenerator, samples: np.ndarray, cuts: np.ndarray | None = None, **options) -> np.ndarray:
    """Motion of samples that are pushed in parts, by default every 0.1 s."""
    stream = MotionStream(generator, REFERENCE, **options)
    parts = np.split(samples, np.arange(1600, len(samples), 1600) if cuts is None else cuts)
    return np.concatenate([*map(stream.push, parts), stream.finish()])


@pytest.fixture(scope="module")
def voice_motion(generator) -> np.ndarray:
    return streamed(generator, VOICE[:64000])


def test_the_motion_does_not_depend_on_the_chunks(generator, voice_motion):
    random = np.sort(np.random.default_rng(0).integers(0, 64000, 40))
    np.testing.assert_array_equal(streamed(generator, VOICE[:64000], random), voice_motion)
    np.testing.assert_array_equal(streamed(generator, VOICE[:64000], np.zeros(0, int)), voice_motion)
    one_by_one = np.arange(1, 5000)  # single samples over the border of a hop
    short = streamed(generator, VOICE[:12000], one_by_one)
    np.testing.assert_array_equal(short, streamed(generator, VOICE[:12000]))


def test_the_lips_are_those_of_the_recording(generator, voice_motion):
    recording = OPENING(generator.generate(VOICE[:64000], REFERENCE).coefficients)
    for name, one, other in zip(("jawOpen", "lip gap"), OPENING(voice_motion).T, recording.T, strict=True):
        assert correlation(one, other) > 0.8, name


def test_frames_come_when_their_audio_and_the_look_ahead_are_there(generator):
    stream = MotionStream(generator, REFERENCE)
    needed = round((stream.latency + 1 / ARKIT.fps) * RATE)
    assert stream.latency == pytest.approx(0.22)
    assert len(stream.push(VOICE[: needed - 1])) == 0 and len(stream.push(VOICE[needed - 1 : needed])) == 4


@pytest.mark.parametrize("samples", [1, 640, 641, 7000])
def test_finish_gives_one_frame_for_every_40_ms(generator, samples):
    assert len(streamed(generator, VOICE[16000 : 16000 + samples])) == -(-samples // 640)


def test_an_empty_stream_has_no_frames(generator):
    assert len(streamed(generator, VOICE[:0])) == 0


def test_the_work_for_every_second_is_the_same(generator, monkeypatch):
    """Samples and frames that the networks process after 20 s and after 56 s, and the samples that are kept."""
    work: dict[str, int] = {}

    def counted(network, method, result):
        def call(x, *args, **kwargs):
            work[method] = work.get(method, 0) + x.shape[0] * x.shape[1]
            return result(x)

        monkeypatch.setattr(network, method, call)

    layers, lip, face = 3, generator.lip.config.audio_dim, len(ARKIT.face)
    counted(generator.encoder, "encode_all", lambda x: torch.zeros(1, x.shape[1] // 320, layers, generator.encoder.dim))
    counted(generator.vqvae, "decode", lambda x: torch.zeros(len(x), 4 * x.shape[1], face))
    counted(generator.lip, "encode_audio", lambda x: torch.zeros(*x.shape[:2], lip))
    counted(generator.lip, "predict", lambda x: torch.zeros(*x.shape[:2], len(ARKIT.lip)))
    monkeypatch.setattr(
        CodeDecoder,
        "extend",
        lambda self, x, *_: GeneratedCodes(torch.zeros(len(self.modes), x.shape[1] // 8, 256), torch.zeros(0)),
    )
    stream, seconds, kept = MotionStream(generator, REFERENCE), [], []
    for _ in range(60):
        work.clear()
        stream.push(VOICE[:RATE])
        seconds.append(dict(work))
        kept.append(len(stream.voice.samples(stream.voice.samples.start, stream.voice.samples.end)))
    after = [{name: sum(s[name] for s in seconds[i : i + 4]) for name in work} for i in (20, 56)]  # 25 hops each
    assert after[0] == after[1] and set(work) == {"encode_all", "decode", "encode_audio", "predict"}
    assert after[0]["encode_all"] < 18 * 4 * RATE and kept[20] == kept[-1]


def test_lips_close_in_silence_and_open_again(generator):
    silent = np.zeros(3 * RATE, np.float32)
    gap = OPENING(streamed(generator, np.concatenate([VOICE[:40000], silent, VOICE[:40000]])))[:, 1]
    assert gap[10:60].max() > 0.08 and gap[95:135].max() < 0.03 and gap[150:].max() > 0.08


def test_a_requested_emotion_is_shown_from_the_start(generator):
    smile = ARKIT.indices(["mouthSmileLeft", "mouthSmileRight"])
    happy = streamed(generator, VOICE[:32000], style=Style(emotion={"happy": 1.0}))[8:, smile].mean()
    sad = streamed(generator, VOICE[:32000], style=Style(emotion={"sad": 1.0}))[8:, smile].mean()
    assert happy > sad + 0.3
    assert set(Style(emotion={"happy": 1.0}).emotion) <= set(EMOTIONS)


def test_blinks_are_replaced_at_the_requested_rate(generator):
    lids = ARKIT.indices(["eyeBlinkLeft", "eyeBlinkRight"])
    motion = streamed(generator, np.zeros(6 * RATE, np.float32), style=Style(blinks=90))[:, lids].mean(1)
    assert 5 <= np.count_nonzero(np.diff((motion > 0.8).astype(int)) == 1) <= 13
    assert streamed(generator, VOICE[:32000], style=Style(blinks=0))[:, lids].max() < 0.4


def test_frames_carry_the_audio_that_they_show(talking_head):
    stream = talking_head.stream(data.astronaut(), size=64)
    frames = list(stream.frames(np.split(VOICE[:20001], [3000, 3001, 15000])))
    assert len(frames) == 32 and stream.fps == 25
    assert all(frame.image.shape == (64, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)
    np.testing.assert_array_equal(np.concatenate([frame.audio for frame in frames])[:20001], VOICE[:20001])
    assert not frames[-1].audio[20001 - 31 * 640 :].any()
    with pytest.raises(ValueError, match="finished"):
        stream.push(VOICE)


def test_chunks_at_another_rate_are_resampled_alike_however_they_are_cut():
    tone = (0.5 * np.sin(2 * np.pi * 300 * np.arange(48000) / 48000)).astype(np.float32)

    def read(cuts):
        reader = ChunkReader(48000)
        return np.concatenate([*map(reader.read, np.split(tone, cuts)), reader.finish()])

    whole = read([])
    assert len(whole) == pytest.approx(16000, abs=1)
    np.testing.assert_allclose(read([1, 2, 5000, 5001, 31000]), whole, atol=1e-6)
    expected = 0.5 * np.sin(2 * np.pi * 300 * np.arange(16000) / 16000)
    np.testing.assert_allclose(whole[200:15800], expected[200:15800], atol=0.01)


@pytest.mark.parametrize(
    ("chunk", "sentence"),
    [
        (np.zeros((10, 2), np.float32), "average the channels"),
        (np.zeros(10, np.int32), "not int32"),
        (np.full(10, np.nan), "not numbers"),
    ],
)
def test_unusable_chunks_are_named(chunk, sentence):
    with pytest.raises(AudioError, match=sentence):
        ChunkReader().read(chunk)


@pytest.mark.parametrize("rate", [0, 4000, 44100.5, 10**6])
def test_unusable_rates_are_named(rate):
    with pytest.raises(AudioError, match="from 8000 to 192000"):
        ChunkReader(rate)


def test_int16_is_scaled():
    np.testing.assert_allclose(ChunkReader().read(np.array([-32768, 16384], np.int16)), [-1, 0.5])
