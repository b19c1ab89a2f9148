"""The pipeline from end to end, and its errors."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import save_wav
from skimage import data

from emotalker import TalkingHead
from emotalker.coefficients import MotionTrack
from emotalker.inference.framing import FramingError
from emotalker.inference.performance import PerformanceConfig
from emotalker.video.image import save_image

INFER = Path(__file__).parent.parent / "scripts" / "infer.py"


@pytest.fixture(scope="module")
def talking_head():
    return TalkingHead.from_pretrained()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    t = np.arange(int(44100 * 0.7)) / 44100
    speech = 0.3 * np.sin(2 * np.pi * 150 * t) * (1 + np.sin(2 * np.pi * 3 * t))
    save_wav(folder / "voice.wav", speech.astype(np.float32), 44100)
    save_wav(folder / "short.wav", np.zeros(1600, np.float32))
    (folder / "text.wav").write_text("not a recording")
    save_image(folder / "person.png", data.astronaut())
    save_image(folder / "no_face.png", data.grass()[..., None].repeat(3, -1))
    return folder


def infer(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, INFER, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def durations(path: Path) -> tuple[float, float, int]:
    """Duration of video and audio in seconds, and number of frames, by decoding."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        rate = stream.rate
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    return frames / 25, samples / rate, frames


def test_infer_writes_video_audio_and_motion(inputs, tmp_path):
    output, motion = tmp_path / "new folder" / "o.mp4", tmp_path / "o.npz"
    result = infer(
        "--audio", inputs / "voice.wav", "--image", inputs / "person.png", "--output", output, "--coefficients", motion,
        "--size", 128,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert f"wrote {output}: 18 frames" in result.stdout.replace("\n", " ")
    video, audio, frames = durations(output)
    assert frames == 18  # ceil(0.7 * 25)
    assert abs(video - audio) <= 0.04
    track = MotionTrack.load(motion)
    assert track.coefficients.shape == (18, 58)
    assert np.isfinite(track.coefficients).all()


@pytest.mark.parametrize(
    ("audio", "image", "sentence"),
    [
        ("missing.wav", "person.png", "missing.wav"),
        ("text.wav", "person.png", "text.wav"),
        ("short.wav", "person.png", "0.2 s"),
        ("voice.wav", "missing.png", "missing.png"),
        ("voice.wav", "text.wav", "text.wav"),
        ("voice.wav", "no_face.png", "no face found"),
    ],
)
def test_unusable_input_gives_one_sentence_and_keeps_the_existing_file(inputs, tmp_path, audio, image, sentence):
    output, earlier = tmp_path / "o.mp4", b"\0\0\0\x18ftypmp42 an earlier result"
    output.write_bytes(earlier)
    result = infer("--audio", inputs / audio, "--image", inputs / image, "--output", output, "--size", 128)
    assert result.returncode == 1
    message = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(message) == 1 and sentence in message[0]
    assert "Traceback" not in result.stderr
    assert output.read_bytes() == earlier
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]


def test_an_unwritable_output_and_missing_checkpoints_give_errors(inputs, tmp_path):
    voice, person = inputs / "voice.wav", inputs / "person.png"
    (tmp_path / "file").write_text("")
    result = infer("--audio", voice, "--image", person, "--output", tmp_path / "file" / "o.mp4")
    assert result.returncode == 1 and "error: cannot write" in result.stderr
    result = infer("--audio", voice, "--image", person, "--output", tmp_path / "o.mp4", "--checkpoints", tmp_path / "none")
    assert result.returncode == 1 and "error: there is no folder of checkpoints" in result.stderr


@pytest.mark.parametrize("option", [("--size", "301"), ("--seed", "-3"), ("--temperature", "0"), ("--intensity", "9")])
def test_options_out_of_range_are_named(option):
    result = infer("--audio", "a.wav", "--image", "p.png", *option)
    assert result.returncode == 2
    assert f"argument {option[0]}: {float(option[1]):g}" in result.stderr.replace(".0 ", " ")


