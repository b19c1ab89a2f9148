"""Measures of talking videos against public implementations and hand-computed cases."""

import sys
import types

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from emotalker.audio.mfcc import mfcc
from emotalker.coefficients import ARKIT
from emotalker.core.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from emotalker.evaluation.metrics import identity
from emotalker.evaluation.metrics.cpbd import cpbd, edge_widths, sobel_edges
from emotalker.evaluation.metrics.diversity import diversity
from emotalker.evaluation.metrics.frechet import frechet_distance
from emotalker.evaluation.metrics.landmark_distance import first_frame_distances, landmark_distances, scale_to
from emotalker.evaluation.metrics.measure import GROUPS, MEASURES, measure_of
from emotalker.evaluation.metrics.motion import brow_range, clip_statistics, jitter
from emotalker.evaluation.metrics.similarity import psnr, ssim
from emotalker.evaluation.metrics.syncnet import SyncNetMeter, shifted_distances
from emotalker.evaluation.metrics.vertices import FaceVertices, vertex_measures
from emotalker.evaluation.metrics.visible_emotion import load_classifier, majority_rate, recognised
from emotalker.evaluation.motion_statistics import BLINKS, BROWS
from emotalker.face.model import FaceModel
from emotalker.models.inception import FidInception
from emotalker.models.lpips import AlexNetFeatures, LinearLayers, Lpips
from emotalker.models.published_weights import load_published
from emotalker.models.syncnet import SyncNet

PICTURE = data.astronaut()[:192, 128:320]


def noisy(picture, deviation=12):
    rng = np.random.default_rng(0)
    return np.clip(picture + rng.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8)


def test_ssim_and_psnr_are_those_of_scikit_image():
    other = noisy(PICTURE)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert ssim(PICTURE, other) == pytest.approx(structural_similarity(PICTURE, other, channel_axis=2, **options), abs=1e-3)
    full = structural_similarity(PICTURE, other, channel_axis=2, full=True, **options)[1].mean()
    assert ssim(PICTURE, other, border=True) == pytest.approx(full, abs=2e-3)
    assert psnr(PICTURE, other) == pytest.approx(peak_signal_noise_ratio(PICTURE, other), abs=1e-3)
    assert ssim(PICTURE, PICTURE) == pytest.approx(1) and psnr(PICTURE, PICTURE) == 60


@pytest.fixture(scope="module")
def published_cpbd():
    """The package's function; its unused import of a removed reader is supplied."""
    import scipy.ndimage

    missing = not hasattr(scipy.ndimage, "imread")
    if missing:
        scipy.ndimage.imread = None
    from cpbd import compute

    if missing:
        del scipy.ndimage.imread
    return compute


@pytest.mark.parametrize("blur", [0, 0.7, 1.5])
def test_cpbd_is_that_of_the_published_package(published_cpbd, blur):
    picture = cv2.GaussianBlur(PICTURE, (0, 0), blur) if blur else PICTURE
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert cpbd(picture) == pytest.approx(published_cpbd(gray), abs=1e-6)


def ramp(width, low=40, high=180):
    row = np.concatenate([np.full(30, low), np.linspace(low, high, width + 1)[1:], np.full(34 - width, high)])
    return np.tile(row, (64, 1)).astype(np.float64)


def test_an_edge_is_as_wide_as_its_ramp():
    for width in (2, 4, 6):
        both = np.hstack([ramp(width), ramp(width)[:, ::-1]])  # rising, then falling
        middle = 29 + width // 2
        assert edge_widths(both)[30, middle] == width and edge_widths(both)[30, 127 - middle] == width
    assert sobel_edges(ramp(2))[30].nonzero()[0].tolist() == [30]


def test_cpbd_of_a_picture_without_edges_is_unknown():
    assert np.isnan(cpbd(np.full((64, 64), 90, np.uint8)))


def test_missing_scikit_image_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emotalker\[evaluation\]'"):
        cpbd(PICTURE)


def test_landmark_distances_of_a_shift_and_of_a_moving_mouth():
    still = np.random.default_rng(1).uniform(0, 256, (1, 68, 2)).repeat(4, 0)
    shifted = still + [3.0, 1.0]
    absolute, centred = landmark_distances(shifted, still)
    assert absolute == pytest.approx([2, 2]) and centred == pytest.approx([0, 0], abs=1e-9)
    assert first_frame_distances(shifted, still) == pytest.approx([0, 0], abs=1e-9)
    opened = still.copy()
    opened[2:, 48:68, 1] += 5  # in half of the frames
    assert first_frame_distances(opened, still) == pytest.approx([2.5 * 20 / 68, 2.5])
    assert landmark_distances(opened, still)[0] == pytest.approx([1.25 * 20 / 68, 1.25])
    lost = opened.copy()
    lost[3] = np.nan
    assert first_frame_distances(lost, still)[1] == pytest.approx(5 / 3)
    assert scale_to(still * 4, still) == pytest.approx(still)
    assert np.isnan(first_frame_distances(np.full_like(still, np.nan), still)).all()


