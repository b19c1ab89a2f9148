"""Motion at a higher frame rate."""

import numpy as np
import pytest

from emotalker.coefficients import ARKIT
from emotalker.coefficients.resample import change_frame_rate, frames_at

JAW, CLOSE, BLINK = (ARKIT.index(name) for name in ("jawOpen", "mouthClose", "eyeBlinkLeft"))


def speech(frames: int = 50) -> np.ndarray:
    """Lips that close for one frame in every five, one blink, a nod, and blendshapes within 0..1."""
    t = np.arange(frames)
    motion = np.zeros((frames, ARKIT.dim), np.float32)
    motion[:, ARKIT.lip] = np.random.default_rng(0).uniform(0.1, 0.3, (frames, len(ARKIT.lip)))
    motion[:, JAW] = np.where(t % 5 == 2, 0.02, 0.4)
    motion[:, CLOSE] = 0
    motion[:, ARKIT.indices(["eyeBlinkLeft", "eyeBlinkRight"])] = (t == 23)[:, None]
    motion[:, ARKIT.index("pitch")] = 0.2 * np.sin(2 * np.pi * t / 25)
    motion[:, ARKIT.index("shiftX")] = np.cos(2 * np.pi * t / 25)
    return motion


@pytest.mark.parametrize("fps", [25, 30, 50, 60])
def test_duration_and_range_are_kept(fps):
    for frames in (1, 2, 7, 50):
        motion = speech(frames)
        out = change_frame_rate(motion, ARKIT, fps)
        assert out.dtype == np.float32 and len(out) == frames_at(frames, 25, fps)
        assert 0 <= len(out) / fps - frames / 25 < 1 / fps
        expression = out[:, ARKIT.expression]
        assert expression.min() >= 0 and (expression <= motion[:, ARKIT.expression].max(0) + 1e-6).all()


@pytest.mark.parametrize("fps", [30, 50, 60])
def test_every_closure_and_blink_is_shown_in_full(fps):
    motion = speech()
    out = change_frame_rate(motion, ARKIT, fps)
    for frame in range(2, 50, 5):
        nearest = round(frame * fps / 25)
        assert np.array_equal(out[nearest, ARKIT.lip], motion[frame, ARKIT.lip])
    assert out[:, BLINK].max() == 1
    assert np.abs(np.argmax(out[:, BLINK]) / fps - 23 / 25) <= 0.5 / fps


def test_frames_at_common_times_are_those_of_the_motion():
    motion = speech()
    assert np.abs(change_frame_rate(motion, ARKIT, 50)[::2] - motion).max() < 1e-5
    assert np.array_equal(change_frame_rate(motion, ARKIT, 25), motion)


@pytest.mark.parametrize("fps", [30, 50, 60])
def test_the_pose_is_smooth(fps):
    out = change_frame_rate(speech(), ARKIT, fps)
    t = np.arange(len(out)) / fps
    inner = slice(3, -6)  # the motion ends in the middle of a nod
    pitch, shift = out[:, ARKIT.index("pitch")], out[:, ARKIT.index("shiftX")]
    assert np.abs(pitch - 0.2 * np.sin(2 * np.pi * t))[inner].max() < 1e-3
    assert np.abs(shift - np.cos(2 * np.pi * t))[inner].max() < 5e-3
