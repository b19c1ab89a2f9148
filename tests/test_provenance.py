"""Videos say that they are synthetic: metadata and the visible mark."""

import av
import numpy as np
import pytest

from emotalker.render.compositor import planar_yuv
from emotalker.video import VideoWriter, read_frames
from emotalker.video.alpha import AlphaVideoWriter
from emotalker.video.provenance import SOURCE_TYPE, SYNTHETIC, VisibleMark

PLAIN = (90, 150, 60)


def plain(height, width, channels=3):
    return np.broadcast_to(np.array([*PLAIN, 0][:channels], np.uint8), (height, width, channels)).copy()


@pytest.mark.parametrize(("writer", "suffix", "channels"), [(VideoWriter, ".mp4", 3), (AlphaVideoWriter, ".mov", 4)])
def test_tags_are_in_the_file(tmp_path, writer, suffix, channels):
    with writer(tmp_path / f"v{suffix}", 64, 64, metadata=SYNTHETIC) as video:
        video.write(plain(64, 64, channels))
    with av.open(str(tmp_path / f"v{suffix}")) as container:
        assert SOURCE_TYPE in container.metadata["comment"] and "EmoTalker" in container.metadata["comment"]


def test_a_mark_is_seen_in_its_corner_only(tmp_path):
    frame = plain(128, 192)
    with VideoWriter(tmp_path / "v.mp4", 192, 128, crf=8, mark="AI generated") as video:
        video.write(frame)
        video.write_planar(planar_yuv(frame))
    assert (frame == plain(128, 192)).all()  # the caller's array
    rgb, planar = (found.astype(int) for found in read_frames(tmp_path / "v.mp4"))
    for found in (rgb, planar):
        changed = np.abs(found - PLAIN).max(-1) > 25
        assert changed[100:, 96:].any() and not changed[:96].any() and not changed[:, :64].any()
        assert found.min(-1).max() > 170  # white letters
    assert np.abs(rgb - planar).mean() < 1


def test_a_mark_is_opaque_where_the_picture_is_transparent():
    frame = plain(256, 256, 4)
    VisibleMark("synthetic", 256, 256).draw(frame)
    assert frame[..., 3].max() > 240 and (frame[:128, :, 3] == 0).all()


@pytest.mark.parametrize("size", [(16, 16), (64, 2160), (3840, 2160)])
def test_a_mark_fits_frames_of_all_sizes(size):
    width, height = size
    frame = plain(height, width)
    VisibleMark("a mark that is quite a long sentence for a small frame", width, height).draw(frame)
    changed = (frame != plain(height, width)).any(-1)
    assert changed.any() and changed.mean() < 0.7


@pytest.mark.parametrize("text", ["", "  ", "日本", "a\nb"])
def test_other_marks_are_refused(text):
    with pytest.raises(ValueError, match="ASCII"):
        VisibleMark(text, 64, 64)