def test_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (50000, 3))
    assert frechet_distance(a, a + [2, 0, 1]) == pytest.approx(5, abs=1e-6)
    assert frechet_distance(a, 3 * a) == pytest.approx(3 * 2**2, rel=0.02)  # (3 - 1)^2 a dimension
    constant = np.zeros((10, 3))
    assert frechet_distance(constant, constant + 1) == pytest.approx(3) and np.isnan(frechet_distance(a[:1], a))


def test_diversity_of_three_samples():
    zero = np.zeros((5, 2))
    assert diversity([zero, zero + [3, 4], zero]) == pytest.approx(10 / 3) and np.isnan(diversity([zero]))


def test_statistics_of_a_known_motion():
    motion = np.zeros((50, ARKIT.dim), np.float32)
    motion[10:14, BLINKS] = motion[30:33, BLINKS] = 0.9
    motion[:, BROWS[0]] = np.linspace(0, 1, 50)
    assert clip_statistics(motion)["blinks"] == pytest.approx(60)
    assert brow_range(motion) == pytest.approx(0.9 / len(BROWS), abs=1e-6)
    path = np.zeros((3, 1, 2))
    path[1] = [3, 4]
    assert jitter(path) == pytest.approx(10) and jitter(np.arange(8.0).reshape(4, 1, 2)) == pytest.approx(0)


def test_every_measure_states_what_it_shows():
    assert len({m.key for m in MEASURES}) == len(MEASURES) and all(m.shows and m.limits for m in MEASURES)
    assert {m.group for m in MEASURES} <= set(GROUPS) and measure_of("frames") is None
    assert measure_of("emotion_mine").title == "Emo acc, mine"


def test_any_classifier_by_a_function(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def classify(frames, points):\n    return {'happiness': len(frames) / 10, 'neutral': 0.2}\n")
    votes = load_classifier(f"{file}:classify")(np.zeros((5, 8, 8, 3)), np.zeros((5, 478, 2)))
    assert recognised(votes, "happy") == 1 and recognised(votes, "neutral") == 0 and np.isnan(recognised(votes, "fear"))
    with pytest.raises(ConfigError, match=r"give file\.py:function"):
        load_classifier(f"{file}:other")
    assert majority_rate(["sad", "sad", None, "happy"]) == pytest.approx(2 / 3)


def test_identity_is_the_cosine_of_embeddings_of_five_points(monkeypatch, tmp_path):
    """dlib is replaced by a recorder: which points and which file it gets."""
    seen = {}

    class Network:
        def __init__(self, path):
            seen["path"] = path

        def compute_face_descriptor(self, frame, face):
            seen["face"] = face
            return [3.0, 4.0]

    fake = types.SimpleNamespace(
        face_recognition_model_v1=Network, rectangle=lambda *box: box, point=lambda x, y: (x, y),
        full_object_detection=lambda box, parts: (box, parts),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "dlib", fake)
    monkeypatch.setattr(identity, "resolve", lambda name, path: path or name)
    points = np.arange(956.0).reshape(478, 2)
    assert identity.FaceEmbedder("face.dat")(PICTURE, points).tolist() == [3, 4] and seen["path"] == "face.dat"
    assert seen["face"][0] == (0, 1, 954, 955) and seen["face"][1][0] == (526, 527) and len(seen["face"][1]) == 5
    a, b = np.array([1.0, 0]), np.array([3.0, 4])
    assert identity.cosine(a, b) == pytest.approx(0.6) and np.isnan(identity.cosine(a, 0 * b))
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtraError, match=r"emotalker\[identity\]"):
        identity.FaceEmbedder()


