"""Readers of video corpora: usable segments, rest of a session, gaps and thumbnails, with a stub in place of the tracker."""

from types import SimpleNamespace

import numpy as np
import pytest

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import EmoTalkerError
from emotalker.data.prepare import thumbnail
from emotalker.data.readers.base import ClipSource, fill_gaps, usable_span
from emotalker.data.readers.tracked import VideoReader
from emotalker.video import VideoWriter


class Videos(VideoReader):
    """Reader of the videos in a folder, with a stub of the tracker."""

    name, source, licence = "videos", "test", "CC0"

    def clips(self):
        return [ClipSource(p.stem, "s", video=p) for p in sorted(self.root.glob("*.mp4"))]

    @property
    def tracker(self):
        def track(path):
            valid = np.ones(30, bool)
            valid[[0, 1, 10]] = False
            motion = np.where(valid[:, None], np.arange(30.0)[:, None] / 100, np.nan) * np.ones((30, 58))
            confidence = np.where(valid, 0.9, 0).astype(np.float32)
            confidence[20] = 0.2
            if path.stem == "b":
                valid[:] = False
            return SimpleNamespace(motion=MotionTrack(motion, ARKIT), valid=valid, confidence=confidence)

        return SimpleNamespace(track=track)


@pytest.fixture
def videos(tmp_path):
    for name in "ab":
        with VideoWriter(tmp_path / f"{name}.mp4", 64, 48) as writer:
            for i in range(30):
                writer.write(np.full((48, 64, 3), i * 8, np.uint8))
    return tmp_path


def test_clips_are_cut_to_the_segment_with_a_face(videos):
    reader = Videos(videos)
    first, second = reader.clips()
    data = reader.load(first)
    assert data.first_frame == 2 and len(data.motion) == 28 and data.audio is None
    np.testing.assert_allclose(data.motion[:, 0], np.arange(2, 30) / 100, atol=1e-6)
    assert data.valid.sum() == 27 and data.confidence[18] == pytest.approx(0.2)
    with pytest.raises(EmoTalkerError, match="0 of 30"):
        reader.load(second)


def test_pose_is_relative_to_the_rest_of_the_session(videos):
    """One clip is neutral; in the other the head is 0.2 rad lower and 2 cm nearer in all frames."""
    calls = []

    class Sitting(Videos):
        one_sitting = True

        def clips(self):
            paths = sorted(self.root.glob("*.mp4"))
            return [ClipSource(p.stem, "s", "x", w, video=p) for p, w in zip(paths, ("Neutral", "angry"), strict=True)]

        @property
        def tracker(self):
            def track(path, identity=None, calibration=None):
                calls.append((path.stem, identity, calibration))
                origin = [0.1, 0, 0, 1, 0, -90.0] if path.stem == "a" else [0.3, 0, 0, 1, 0, -88.0]
                motion = np.zeros((30, 58))
                motion[:, ARKIT.index("yaw")] = 0.05
                return SimpleNamespace(
                    motion=MotionTrack(motion, ARKIT), valid=np.ones(30, bool), confidence=np.ones(30),
                    shots=np.array([[0, 30]]), identities=np.ones((1, 4)), rest_blendshapes=np.full((1, 52), 0.1),
                    shut_lids=np.array([[0.6, 0.7]]), rest_poses=np.array([origin]),
                )  # fmt: skip

            return SimpleNamespace(track=track)

    reader = Sitting(videos)
    neutral, angry = (reader.load(clip).motion for clip in reader.clips())
    np.testing.assert_allclose(neutral[:, ARKIT.pose], [[0, 0.05, 0, 0, 0, 0]] * 30, atol=0.01)
    np.testing.assert_allclose(angry[:, ARKIT.pose], [[0.2, 0.05, 0, 0, 0, 2]] * 30, atol=0.02)
    assert [name for name, *_ in calls] == ["a", "a", "b"], "rest is not measured exactly once"
    identity, calibration = calls[-1][1:]
    assert identity.shape == (4,) and calibration.shut == (0.6, 0.7) and calibration.rest[5] == pytest.approx(0.1)


def test_thumbnail_is_the_frame_at_the_given_time(videos):
    import cv2

    jpeg = thumbnail(videos / "a.mp4", 20 / 25)
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (144, 192, 3) and abs(picture.mean() - 160) < 6


def test_short_gaps_are_interpolated_and_long_gaps_cut():
    found = np.ones(75, bool)
    found[[0, 1, 2, 40, 41, 74]] = False
    assert usable_span(found, 5) == (3, 74)
    found[10:20] = False
    assert usable_span(found, 5) == (20, 74)
    assert usable_span(np.zeros(10, bool), 5) == (0, 0)
    values = np.arange(10, dtype=float)[:, None, None] * np.ones((1, 2, 2))
    holed = values.copy()
    holed[4:6] = np.nan
    np.testing.assert_allclose(fill_gaps(holed), values)
