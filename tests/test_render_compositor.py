"""Drawing frames: what does not move is the photo, planar frames equal RGB frames, backgrounds stay behind the person."""

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.render.compositor import Compositor, FrameInputs, planar_yuv
from emotalker.render.drawing import Shade
from emotalker.render.warp_renderer import WarpRenderer

SIZE = 256
GRID = (64, 64)
PLACE = (0, 0, SIZE, SIZE)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[:SIZE, 100 : 100 + SIZE])


@pytest.fixture(scope="module")
def renderer():
    return WarpRenderer(Portrait.from_image(data.astronaut(), FaceLandmarker(), FaceModel.load(), SIZE))


def no_shade() -> Shade:
    one = np.float32(1)
    return Shade(np.ones((4, 4), np.float32), np.zeros((2, 2, 2), np.float32), one, one, one, False)


def fields(*shift: float) -> np.ndarray:
    """A constant backward displacement, by default none."""
    return np.broadcast_to(np.float32(shift or (0, 0)), (*GRID, 2)).copy()


def some_motion(frames: int = 5) -> np.ndarray:
    """Random motion with a pose, ``(T, 58)``."""
    motion = np.random.default_rng(0).uniform(0, 0.5, (frames, ARKIT.dim)).astype(np.float32)
    motion[:, ARKIT.pose] = np.random.default_rng(1).uniform(-0.1, 0.1, (frames, 6))
    return motion


def swscale(picture: np.ndarray) -> np.ndarray:
    """Planar YUV as FFmpeg converts it."""
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    color = {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}
    return frame.reformat(format="yuv420p", **color).to_ndarray()


def test_no_displacement_draws_the_photo_bit_for_bit(photo):
    compositor = Compositor(photo, GRID)
    np.testing.assert_array_equal(compositor.rgb(FrameInputs(fields(), fields(), PLACE, no_shade(), [])), photo)
    np.testing.assert_array_equal(
        compositor.planar(FrameInputs(fields(), fields(), PLACE, no_shade(), [])), planar_yuv(photo)
    )


def test_a_shift_by_whole_pixels_moves_the_photo(photo):
    drawn = Compositor(photo, GRID).rgb(FrameInputs(fields(3, 0), fields(0, -2), PLACE, no_shade(), []))
    np.testing.assert_array_equal(drawn[2:, :-3], photo[:-2, 3:])