def test_syncnet_loads_published_names_without_running_code(tmp_path):
    torch.manual_seed(0)
    network = SyncNet()
    names = set(network.state_dict())
    published = {
        "netcnnaud.18.weight",
        "netcnnaud.19.running_mean",
        "netcnnlip.18.bias",
        "netfcaud.3.weight",
        "netfclip.1.bias",
    }
    assert published <= names and network.state_dict()["netcnnlip.18.weight"].shape == (512, 256, 1, 6, 6)
    path = tmp_path / "syncnet_v2.model"
    torch.save(network.state_dict(), path)
    meter = SyncNetMeter(path)
    assert torch.equal(meter.network.netcnnlip[0].weight, network.netcnnlip[0].weight)
    rng = np.random.default_rng(0)
    frames, points = rng.integers(0, 255, (8, 64, 64, 3), np.uint8), rng.uniform(10, 50, (8, 478, 2))
    distance, confidence = meter(frames, points, rng.normal(0, 0.1, 8 * 640).astype(np.float32))
    assert distance > 0 and confidence >= 0
    with pytest.raises(DataError, match="needs more than 5 frames"):
        meter(frames[:5], points[:5], np.zeros(3200, np.float32))
    torch.save({"state_dict": {"x": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match="does not fit SyncNet"):
        SyncNetMeter(path)
    torch.save(network, path)  # a pickled object, which could run code
    with pytest.raises(CheckpointError, match="cannot be read as published weights"):
        SyncNetMeter(path)


def test_distance_of_a_shifted_copy_is_smallest_at_its_shift():
    stream = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    distances = shifted_distances(stream, stream.roll(4, 0))
    assert len(distances) == 31 and distances.argmin() == 15 + 4
    assert distances.median() - distances.min() > 1


def test_mfcc_of_a_tone():
    """Energy, number of windows, and a filter bank whose response moves up with the tone."""
    time = np.arange(16000) / 16000
    quiet, loud = (mfcc((a * np.sin(2 * np.pi * 440 * time)).astype(np.float32)) for a in (0.05, 0.5))
    assert quiet.shape == (99, 13)
    assert loud[50, 0] - quiet[50, 0] == pytest.approx(2 * np.log(10), abs=0.01)
    assert loud[50, 2:] == pytest.approx(quiet[50, 2:], abs=0.5)  # loudness changes the first coefficients only
    high = mfcc((0.5 * np.sin(2 * np.pi * 4000 * time)).astype(np.float32))
    assert loud[50, 1] > 0 > high[50, 1]
    assert len(mfcc(np.zeros(3200, np.float32))) == 19


def test_inception_and_lpips_from_saved_weights(tmp_path):
    torch.manual_seed(0)
    network = FidInception()
    extended = {**network.state_dict(), "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    assert sum(p.numel() for p in network.parameters()) == 21_785_568  # Inception v3 without classifiers
    torch.save(extended, tmp_path / "inception.pth")
    loaded = load_published(FidInception(), tmp_path / "inception.pth", ignore=FidInception.UNUSED)
    with torch.inference_mode():
        features = loaded(torch.from_numpy(np.stack([PICTURE])))
    assert features.shape == (1, 2048) and torch.isfinite(features).all()

    alexnet, linear = AlexNetFeatures(), LinearLayers()
    for parameter in linear.parameters():
        torch.nn.init.uniform_(parameter)
    torch.save({**alexnet.state_dict(), "classifier.1.weight": torch.zeros(2)}, tmp_path / "alexnet.pth")
    torch.save(linear.state_dict(), tmp_path / "alex.pth")
    assert set(linear.state_dict()) == {f"lin{i}.model.1.weight" for i in range(5)}
    lpips = Lpips(tmp_path / "alexnet.pth", tmp_path / "alex.pth")
    a, b, c = (torch.from_numpy(x)[None] for x in (PICTURE, noisy(PICTURE, 5), noisy(PICTURE, 40)))
    assert lpips(a, a).item() == pytest.approx(0, abs=1e-6) and lpips(a, c).item() > lpips(a, b).item() > 0
    with pytest.raises(CheckpointError, match="download the file again"):
        Lpips(tmp_path / "missing.pth", tmp_path / "alex.pth")


def test_vertex_measures_of_hand_cases():
    real = np.zeros((4, 6, 3))
    real[:, 5, 0] = [0, 1, 0, 1]  # a moving vertex of the upper face
    lips, upper = np.array([0, 1]), np.array([4, 5])
    one, two = real.copy(), real.copy()
    one[:, 0, 1], two[:, 0, 1] = 2, -2
    one[:, 5] = two[:, 5] = 0
    lve, mve, fdd, mee, ce, spread = vertex_measures([one, two], real, lips, upper)
    assert lve == pytest.approx(4) and ce == pytest.approx(4) and mee == pytest.approx(0)
    assert mve == pytest.approx((2 * 4 + 2) / 24) and fdd == pytest.approx(0.5 / 2)
    assert spread == pytest.approx(4 / 6)
    assert np.isnan(vertex_measures([one], real, lips, upper)[-1])


def test_the_head_s_lips_and_upper_face():
    vertices = FaceVertices(FaceModel.load())
    motion = np.zeros((2, ARKIT.dim), np.float32)
    motion[1, ARKIT.index("browInnerUp")] = 1
    moved = np.linalg.norm(vertices.displacement(motion)[1], axis=-1)
    assert moved[vertices.upper].max() > 2 and moved[vertices.lips].max() < 0.5
    motion[1] = 0
    motion[1, ARKIT.index("jawOpen")] = 1
    moved = np.linalg.norm(vertices.displacement(motion)[1], axis=-1)
    assert moved[vertices.lips].max() > 5 and not set(vertices.lips) & set(vertices.upper)
