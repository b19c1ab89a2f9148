"""The synthetic-face reader: aligned crops, features, training data, training, and its use in the tracker."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES
from emotalker.core.checkpoint import read_metadata
from emotalker.core.errors import CheckpointError, DataError
from emotalker.core.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from emotalker.synthetic.dataset import load_faces, save_faces
from emotalker.synthetic.films import SyntheticPerson, random_film
from emotalker.synthetic.observation import (
    EYE_HEIGHT,
    EYE_SIZE,
    MEAN_POINTS,
    MIRRORED_POINTS,
    MOUTH_HEIGHT,
    MOUTH_SIZE,
    READ_POINTS,
    RIGID_POINTS,
    SIDE,
    Observation,
    crop,
    crop_transform,
    extract_features,
    gradient_histograms,
    histogram_dim,
    stack_features,
    transform_points,
    windows,
)
from emotalker.synthetic.prepare import files_in
from emotalker.synthetic.reader import SyntheticFaceReader
from emotalker.synthetic.sources import FaceSources, another_person
from emotalker.tracking import Tracker
from emotalker.tracking.backends import FIT_POINTS, MediaPipe
from emotalker.video import VideoWriter
from tests.test_training_runs import SHORT

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module")
def sources() -> FaceSources:
    return FaceSources()


@pytest.fixture(scope="module")
def faces(sources, tmp_path_factory) -> Path:
    """A folder of a few synthetic people."""
    root = tmp_path_factory.mktemp("faces")
    for number in range(12):
        save_faces(root / f"{number}.npz", sources.synthetic(7000 + number)[:: 1 if number < 2 else 8])
    (root / "faces.json").write_text('{"source": "synthetic", "licence": "CC0", "synthetic": true}')
    return root


@pytest.fixture(scope="module")
def photographs(sources, tmp_path_factory) -> Path:
    """A folder of real video frames: shifted crops of one photograph, labelled as several people."""
    root = tmp_path_factory.mktemp("photographs")
    image = data.astronaut()
    for number in range(4):
        with VideoWriter(root / "v.mp4", 320, 320, 25) as video:
            for i in range(11):
                video.write(np.ascontiguousarray(image[:320, 30 + 20 * number + i : 350 + 20 * number + i]))
        crops = sources.video(root / "v.mp4", number)
        assert len(crops) == 3 and all(face["person"] == number and (face["true"] == face["found"]).all() for face in crops)
        assert crops[0]["blendshapes"].max() > 0.2, "the smile is not found"
        save_faces(root / f"{number}.npz", crops)
    (root / "faces.json").write_text('{"source": "photographs", "licence": "CC BY 4.0", "synthetic": false}')
    return root


def test_crop_does_not_depend_on_the_faces_position():
    photo = data.astronaut()
    landmarker = MediaPipe()
    face = landmarker.detect(photo)[0].points[:, :2]
    moved = np.array([[0.8, -0.25, 90.0], [0.25, 0.8, 20.0]])
    turned = cv2.warpAffine(photo, moved, (600, 600), flags=cv2.INTER_AREA)
    here, there = crop_transform(face), crop_transform(transform_points(moved, face))
    points = transform_points(here, face)
    np.testing.assert_allclose(transform_points(there, transform_points(moved, face)), points, atol=1e-6)
    difference = crop(photo, here).astype(float) - crop(turned, there)
    assert np.abs(difference).mean() < 3
    assert np.abs(points[RIGID_POINTS] - MEAN_POINTS[RIGID_POINTS]).max() < 8


def test_histograms_depend_little_on_lighting():
    photo = data.astronaut()
    transform = crop_transform(MediaPipe().detect(photo)[0].points[:, :2])
    grey = torch.from_numpy(crop(photo, transform)[None])
    plain, brighter, other = gradient_histograms(torch.cat([grey, grey * 0.6 + 60, grey.flip(2)]).float())
    assert plain.shape == (histogram_dim((SIDE, SIDE)),)
    assert (plain - brighter).norm() < 0.35 * (plain - other).norm()
    assert not gradient_histograms(torch.full((1, SIDE, SIDE), 90.0)).any(), "a constant image has gradients"


def test_mirrored_features_are_those_of_the_mirrored_crop(faces):
    assert (MIRRORED_BLENDSHAPES[MIRRORED_BLENDSHAPES] == np.arange(52)).all()
    assert (MIRRORED_POINTS[MIRRORED_POINTS] == np.arange(len(READ_POINTS))).all()
    assert ARKIT_BLENDSHAPES[MIRRORED_BLENDSHAPES[ARKIT.index("mouthSmileLeft")]] == "mouthSmileRight"
    crops = load_faces(faces)
    features = extract_features(crops.image[:5], crops.found[:5], crops.scores[:5])
    mirrored_points = (crops.found * [-1, 1] + [SIDE, 0])[:5, MIRRORED_POINTS]
    expected = extract_features(crops.image[:5, :, ::-1], mirrored_points, crops.scores[:5, MIRRORED_BLENDSHAPES])
    for found, other, plain, again in zip(
        features.mirrored(), expected, features, features.mirrored().mirrored(), strict=True
    ):
        assert (found - other).abs().mean() < 0.02 * (plain - other).abs().mean()
        torch.testing.assert_close(again, plain)
    np.testing.assert_allclose(features.mirrored().landmarks.numpy(), expected.landmarks.numpy(), atol=1e-4)
    mouth, _ = windows(crops.image[0], crops.found[0])
    expected_mouth = gradient_histograms(torch.from_numpy(mouth[None, :, ::-1].copy()).float())
    torch.testing.assert_close(features.mirrored().mouth[:1], expected_mouth)


@pytest.mark.parametrize("shift", [(0, 0), (3, -5)])
def test_windows_are_centred_on_the_mouth_and_the_eyes(shift):
    points = MEAN_POINTS + shift
    picture = np.zeros((SIDE, SIDE), np.uint8)
    for x, y in (points[[13, 14]].mean(0), points[[33, 133]].mean(0)):
        picture[round(y - 0.5), round(x - 0.5)] = 255
    mouth, (right, left) = windows(picture, points[READ_POINTS])
    assert mouth.shape == MOUTH_SIZE and right.shape == left.shape == EYE_SIZE and left.max() == 0
    for window, middle in ((mouth, MOUTH_HEIGHT), (right, EYE_HEIGHT)):
        y, x = np.unravel_index(window.argmax(), window.shape)
        assert abs(y + 0.5 - middle) < 4 and abs(x + 0.5 - window.shape[1] / 2) < 2
    mirrored, (other_right, other_left) = windows(
        picture[:, ::-1], ([SIDE, 0] + points * [-1, 1])[READ_POINTS[MIRRORED_POINTS]]
    )
    np.testing.assert_allclose(mirrored, mouth[:, ::-1], atol=8)
    np.testing.assert_allclose(other_left, right, atol=8)
    assert other_right.max() == 0


def test_training_reduces_the_loss_and_stores_the_data_sources(faces, photographs, tmp_path):
    # in a subprocess, because accelerate allows one precision per process and this run is bf16
    options = [f"run={tmp_path / 'run'}", f"data.root=[{faces},{photographs}]", "data.weights=[0.8,0.2]", "workers=0", *SHORT]
    options += [
        "teacher=null",
        "model={mouth: 20, eye: 20, landmarks: 20, hidden: 32, members: 2, dropout: 0}",
        "optimizer.learning_rate=0.01",
    ]
    options += ["steps=90", "validate_every=90"]
    subprocess.run([sys.executable, SCRIPTS / "train_face_reader.py", *options], check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["split"] == "train"]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    assert next(line["synthetic_accuracy"] for line in lines if line["split"] == "val") > 0.9
    path = tmp_path / "run" / "best.safetensors"
    sources = [entry["source"] for entry in read_metadata(path).extra["data"]]
    assert sources == ["synthetic", "photographs"]
    reader, photo = SyntheticFaceReader.from_pretrained(path), data.astronaut()
    face = MediaPipe().detect(photo)[0]
    observations = [Observation.of(photo, face.points[:, :2], face.scores)] * 3
    context = stack_features(observations).mean()
    points, blendshapes = reader.read(observations, context)
    assert points.shape == (3, len(FIT_POINTS), 2) and blendshapes.shape == (3, 52) and not reader.applies_to(context)


def test_warped_portraits_have_other_proportions():
    image = data.astronaut()[:400, 24:424]
    other = another_person(image, np.random.default_rng(0))
    assert other.shape == image.shape and np.abs(other.astype(float) - image).mean() > 2
    here, there = (MediaPipe().detect(picture)[0].points[:, :2] for picture in (image, other))
    width, height = ((np.ptp(there, 0) / np.ptp(here, 0)) - 1).tolist()
    assert 0.005 < max(abs(width), abs(height)) < 0.3


def test_missing_or_damaged_faces_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="not a folder of faces"):
        load_faces(tmp_path)
    (tmp_path / "faces.json").write_text('{"source": "a", "licence": "b", "synthetic": true}')
    with pytest.raises(DataError, match="contains no faces"):
        load_faces(tmp_path)
    (tmp_path / "1.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"1\.npz is damaged"):
        load_faces(tmp_path)
    with pytest.raises(CheckpointError):
        SyntheticFaceReader.from_pretrained(tmp_path / "none.safetensors")


def test_preparation_keeps_existing_files(tmp_path):
    command = [sys.executable, SCRIPTS / "prepare_faces.py", "synthetic", "--people", "1", "--output", tmp_path]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    before = (tmp_path / "000000.npz").stat().st_mtime_ns
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "24 faces added" in first.stdout and " 0 faces added" in second.stdout
    assert (tmp_path / "000000.npz").stat().st_mtime_ns == before and len(load_faces(tmp_path)) == 24


def test_folders_are_searched_for_videos_and_images(tmp_path):
    for name in ("b.MP4", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    given = tmp_path / "other" / "c.bin"
    assert files_in([tmp_path, given], VIDEO_SUFFIXES | IMAGE_SUFFIXES) == [tmp_path / "a.png", tmp_path / "b.MP4", given]


def _correlation(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.corrcoef(found, truth)[0, 1]) if found.std() > 0 else 0.0


def test_reader_improves_tracking_of_synthetic_faces():
    model, truth, tracks = Tracker(reader=None).model, [], ([], [])
    for seed in (31, 32):
        rng = np.random.default_rng(seed)
        film = random_film(rng, 14, 4)
        truth.append(film.blendshapes)
        frames = [(i / 25, 1 / 25, image) for i, image in enumerate(SyntheticPerson(model, rng, 256).film(film))]
        for reader, kept in zip((None, SyntheticFaceReader.from_pretrained()), tracks, strict=True):
            track = Tracker(reader=reader).track_frames(frames)
            assert ("the face reader in 1 of 1 shots" in track.prior) == (reader is not None)
            kept.append(track.motion.coefficients[:, ARKIT.expression])
    truth = np.concatenate(truth)
    moving = np.flatnonzero(truth.std(0) > 0.05)
    without, with_reader = (  # the correlation of a blendshape that is tracked as constant counts as 0
        np.mean([_correlation(found[:, i], truth[:, i]) for i in moving]) for found in map(np.concatenate, tracks)
    )
    assert with_reader > 0.85 and with_reader > without + 0.2


def test_reader_does_not_change_photographs():
    photo = data.astronaut()
    frames = [(i / 25, 1 / 25, np.roll(photo, i, axis=1)) for i in range(6)]
    without, with_reader = (
        Tracker(reader=reader).track_frames(frames) for reader in (None, SyntheticFaceReader.from_pretrained())
    )
    np.testing.assert_array_equal(with_reader.motion.coefficients, without.motion.coefficients)
    assert with_reader.prior == without.prior