def test_what_moves_is_as_sharp_as_one_cubic_sample(photo):
    import cv2

    drawn = Compositor(photo, GRID).rgb(FrameInputs(fields(0.5, 0), fields(0, 0.25), PLACE, no_shade(), []))
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    expected = cv2.remap(photo, columns + 0.5, rows + 0.25, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(drawn.astype(int) - expected).max() <= 2


def test_pixels_outside_the_moving_region_are_the_photos_own(photo):
    pose = fields()
    pose[20:40, 30:50] = 1.5
    drawn = Compositor(photo, GRID).rgb(FrameInputs(pose, fields(), PLACE, no_shade(), []))
    changed = (drawn != photo).any(-1)
    rows, columns = np.nonzero(changed)
    assert changed.any() and rows.min() >= 19 * 4 and rows.max() < 41 * 4 and columns.min() >= 29 * 4
    assert columns.max() < 51 * 4


def test_the_conversion_is_that_of_the_video_library(photo):
    difference = np.abs(planar_yuv(photo).astype(int) - swscale(photo))
    assert difference[:SIZE].max() <= 1 and (difference[SIZE:] > 2).mean() < 1e-3 and difference.max() <= 4


def test_planar_frames_equal_rgb_frames(renderer):
    motion = some_motion()
    for rgb, planar in zip(renderer.render(motion), renderer.render_planar(motion), strict=True):
        difference = np.abs(planar.astype(int) - planar_yuv(rgb))
        unclipped = ((rgb > 0) & (rgb < 255)).all(-1)  # of colours beyond black and white, RGB frames clip every channel
        assert difference[:SIZE][unclipped].max() <= 2
        blocks = unclipped.reshape(SIZE // 2, 2, SIZE // 2, 2).all((1, 3)).reshape(-1)
        assert (difference[SIZE:].reshape(2, -1)[:, blocks] > 2).mean() < 1e-3


def test_frames_do_not_depend_on_other_frames(renderer):
    motion = some_motion()
    together = list(renderer.render(motion))
    planar = [frame.copy() for frame in renderer.render_planar(motion)]
    for index in (3, 0, 4):
        np.testing.assert_array_equal(next(renderer.render_planar(motion[index : index + 1])), planar[index])
        np.testing.assert_array_equal(next(renderer.render(motion[index : index + 1])), together[index])


def test_an_error_of_the_motion_reaches_the_caller_and_frames_before_it_are_drawn(renderer):
    def failing():
        yield some_motion(1)[0]
        raise OSError("no more audio")

    frames = renderer.render_planar(failing())
    assert next(frames).shape == (SIZE * 3 // 2, SIZE)
    with pytest.raises(OSError, match="no more audio"):
        next(frames)


def test_a_trace_of_motion_changes_little(renderer):
    """Lips and lids are drawn over the photo gradually, so that no frame jumps."""
    motion = np.zeros((2, ARKIT.dim), np.float32)
    motion[1, ARKIT.index("jawOpen")] = 1e-4
    still, trace = renderer.render(motion)
    assert np.abs(still.astype(int) - trace).max() <= 4


def test_motion_that_is_not_finite_is_refused(renderer):
    motion = some_motion(1)
    motion[0, 3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        next(renderer.render(motion))


def test_the_background_stays_behind_a_moving_person(photo):
    matte = np.zeros((SIZE, SIZE), np.float32)
    matte[64:192, 64:192] = 1
    background = np.full_like(photo, [10, 200, 60])
    compositor = Compositor(photo, GRID, matte, background)
    drawn = compositor.rgb(FrameInputs(fields(-20, 0), fields(), PLACE, no_shade(), []))
    np.testing.assert_array_equal(drawn[64:192, 84:212], photo[64:192, 64:192])
    assert np.abs(drawn[:, :83].astype(int) - background[:, :83]).max() <= 1
    planar = compositor.planar(FrameInputs(fields(-20, 0), fields(), PLACE, no_shade(), []))
    assert np.abs(planar.astype(int) - planar_yuv(drawn)).max() <= 2
    with pytest.raises(ValueError, match="matte"):
        Compositor(photo, GRID, background=background)


def test_an_odd_side_is_drawn_as_rgb_only(photo):
    odd = np.ascontiguousarray(photo[:255, :255])
    compositor = Compositor(odd, GRID)
    drawn = compositor.rgb(FrameInputs(fields(1, 1), fields(), (0, 0, 255, 255), no_shade(), []))
    np.testing.assert_array_equal(drawn[:-1, :-1], odd[1:, 1:])
    with pytest.raises(ValueError, match="even"):
        compositor.planar(FrameInputs(fields(), fields(), (0, 0, 255, 255), no_shade(), []))


def test_light_of_a_turn_multiplies_what_moves(photo):
    """In both formats; without motion nothing is drawn, so that the photo stays as it is."""
    light = np.linspace(0.9, 1.1, GRID[0] * GRID[1], dtype=np.float32).reshape(GRID)
    compositor, pose = Compositor(photo, GRID), fields(0.25, 0)
    dark = compositor.rgb(FrameInputs(pose, fields(), PLACE, no_shade(), []))
    lit = compositor.rgb(FrameInputs(pose, fields(), PLACE, no_shade(), [], light))
    inner = slice(8, -8)
    factors = cv2.resize(light, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    expected = np.clip(dark * factors, 0, 255)
    assert np.abs(lit - expected)[inner, inner].max() < 3
    planar = compositor.planar(FrameInputs(pose, fields(), PLACE, no_shade(), [], light)).astype(int)
    # Chroma is sampled from block averages, which differ at edges of saturated colours.
    assert np.percentile(np.abs(planar - planar_yuv(lit)), 99.5) <= 3


def test_transparent_frames_have_the_moved_opacity(photo):
    matte = np.zeros(photo.shape[:2], np.float32)
    matte[:, : len(photo) // 2] = 1
    compositor = Compositor(photo, GRID, matte)
    frame = compositor.rgba(FrameInputs(fields(-5, 0), fields(), PLACE, no_shade(), []))
    middle = frame[len(photo) // 2, :, 3]
    assert frame.shape == (*photo.shape[:2], 4)
    edge = len(photo) // 2
    assert (middle[: edge + 4] == 255).all() and (middle[edge + 6 :] == 0).all()
    with pytest.raises(ValueError, match="need a matte"):
        Compositor(photo, GRID).rgba(FrameInputs(fields(), fields(), PLACE, no_shade(), []))
