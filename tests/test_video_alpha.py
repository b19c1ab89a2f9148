"""Videos with transparency, read again by other decoders."""

import av
import numpy as np
import pytest

from emotalker.core.errors import OutputError
from emotalker.video.alpha import AlphaVideoWriter

COLOUR = (200, 80, 30)


def frames(count: int = 10) -> list[np.ndarray]:
    """A square that moves right over a transparent ground, above a half transparent bar; all of one colour."""
    picture = np.zeros((count, 96, 128, 4), np.uint8)
    picture[..., :3] = COLOUR
    picture[:, 76:, :, 3] = 128
    for k in range(count):
        picture[k, 20:60, 10 + 4 * k : 50 + 4 * k, 3] = 255
    return list(picture)


def decode(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        if path.suffix == ".mov":
            decoded = list(container.decode(video=0))
        else:  # FFmpeg's own VP9 decoder ignores the stream of alpha
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            decoded = [frame for packet in container.demux(video=0) if packet.size for frame in decoder.decode(packet)]
    return [frame.to_ndarray(format="rgba") for frame in decoded]


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_colours_alpha_and_audio_are_kept(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    tone = 0.3 * np.sin(np.arange(6400) / 5).astype(np.float32)
    with AlphaVideoWriter(path, 128, 96, 25, tone, 16000) as video:
        for frame in frames():
            video.write(frame)
    found = decode(path)
    assert len(found) == 10
    for expected, frame in zip(frames(), found, strict=True):
        assert np.abs(expected[..., 3].astype(int) - frame[..., 3]).mean() < 3
        opaque = expected[..., 3] == 255
        assert np.abs(frame[opaque][:, :3].astype(int) - COLOUR).max() < 12
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert sum(frame.samples for frame in container.decode(stream)) / stream.rate == pytest.approx(0.4, abs=0.03)


def test_other_files_and_frames_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.mov \(ProRes 4444\) or \.webm"):
        AlphaVideoWriter(tmp_path / "a.mp4", 128, 96)
    with pytest.raises(ValueError, match=r"\(96, 128, 4\)"), AlphaVideoWriter(tmp_path / "a.mov", 128, 96) as video:
        video.write(np.zeros((96, 128, 3), np.uint8))
    assert not list(tmp_path.iterdir())