def test_help_does_not_import_torch_or_opencv():
    code = "import sys; import emotalker.core.cli, emotalker; assert 'torch' not in sys.modules and 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert infer("--help").returncode == 0


def test_the_seed_determines_the_motion(talking_head):
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal(32000).astype(np.float32), 16000)
    first, again, other = (talking_head.generate(audio, data.astronaut(), size=128, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.motion.coefficients, again.motion.coefficients)
    face = first.motion.space.face
    assert not np.array_equal(first.motion.coefficients[:, face], other.motion.coefficients[:, face])


@pytest.mark.parametrize("seconds", [0.2, 0.33, 1.0])
def test_the_number_of_frames_is_rounded_up(talking_head, seconds):
    samples = np.zeros(int(seconds * 16000), np.float32)
    video = talking_head.generate((samples, 16000), data.astronaut(), size=64)
    assert len(video) == -(-len(samples) // 640)
    assert sum(1 for _ in video) == len(video)


def test_the_whole_picture_at_another_frame_rate(talking_head, tmp_path):
    samples = np.zeros(int(0.33 * 16000), np.float32)
    video = talking_head.generate((samples, 16000), data.astronaut()[:, :511], framing="full", fps=50)
    assert video.fps == 50 and len(video) == 18 and len(video.motion.coefficients) == 9
    path = video.save(tmp_path / "whole.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (510, 512, 50)
        assert sum(1 for _ in container.decode(stream)) == 18
    assert talking_head.generate((samples, 16000), data.astronaut(), framing="full", size=200).framing.size == (200, 200)


def test_a_transparent_background_needs_a_suitable_file(inputs, tmp_path):
    result = infer(
        "--audio", inputs / "voice.wav", "--image", inputs / "person.png", "--output", tmp_path / "o.mp4",
        "--background", "transparent",
    )  # fmt: skip
    assert result.returncode == 1 and ".webm (VP9)" in result.stderr


def test_without_the_segmenter_there_is_a_warning_and_the_background_stays(inputs, talking_head, monkeypatch):
    monkeypatch.setenv("EMOTALKER_SELFIE_SEGMENTATION", str(inputs / "text.wav"))
    with pytest.warns(UserWarning, match="selfie_segmentation"):
        bare = TalkingHead.from_pretrained()
    assert bare.segmenter is None and talking_head.segmenter is not None
    audio = (np.zeros(8000, np.float32), 16000)
    assert next(iter(bare.generate(audio, data.astronaut(), size=64))).shape == (64, 64, 3)
    with pytest.raises(FramingError, match="the background cannot be replaced"):
        bare.generate(audio, data.astronaut(), size=64, background="white")
    frame = next(iter(talking_head.generate(audio, data.astronaut(), size=64, background="lime")))
    assert (frame[:10, :10] == (0, 255, 0)).all()


def test_motion_stays_in_range(talking_head):
    rng = np.random.default_rng(0)
    loud = (rng.uniform(-1, 1, 48000).astype(np.float32), 16000)
    motion = talking_head.generate(loud, data.astronaut(), size=64).motion
    blendshapes = motion.coefficients[:, motion.space.expression]
    assert blendshapes.min() >= 0 and blendshapes.max() <= 1
    assert np.abs(motion.coefficients[:, motion.space.pose][:, :3]).max() < np.radians(25)


def test_liveliness_is_a_deprecated_sampling_weight(talking_head):
    audio = (0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32), 16000)
    with pytest.warns(DeprecationWarning, match=r"liveliness is now PerformanceConfig\.sampling_weight"):
        old = talking_head.generate(audio, data.astronaut(), size=64, liveliness=1.0)
    new = talking_head.generate(audio, data.astronaut(), size=64, performance=PerformanceConfig(sampling_weight=1.0))
    assert np.array_equal(old.motion.coefficients, new.motion.coefficients)


def test_unknown_keywords_raise_type_errors(talking_head):
    with pytest.raises(TypeError, match="loudness"):
        talking_head.generate((np.zeros(8000, np.float32), 16000), data.astronaut(), loudness=1.0)
