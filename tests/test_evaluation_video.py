"""The emotion that is seen in videos: expression networks with random weights, votes and tables, and the command."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import save_wav
from skimage import data
from torch.nn import functional as F

from emotalker.coefficients import ARKIT
from emotalker.console.main import find
from emotalker.core.errors import CheckpointError, DataError, FaceNotFoundError
from emotalker.evaluation import expression_networks as networks
from emotalker.evaluation import video_emotion, video_takes
from emotalker.evaluation.expression_networks import CLASSES, DenseExpressionNetwork, MiniXception
from emotalker.evaluation.video_emotion import Observation
from emotalker.evaluation.video_takes import Take
from emotalker.face.landmarks import FaceLandmarker
from emotalker.video.image import save_image
from emotalker.video.writer import VideoWriter

WIDTHS = (4, 5, 6, 8)  # channels of the four dense blocks


def save_dense(folder: Path, bias: np.ndarray | None = None) -> tuple[Path, Path]:
    """A random face-api network in TensorFlow.js' format, 8-bit kernels and float biases."""
    rng, shapes, before = np.random.default_rng(0), {}, 3
    for block, width in enumerate(WIDTHS):
        for layer in range(4):
            name = f"dense{block}/conv{layer}"
            if (block, layer) == (0, 0):
                shapes[f"{name}/filters"] = (3, 3, 3, width)
            else:
                shapes[f"{name}/depthwise_filter"] = (3, 3, before, 1)
                shapes[f"{name}/pointwise_filter"] = (1, 1, before, width)
            shapes[f"{name}/bias"] = (width,)
            before = width
    shapes |= {"fc/weights": (before, 7), "fc/bias": (7,)}
    entries, content = [], b""
    for name, shape in shapes.items():
        entry = {"name": name, "shape": shape, "dtype": "float32"}
        if name.endswith("bias"):
            content += (np.zeros(shape) if bias is None or name != "fc/bias" else bias).astype("<f4").tobytes()
        else:
            entry["quantization"] = {"dtype": "uint8", "scale": 0.004, "min": -0.5}
            content += rng.integers(0, 256, shape).astype(np.uint8).tobytes()
        entries.append(entry)
    (folder / "manifest.json").write_text(json.dumps([{"weights": entries, "paths": ["weights.bin"]}]))
    (folder / "weights.bin").write_bytes(content)
    return folder / "manifest.json", folder / "weights.bin"


def save_mini_xception(path: Path, final: np.ndarray) -> Path:
    """A random mini-Xception in Keras' format; the last layer returns ``final`` (7,) whatever it sees."""
    h5py = pytest.importorskip("h5py")
    rng, weights = np.random.default_rng(0), {"conv2d_1/kernel": (3, 3, 1, 8), "conv2d_2/kernel": (3, 3, 8, 8)}
    norms, before = {1: 8, 2: 8}, 8
    for block, width in enumerate((16, 32, 64, 128), start=1):
        weights[f"conv2d_{block + 2}/kernel"] = (1, 1, before, width)
        for half, source in ((1, before), (2, width)):
            weights[f"separable_conv2d_{2 * block - 2 + half}/depthwise_kernel"] = (3, 3, source, 1)
            weights[f"separable_conv2d_{2 * block - 2 + half}/pointwise_kernel"] = (1, 1, source, width)
        norms |= dict.fromkeys((3 * block, 3 * block + 1, 3 * block + 2), width)
        before = width
    with h5py.File(path, "w") as file:
        for name, shape in weights.items():
            layer, weight = name.split("/")
            file[f"model_weights/{layer}/{layer}_1/{weight}:0"] = rng.normal(0, 0.3, shape)
        for number, width in norms.items():
            layer = f"batch_normalization_{number}"
            for weight, value in (("beta", 0), ("gamma", 1), ("moving_mean", 0), ("moving_variance", 1)):
                file[f"model_weights/{layer}/{layer}_1/{weight}:0"] = np.full(width, value, float)
        file["model_weights/conv2d_7/conv2d_7_1/kernel:0"] = np.zeros((3, 3, before, 7))
        file["model_weights/conv2d_7/conv2d_7_1/bias:0"] = final
    return path


