"""Tracking of video files: a moving photograph, unusual and damaged files, and synthetic films."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MotionTrack
from emotalker.core.errors import VideoError
from emotalker.synthetic.films import MAX_TURN, Moments, SyntheticPerson, random_film, random_moments
from emotalker.tracking import Tracker
from emotalker.tracking.backends import MediaPipe
from emotalker.tracking.preview import write_preview
from emotalker.video import VideoWriter, read_frames, video_info
from emotalker.video.frames import timed_frames

WIDTH, HEIGHT = 320, 240
PHOTO = data.astronaut()
SCRIPT = Path(__file__).parent.parent / "scripts" / "track.py"


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return Tracker()


def picture(shift: float = 0.0, roll: float = 0.0, photo: np.ndarray = PHOTO) -> np.ndarray:
    """The astronaut's head and shoulders, shifted right by pixels and rotated about the centre by degrees."""
    matrix = cv2.getRotationMatrix2D((224, 120), roll, 1.0)
    matrix[:, 2] += [WIDTH / 2 - 224 + shift, HEIGHT / 2 - 120]
    return cv2.warpAffine(photo, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)


def pair() -> np.ndarray:
    """Two faces: a large one on the left, a smaller one on the right."""
    small = cv2.resize(PHOTO[20:230, 130:320], None, fx=0.55, fy=0.55, interpolation=cv2.INTER_AREA)
    image = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    image[:210, :190] = PHOTO[20:230, 130:320]
    image[60 : 60 + len(small), 205 : 205 + small.shape[1]] = small
    return image


def write(path: Path, frames, fps: float = 25, audio: np.ndarray | None = None) -> Path:
    with VideoWriter(path, WIDTH, HEIGHT, fps, audio) as video:
        for frame in frames:
            video.write(frame)
    return path


def rolling(count: int = 20) -> list[np.ndarray]:
    return [picture(roll=8 * np.sin(i / 3)) for i in range(count)]


