"""Dubbing: a rendered speaker gets other lips."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from skimage import data

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import FaceNotFoundError, VideoError
from emotalker.evaluation.lipsync import lip_gap
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.inference.dubbing import dub
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.video.random_access import VideoFrames, ping_pong
from emotalker.video.writer import VideoWriter

FRAMES = 16


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


@pytest.fixture(scope="module")
def video(landmarker, tmp_path_factory):
    """A talking portrait whose head turns, beside a wall with a pattern."""
    portrait = Portrait.from_image(data.astronaut(), landmarker, FaceModel.load(), 256)
    motion = np.zeros((FRAMES, ARKIT.dim), np.float32)
    motion[:, ARKIT.index("yaw")] = np.linspace(-0.1, 0.1, FRAMES)
    motion[:, ARKIT.index("jawOpen")] = 0.2 + 0.2 * np.cos(np.arange(FRAMES))
    wall = np.tile(np.arange(128, dtype=np.uint8)[None, :, None], (256, 1, 3))
    path = tmp_path_factory.mktemp("video") / "speaker.mp4"
    with VideoWriter(path, 384, 256, crf=1) as writer:
        for frame in WarpRenderer(portrait).render(motion):
            writer.write(np.concatenate([frame, wall], 1))
    return path


def test_frames_in_any_order_are_those_in_order(video):
    frames = VideoFrames(video)
    ordered = list(frames)
    assert len(ordered) == FRAMES and frames.times[1] == pytest.approx(0.04)
    numbers = [15, 3, 3, 0, 14, 1]
    for number, frame in zip(numbers, frames.take(numbers), strict=True):
        assert np.array_equal(frame, ordered[number])


def test_ping_pong():
    assert ping_pong(4, 10).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert ping_pong(1, 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("ending", ["ping-pong", "hold"])
def test_lips_follow_the_new_motion_and_the_rest_stays(video, landmarker, ending):
    motion = np.zeros((FRAMES + 4, ARKIT.dim), np.float32)
    motion[:, ARKIT.index("jawOpen")] = np.where(np.arange(FRAMES + 4) % 6 < 3, 0.5, 0.0)
    dubbed = dub(video, MotionTrack(motion, ARKIT), landmarker, FaceModel.load(), partial(WarpRenderer, shading=0.0), ending)
    originals = list(VideoFrames(video))
    order = ping_pong(FRAMES, FRAMES + 4) if ending == "ping-pong" else np.arange(FRAMES + 4).clip(max=FRAMES - 1)
    (shot,), gaps = dubbed.shots, []
    outside = np.ones(originals[0].shape[:2], bool)
    outside[shot.low[1] : shot.low[1] + shot.side, shot.low[0] : shot.low[0] + shot.side] = False
    assert outside[:, 260:].all()
    for frame, number in zip(dubbed, order, strict=True):
        assert np.array_equal(frame[outside], originals[number][outside])
        face = landmarker.detect(frame)[0]
        gaps.append(lip_gap(face.points))
        eye = landmarker.detect(originals[number])[0].points[33, :2]
        assert np.linalg.norm(face.points[33, :2] - eye) < 3  # the head stays where it was
    assert np.corrcoef(gaps, motion[:, ARKIT.index("jawOpen")])[0, 1] > 0.9


def test_a_renderer_for_one_motion_draws_the_same(landmarker):
    portrait = Portrait.from_image(data.astronaut(), landmarker, FaceModel.load(), 192)
    motion = np.zeros((1, ARKIT.dim), np.float32)
    motion[0, ARKIT.indices(["jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp"])] = 0.5, 0.6, 0.7, 0.8
    (expected,) = WarpRenderer(portrait).render(motion)
    prepared = WarpRenderer(replace(portrait, only=motion[0, ARKIT.expression]))
    (made,) = prepared.render(motion)
    assert np.abs(expected.astype(int) - made).max() <= 2
    motion[0, ARKIT.index("jawOpen")] = 0.1
    with pytest.raises(ValueError, match="other blendshapes"):
        next(prepared.render(motion))


def test_without_a_face_or_a_video(landmarker, tmp_path):
    motion = MotionTrack(np.zeros((3, ARKIT.dim), np.float32), ARKIT)
    with VideoWriter(tmp_path / "wall.mp4", 64, 64) as writer:
        for _ in range(3):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(FaceNotFoundError, match=r"wall\.mp4"):
        dub(tmp_path / "wall.mp4", motion, landmarker, FaceModel.load(), WarpRenderer)
    with pytest.raises(VideoError, match=r"none\.mp4"):
        dub(tmp_path / "none.mp4", motion, landmarker, FaceModel.load(), WarpRenderer)