def crops(network) -> np.ndarray:
    channels = 3 if isinstance(network, DenseExpressionNetwork) else 1
    return np.random.default_rng(1).integers(0, 256, (2, network.SIZE, network.SIZE, channels)).astype(np.uint8)


def test_same_padding_is_tensorflows():
    x = torch.ones(1, 1, 4, 5)
    assert networks.pad_same(x, 3, 2)[0, 0].sum(0).tolist() == [0, 4, 4, 4, 4, 4, 0]  # odd length: both sides
    assert networks.pad_same(x, 3, 2)[0, 0].sum(1).tolist() == [5, 5, 5, 5, 0]  # even length: the end only
    assert networks.pad_same(x, 1, 2).shape == x.shape


def test_a_separable_convolution_is_the_product_of_both_kernels():
    x = torch.randn(2, 4, 9, 8)
    depthwise, pointwise, bias = torch.randn(3, 3, 4, 1), torch.randn(1, 1, 4, 5), torch.randn(5)
    full = (depthwise * pointwise[0, 0]).permute(3, 2, 0, 1)
    expected = F.conv2d(networks.pad_same(x, 3, 2), full, bias, 2)
    assert torch.allclose(networks.convolve_separable(x, depthwise, pointwise, 2, bias), expected, atol=1e-4)
    assert expected.shape == (2, 5, 5, 4)


def test_dense_network_from_files(tmp_path):
    network = DenseExpressionNetwork(*save_dense(tmp_path))
    stored = np.frombuffer((tmp_path / "weights.bin").read_bytes(), np.uint8, 3 * 3 * 3 * 4)
    kernel = network.weights["dense0/conv0/filters"]
    assert kernel.shape == (3, 3, 3, 4)
    assert np.allclose(kernel.ravel(), stored * 0.004 - 0.5, atol=1e-6)
    found = network.probabilities(crops(network))
    assert found.shape == (2, 7) and np.allclose(found.sum(1), 1, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4  # the crop matters


def test_dense_network_files_must_belong_together(tmp_path):
    manifest, weights = save_dense(tmp_path)
    content = weights.read_bytes()
    for wrong, message in ((content[:-1], "not described"), (content + b"\0", "longer")):
        weights.write_bytes(wrong)
        with pytest.raises(CheckpointError, match=message):
            DenseExpressionNetwork(manifest, weights)


def test_mini_xception_from_a_file_with_its_outputs_in_our_order(tmp_path):
    final = np.log(np.arange(1, 8) / 28)  # angry 1/28, ..., neutral 7/28
    network = MiniXception(save_mini_xception(tmp_path / "m.hdf5", final))
    found = network.probabilities(crops(network))
    by_name = dict(zip(CLASSES, found[1] * 28, strict=True))
    assert {name: round(float(value), 3) for name, value in by_name.items()} == {
        "angry": 1, "disgusted": 2, "fear": 3, "happy": 4, "sad": 5, "surprised": 6, "neutral": 7,
    }  # fmt: skip
    (tmp_path / "damaged.hdf5").write_bytes(b"not HDF5")
    with pytest.raises(CheckpointError, match="damaged"):
        MiniXception(tmp_path / "damaged.hdf5")


def test_square_crop_shows_the_face():
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:100, 100:140] = 255
    points = np.array([[100.0, 60.0], [140.0, 100.0]])
    assert networks.square_crop(image, points, 1.0, 80).mean() > 250
    centre = networks.square_crop(image, points, 2.0, 80)
    assert centre[30:50, 30:50].min() == 255 and centre[:15].max() == 0
    assert abs(centre[..., 0].astype(float).mean() - 255 / 4) < 3  # a quarter of the square
    assert np.array_equal(centre, centre[::-1, ::-1])  # pixel centres are not off by half a pixel


def seen(section, subject, emotion, vote, scores=None, rest=None) -> Observation:
    probabilities = np.full(7, 0.05)
    probabilities[CLASSES.index(vote)] = 0.7
    pictures = [np.full((8, 8, 3), 99, np.uint8)] * 2
    take = Take(section, subject, f"{subject} {emotion}", emotion, lambda every: (None, iter(())))
    return Observation(take, {"net": probabilities}, np.zeros(52) if scores is None else scores, rest, pictures)