def test_rotating_photograph(tracker: Tracker, tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", rolling(), audio=np.zeros(12800, np.float32))
    tracked = tracker.track(path, keep_landmarks=True)
    assert len(tracked) == 20 and tracked.valid.all() and tracked.confidence.min() > 0.6
    assert (tracked.size, tracked.backend) == ((WIDTH, HEIGHT), "mediapipe") and "blendshape" in tracked.prior
    assert tracked.source_fps == pytest.approx(25) and tracked.landmarks.shape == (20, 478, 2)
    roll = np.degrees(tracked.motion.coefficients[:, 54])
    true = 8 * np.sin(np.arange(20) / 3)
    assert np.corrcoef(roll, true)[0, 1] > 0.98 and np.ptp(roll) == pytest.approx(np.ptp(true), rel=0.15)

    preview = write_preview(tracked, path, tmp_path / "p.mp4")
    info = video_info(preview)
    assert (info.width, info.height, info.frames, info.has_audio) == (1280, 480, 20, True)
    left, right = np.split(next(read_frames(preview)), 2, axis=1)
    plain = cv2.resize(next(read_frames(path)), (640, 480))
    assert np.abs(left.astype(int) - plain).mean() < 8 < np.abs(right.astype(int) - left)[180:330, 240:400].mean()


def test_video_without_sound(tracker: Tracker, tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", rolling(6))
    tracked = tracker.track(path)
    assert tracked.valid.all()
    assert not video_info(write_preview(tracked, path, tmp_path / "p.mp4")).has_audio


def test_single_frame(tracker: Tracker, tmp_path: Path) -> None:
    tracked = tracker.track(write(tmp_path / "v.mp4", [picture()]))
    assert len(tracked) == 1 and tracked.valid.all()
    assert np.allclose(tracked.motion.coefficients[0, 52:], 0, atol=1e-5), "relative to itself"


def test_video_without_a_face(tracker: Tracker, tmp_path: Path) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    wall = np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, (x + y) // 3], -1).astype(np.uint8)
    tracked = tracker.track(write(tmp_path / "v.mp4", [wall] * 15))
    assert len(tracked) == 15 and not tracked.valid.any() and (tracked.confidence == 0).all()


def test_face_leaves_and_returns(tracker: Tracker, tmp_path: Path) -> None:
    grey = np.broadcast_to(picture().mean((0, 1)).astype(np.uint8), (HEIGHT, WIDTH, 3))
    tracked = tracker.track(write(tmp_path / "v.mp4", [picture()] * 8 + [grey] * 6 + [picture()] * 8))
    assert np.flatnonzero(~tracked.valid).tolist() == list(range(8, 14))


def test_cut_begins_a_new_shot(tracker: Tracker, tmp_path: Path) -> None:
    other = 255 - picture(photo=cv2.flip(255 - PHOTO, 1) // 2)
    tracked = tracker.track(write(tmp_path / "v.mp4", [picture(10)] * 10 + [other] * 10))
    assert tracked.shots.tolist() == [[0, 10], [10, 20]] and len(tracked.identities) == 2


def test_choice_among_several_faces(tracker: Tracker, tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [pair()] * 6)
    place = {}
    for face in (None, 1, 2, (250.0, 100.0), 3, (5.0, 235.0)):
        tracked = tracker.track(path, face, keep_landmarks=True)
        place[face] = tracked.landmarks[:, :, 0].mean(1) if tracked.valid.all() else tracked.valid.any()
    assert (place[None] < 190).all() and (place[1] < 190).all()
    assert (place[2] > 205).all() and (place[(250.0, 100.0)] > 205).all()
    assert place[3] is np.False_ and place[(5.0, 235.0)] is np.False_


def test_chosen_face_is_not_replaced_by_another(tmp_path: Path) -> None:
    both, alone = pair(), pair()
    alone[:, 195:] = 110
    backend = MediaPipe()
    backend.reset(2)
    detections = [backend.follow(image) for image in [both] * 3 + [alone] * 5 + [both] * 3]
    assert [detection is not None for detection in detections] == [True] * 3 + [False] * 5 + [True] * 3


@pytest.mark.parametrize("turns", [1, 3])
def test_rotation_in_the_header(tracker: Tracker, tmp_path: Path, turns: int) -> None:
    with VideoWriter(tmp_path / "v.mp4", HEIGHT, WIDTH) as video:
        for frame in rolling(4):
            video.write(np.rot90(frame, -turns))
    content = bytearray((tmp_path / "v.mp4").read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = {1: (0, -1, 1, 0), 3: (0, 1, -1, 0)}[turns]
    parts = (a, b, 0, c, d, 0)
    content[start : start + 24] = b"".join((v * 65536).to_bytes(4, "big", signed=True) for v in parts)
    (tmp_path / "v.mp4").write_bytes(content)
    tracked = tracker.track(tmp_path / "v.mp4")
    assert tracked.size == (WIDTH, HEIGHT) and tracked.valid.all()
    assert np.abs(np.degrees(tracked.rest_poses[0, 2])) < 15, "upright"


def test_variable_frame_rate(tracker: Tracker, tmp_path: Path) -> None:
    """Half at 50 frames per second, half at 10, with a constant rotation speed."""
    path, times = tmp_path / "v.mkv", np.r_[np.arange(40) * 0.02, 0.8 + np.arange(8) * 0.1]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=50)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = WIDTH, HEIGHT, "yuv420p", Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            frame = av.VideoFrame.from_ndarray(picture(roll=10 * time), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert np.allclose([time for time, _, _ in timed_frames(path)], times, atol=2e-3)
    tracked = tracker.track(path)
    last = len(tracked.motion.coefficients) - 1
    assert tracked.valid[: last + 1].all()
    roll = np.degrees(tracked.motion.coefficients[: last + 1, 54])
    slope, straight = np.polyfit(np.arange(last + 1) / 25, roll, 1)[0], np.corrcoef(np.arange(last + 1), roll)[0, 1]
    assert slope == pytest.approx(10, abs=1.5) and straight > 0.99


def test_damaged_files_raise(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(VideoError, match="cannot be decoded as video"):
        tracker.track(tmp_path / "text.mp4")
    with pytest.raises(VideoError, match="no such video"):
        tracker.track(tmp_path / "missing.mp4")
    path = write(tmp_path / "v.mp4", rolling())
    content = path.read_bytes()
    # The index is at the beginning, and the last frames are missing.
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    tracked = tracker.track(tmp_path / "cut.mp4")
    assert 3 <= len(tracked) < 20 and tracked.valid.any()
    hollow = bytearray(content)
    start = content.index(b"mdat") + 4
    hollow[start:] = bytes(len(hollow) - start)
    (tmp_path / "hollow.mp4").write_bytes(hollow)
    with pytest.raises(VideoError, match="no frame that can be decoded"):
        tracker.track(tmp_path / "hollow.mp4")
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match="no video stream"):
        tracker.track(sound)


def test_script(tmp_path: Path) -> None:
    video = write(tmp_path / "v.mp4", rolling(5))
    done = subprocess.run(
        [sys.executable, SCRIPT, "--video", video, "--output", tmp_path / "c.npz"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "frames/s" in done.stdout.splitlines()[-1] and len(MotionTrack.load(tmp_path / "c.npz").coefficients) == 5
    blank = write(tmp_path / "b.mp4", [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * 3)
    failed = subprocess.run(
        [sys.executable, SCRIPT, "--video", blank, "--output", tmp_path / "b.npz"], capture_output=True, text=True
    )
    assert failed.returncode == 1 and "no face was found" in failed.stderr and not (tmp_path / "b.npz").exists()


def test_synthetic_motion_covers_every_blendshape_and_is_continuous() -> None:
    moments = random_moments(np.random.default_rng(0), 1500)
    blendshapes = dict(zip(ARKIT_BLENDSHAPES, moments.blendshapes.T, strict=True))
    assert all(values.max() > 0.5 for values in blendshapes.values()) and moments.blendshapes.min() == 0
    assert moments.blendshapes.max() <= 1 and np.abs(moments.angles).max() <= MAX_TURN
    assert (blendshapes["mouthClose"] <= blendshapes["jawOpen"]).all()
    assert not (blendshapes["eyeLookUpLeft"] * blendshapes["eyeLookDownLeft"]).any(), "one movement per part at a time"
    film, keys = random_film(np.random.default_rng(1), 7), random_moments(np.random.default_rng(1), 7)
    assert len(film.blendshapes) == 49 and np.allclose(film.blendshapes[::8], keys.blendshapes, atol=1e-6)
    assert np.allclose(film.angles[::24], keys.angles[:3]) and np.abs(np.diff(film.blendshapes, axis=0)).max() < 0.25


def test_motion_of_a_synthetic_face_is_recovered(tracker: Tracker) -> None:
    time, names = np.arange(48), ["jawOpen", "eyeBlinkLeft", "eyeBlinkRight"]
    moments = Moments(np.zeros((48, 52), np.float32), np.zeros((48, 3)), np.tile([0.0, 0.0, -50.0], (48, 1)))
    moments.blendshapes[:, ARKIT.index(names[0])] = 0.35 - 0.35 * np.cos(time / 3)
    moments.blendshapes[:, ARKIT.indices(names[1:])] = np.maximum(np.sin(time / 2.5), 0)[:, None]
    moments.angles[:, 1] = np.radians(10) * np.sin(time / 8)
    person = SyntheticPerson(tracker.model, np.random.default_rng(900), 256)
    film = tracker.track_frames((i / 25, 1 / 25, image) for i, image in enumerate(person.film(moments)))
    assert film.valid.all()
    for name in names:
        i = ARKIT.index(name)
        assert np.corrcoef(film.motion.coefficients[:, i], moments.blendshapes[:, i])[0, 1] > 0.9, name
    yaw = np.degrees(film.motion.coefficients[:, 53] - moments.angles[:, 1])
    assert (yaw - yaw.mean()).std() < 1.5