def test_votes_confusion_and_accuracy():
    observations = [
        seen("a", "x", "neutral", "neutral"), seen("a", "x", "happy", "happy"), seen("a", "x", "sad", "neutral"),
        seen("a", "x", "sad", "sad"), seen("a", "x", "fear", "surprised"), seen("a", "x", None, "happy"),
    ]  # fmt: skip
    counts = video_emotion.confusion(observations, "net")
    assert counts.sum() == 5 and counts[CLASSES.index("sad"), CLASSES.index("neutral")] == 1
    assert video_emotion.accuracy(counts) == pytest.approx(3 / 5)
    assert video_emotion.accuracy(counts, neutral=False) == pytest.approx(2 / 4)
    assert video_emotion.true_probability(observations, "net") == pytest.approx((3 * 0.7 + 2 * 0.05) / 5)
    assert np.isnan(video_emotion.accuracy(video_emotion.confusion(observations[-1:], "net")))


def test_amplitudes_are_relative_to_rest():
    def smile(left: float, right: float) -> np.ndarray:
        scores = np.zeros(52)
        scores[ARKIT.indices(("mouthSmileLeft", "mouthSmileRight"))] = left, right
        return scores

    generated = video_emotion.amplitudes([seen("g", "p", "happy", "happy", smile(0.6, 0.4), smile(0.2, 0.2))])
    column = video_emotion.ACTIONS.index("mouthSmile")
    assert video_emotion.action_values(generated["happy"])[column] == pytest.approx(0.3)
    real = video_emotion.amplitudes([
        seen("r", "x", "neutral", "neutral", smile(0.1, 0.1)), seen("r", "x", "happy", "happy", smile(0.8, 0.8)),
        seen("r", "y", "happy", "happy", smile(1, 1)),  # no neutral video
    ])  # fmt: skip
    assert list(real) == ["happy"] and video_emotion.action_values(real["happy"])[column] == pytest.approx(0.7)


def test_report_and_sheet():
    rest = np.zeros(52)
    observations = [
        seen("heard", "x", "happy", "happy", rest=rest), seen("heard", "y", "sad", "neutral", rest=rest),
        seen("real", "z", "happy", "happy"),
    ]  # fmt: skip
    text = video_emotion.report(observations, 3)
    assert "| heard |" in text and "Confusion, real" in text and "happy: heard" in text and "happy 0.70" in text
    sheet = video_emotion.contact_sheet(observations)  # two rows of x and y, then one row of z
    height = 8 + video_emotion.LABEL_HEIGHT
    assert sheet.shape == (3 * height, 2 * 16, 3)
    assert (sheet[height - 8 : height, :16] == 99).all() and (sheet[height - 8 : height, 16:] == 0).all()


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("03-01-06-02-01-01-17", ("17", "fear")), ("08-01-04_01", ("08", "surprised")), ("speech_anger", ("speech", "angry")),
        ("M030_front_disgusted_level3_001", ("M030", "disgusted")), ("M030_front_contempt_level3_001", ("M030", None)),
        ("voice", ("voice", None)),
    ],
)  # fmt: skip
def test_labels_from_file_names(stem, expected):
    assert video_takes.describe(stem) == expected


def test_ravdess_takes_are_strong_and_without_calm(tmp_path):
    def talk(audio, image, emotion, intensity):
        return audio, image, emotion, intensity

    with pytest.raises(DataError, match=r"Actor_17\.png is missing"):
        video_takes.heard_takes(tmp_path, talk, [1.0], ["17"])
    for folder in ("ravdess", "ravdess_portraits"):
        (tmp_path / folder).mkdir()
    (tmp_path / "ravdess_portraits" / "Actor_17.png").touch()
    for emotion in (1, 3, 4, 5, 6, 7, 8):
        (tmp_path / "ravdess" / f"03-01-{emotion:02d}-{'01' if emotion == 1 else '02'}-01-01-17.opus").touch()
    takes = video_takes.heard_takes(tmp_path, talk, [1.0, 1.5], ["17"])
    assert [take.emotion for take in takes[:7]] == list(CLASSES) and len(takes) == 14
    assert {take.section for take in takes} == {"RAVDESS, heard, intensity 1", "RAVDESS, heard, intensity 1.5"}


def test_files_are_found_and_limited(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.png").touch()
    (tmp_path / "a.txt").touch()
    assert [p.stem for p in video_takes.find_files([tmp_path], {".png"}, "--portraits", 3)] == ["a", "c", "e"]
    with pytest.raises(DataError, match="--audio"):
        video_takes.find_files([tmp_path], {".wav"}, "--audio")


class Brightness:
    """A network that calls bright faces happy and others sad."""

    name = "brightness"

    def crop(self, image, points):
        return networks.square_crop(image, points, 1.0, 16)

    def probabilities(self, crops):
        found = np.zeros((len(crops), 7), np.float32)
        bright = crops.mean((1, 2, 3)) > 110
        found[bright, CLASSES.index("happy")] = found[~bright, CLASSES.index("sad")] = 1
        return found


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


def test_only_every_kth_frame_is_rendered_and_looked_at(landmarker):
    bright, rendered = data.astronaut(), []

    class Renderer:
        def render(self, motion):
            for frame in motion:
                rendered.append(frame[0])
                yield bright if frame[0] < 6 else (bright * 0.4).astype(np.uint8)

    motion = np.repeat(np.arange(10.0)[:, None], 58, 1)
    portrait = SimpleNamespace(image=bright)
    video = SimpleNamespace(
        portrait=portrait, make_renderer=lambda p: Renderer(), motion=SimpleNamespace(coefficients=motion)
    )
    (take,) = video_takes.voice_takes([Path("sad.wav")], [Path("p.png")], lambda *options: video, [1.0])
    observation = video_emotion.observe(take, landmarker, [Brightness()], every=4, pictures=2, width=32)
    assert rendered == [0, 4, 8] and take.emotion == "sad"
    assert observation.probabilities["brightness"][CLASSES.index("happy")] == pytest.approx(2 / 3)
    assert CLASSES[observation.vote("brightness")] == "happy"
    assert len(observation.pictures) == 2 and observation.pictures[0].shape == (32, 32, 3)
    assert np.abs(observation.scores - observation.rest).max() < 0.1


def test_a_video_without_a_face_is_named(landmarker):
    take = Take("s", "x", "clip", "happy", lambda every: (None, iter([np.zeros((64, 64, 3), np.uint8)])))
    with pytest.raises(FaceNotFoundError, match="clip"):
        video_emotion.observe(take, landmarker, [Brightness()])


def test_the_command_on_a_recording_and_a_real_video(tmp_path, monkeypatch, capsys):
    t = np.arange(16000) / 16000
    save_wav(tmp_path / "voice_happy.wav", (0.3 * np.sin(2 * np.pi * 150 * t)).astype(np.float32))
    save_image(tmp_path / "person.png", data.astronaut())
    (tmp_path / "clips").mkdir()
    with VideoWriter(tmp_path / "clips" / "ann_sad.mp4", 512, 512, 25, np.zeros(3200, np.float32), 16000) as writer:
        for _ in range(5):
            writer.write((data.astronaut() * 0.4).astype(np.uint8))
    monkeypatch.setattr(networks, "load_networks", lambda: [Brightness()])
    arguments = (
        "--audio", tmp_path / "voice_happy.wav", "--portraits", tmp_path / "person.png", "--real", tmp_path / "clips",
        "--every", 8, "--size", 128, "--sheet", tmp_path / "sheet.png", "--output", tmp_path / "report.md",
    )  # fmt: skip
    find(["evaluate", "video"]).run([*map(str, arguments)])
    text = (tmp_path / "report.md").read_text()
    assert text.strip() in capsys.readouterr().out
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert rows["heard, intensity 1"].split("|")[2:4] == ["      1 ", "       1.00 "]
    assert "real, clips: ann, ann_sad" in rows and (tmp_path / "sheet.png").is_file()
