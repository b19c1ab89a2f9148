"""Videos and images: writing, reading, and errors."""

import threading

import av
import cv2
import numpy as np
import pytest
from helpers import save_wav

from emotalker.audio.io import load_audio
from emotalker.core.errors import ImageError, OutputError, VideoError
from emotalker.video import VideoWriter, load_image, read_frames, save_image, video_info
from emotalker.video.sheet import draw_label, frame_grid


def frames(count, height=64, width=96):
    """A bright bar that moves two pixels per frame over a colour gradient."""
    y, x = np.mgrid[:height, :width]
    ground = np.stack([x * 160 // width, y * 160 // height, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    for i in range(count):
        frame = ground.copy()
        frame[:, (2 * i) % (width - 8) : (2 * i) % (width - 8) + 8] = (230, 220, 60)
        yield frame


def write(path, count=25, height=64, width=96, **options):
    with VideoWriter(path, width, height, **options) as video:
        for frame in frames(count, height, width):
            video.write(frame)
    return path


def clicks(seconds, rate=16000):
    """A short 1 kHz burst at every full second except 0."""
    audio = np.zeros(round(seconds * rate), np.float32)
    for second in range(1, int(seconds)):
        t = np.arange(rate // 50) / rate
        audio[second * rate : second * rate + len(t)] = 0.8 * np.sin(2 * np.pi * 1000 * t)
    return audio


def test_frames_are_preserved(tmp_path):
    path = write(tmp_path / "a.mp4", 30)
    expected, found = list(frames(30)), list(read_frames(path))
    assert len(found) == 30
    for a, b in zip(expected, found, strict=True):
        assert b.shape == a.shape and b.dtype == np.uint8
        assert np.abs(a.astype(int) - b).mean() < 6


def test_colours_are_preserved(tmp_path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 120, 90], [255, 255, 255], [0, 0, 0]], np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 64, 64) as video:
        for colour in colours:
            video.write(np.broadcast_to(colour, (64, 64, 3)))
    means = [frame.mean((0, 1)) for frame in read_frames(tmp_path / "a.mp4")]
    assert np.abs(np.array(means) - colours).max() < 4
    with av.open(str(tmp_path / "a.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert codec.colorspace == codec.color_primaries == codec.color_trc == codec.color_range == 1


@pytest.mark.parametrize("fps", [25, 30, 29.97])
def test_frame_rate(tmp_path, fps):
    info = video_info(write(tmp_path / "a.mp4", 40, fps=fps))
    assert info.fps == pytest.approx(fps, abs=1e-3)
    assert (info.width, info.height, info.frames, info.has_audio) == (96, 64, 40, False)
    assert info.duration == pytest.approx(40 / fps, abs=1e-3)


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
@pytest.mark.parametrize("surplus", [-0.7, 0.0, 0.9])
def test_audio_has_the_duration_of_the_video(tmp_path, rate, surplus):
    path = write(tmp_path / "a.mp4", 53, audio=clicks(53 / 25 + surplus, rate), audio_rate=rate)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert audio.codec_context.name == "aac" and audio.rate in (44100, 48000)
        assert float(audio.duration * audio.time_base) == pytest.approx(53 / 25, abs=1e-3)
        assert float(video.duration * video.time_base) == pytest.approx(53 / 25, abs=1e-3)
    decoded = load_audio(path)
    assert len(decoded) / 16000 == pytest.approx(53 / 25, abs=0.001)
    if surplus < 0:
        assert np.abs(decoded[-8000:]).max() < 1e-3


def test_audio_is_aligned(tmp_path):
    audio = clicks(4.0)
    decoded = load_audio(write(tmp_path / "a.mp4", 100, audio=audio))
    n = len(decoded) - 400
    match = [np.dot(decoded[200 + k : n + k], audio[200:n]) for k in range(-200, 201)]
    assert abs(int(np.argmax(match)) - 200) <= 1
    assert np.corrcoef(decoded[: len(audio)], audio[: len(decoded)])[0, 1] > 0.99


def test_streams_are_interleaved_and_the_index_comes_first(tmp_path):
    path = write(tmp_path / "a.mp4", 200, audio=clicks(8.0))
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as container:
        positions = {"video": [], "audio": []}
        for packet in container.demux():
            if packet.size:
                positions[packet.stream.type].append(packet.pos)
    assert min(positions["audio"]) < max(positions["video"]) and min(positions["video"]) < max(positions["audio"])
    middle = np.searchsorted(positions["audio"], np.median(positions["video"])) / len(positions["audio"])
    assert 0.3 < middle < 0.7


def test_frame_buffer_may_be_reused(tmp_path):
    buffer = np.zeros((64, 96, 3), np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 96, 64) as video:
        for i in range(20):
            buffer[:] = 10 * i
            video.write(buffer)
    assert [round(f.mean() / 10) for f in read_frames(tmp_path / "a.mp4")] == list(range(20))


def test_planar_frames_are_written_as_they_are(tmp_path):
    """Also in a width that FFmpeg pads, with one buffer for more frames than the queue holds."""
    buffer = np.zeros((96, 94), np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 94, 64) as video:
        for i in range(20):
            buffer[:64] = 20 + 10 * i
            buffer[64:] = 128
            video.write_planar(buffer)
        with pytest.raises(ValueError, match="planar"):
            video.write_planar(np.zeros((64, 94, 3), np.uint8))
    found = list(read_frames(tmp_path / "a.mp4"))
    expected = [(4 + 10 * i) * 255 / 219 for i in range(20)]
    assert np.abs(np.array([f.mean() for f in found]) - expected).max() < 2
    assert max(np.ptp(f) for f in found) <= 6


def test_an_exception_keeps_the_existing_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"an older result")
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError), VideoWriter(path, 96, 64, audio=clicks(3.0)) as video:
        for frame in frames(30):
            video.write(frame)
        raise ZeroDivisionError
    assert path.read_bytes() == b"an older result"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"] and threading.active_count() == threads


@pytest.mark.parametrize("limit", [0, 100_000])
def test_a_full_disk_raises_an_output_error(tmp_path, limit):
    """A limit on the file size simulates a full disk, at the header or later."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(OutputError, match="file too large"), VideoWriter(tmp_path / "a.mp4", 256, 256) as video:
            for i in range(60):  # more than the capacity of the queue
                video.write(np.roll(noise, 31 * i, axis=0) ^ np.uint8(i))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(tmp_path.iterdir())


def test_a_video_without_frames_raises_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="no frame"), VideoWriter(tmp_path / "a.mp4", 96, 64, audio=clicks(2.0)):
        pass
    assert not any(tmp_path.iterdir())


def test_invalid_outputs_raise_errors(tmp_path):
    with pytest.raises(OutputError, match="even"):
        VideoWriter(tmp_path / "a.mp4", 97, 64)
    with pytest.raises(OutputError, match=r"\.mp4"):
        VideoWriter(tmp_path / "a.txt", 96, 64)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"), VideoWriter(tmp_path / "file" / "a.mp4", 96, 64):
        pass
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="folder"), VideoWriter(tmp_path / "folder.mp4", 96, 64):
        pass
    with pytest.raises(ValueError, match="uint8"), VideoWriter(tmp_path / "a.mp4", 96, 64) as video:
        video.write(np.zeros((64, 98, 3), np.uint8))
    with pytest.raises(ValueError, match="mono"):
        VideoWriter(tmp_path / "a.mp4", 96, 64, audio=np.zeros((100, 2)))


@pytest.mark.parametrize(("turns", "matrix"), [(1, (0, -1, 1, 0)), (2, (-1, 0, 0, -1)), (3, (0, 1, -1, 0))])
def test_rotated_videos_are_read_upright(tmp_path, turns, matrix):
    """Phones store rotated frames and a display matrix in the track header."""
    path = write(tmp_path / "a.mp4", 3)
    plain = next(read_frames(path))
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of header
    a, b, c, d = (int(v * 65536).to_bytes(4, "big", signed=True) for v in matrix)
    zero = bytes(4)
    content[start : start + 24] = a + b + zero + c + d + zero
    path.write_bytes(content)
    turned = next(read_frames(path))
    assert np.array_equal(turned, np.rot90(plain, turns))
    info = video_info(path)
    assert (info.height, info.width) == turned.shape[:2]


def test_unusable_videos_raise_video_errors(tmp_path):
    with pytest.raises(VideoError, match="no such video"):
        next(read_frames(tmp_path / "missing.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match="cannot be decoded"):
        video_info(tmp_path / "text.mp4")
    save_wav(tmp_path / "a.wav", clicks(1.0))
    with pytest.raises(VideoError, match="no video stream"):
        video_info(tmp_path / "a.wav")


def picture(height=30, width=40):
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x // width, 255 * y // height, np.full_like(x, 40)], axis=-1).astype(np.uint8)


def with_exif(jpeg, orientation):
    """Insert an Exif segment that contains only the orientation."""
    tiff = b"MM\0*\0\0\0\x08\0\x01" + b"\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation, 0, 0]) + bytes(4)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def test_png_round_trip(tmp_path):
    save_image(tmp_path / "a.png", picture())
    assert np.array_equal(load_image(tmp_path / "a.png"), picture())


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, orientation, turns):
    jpeg = cv2.imencode(".jpg", picture()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(with_exif(jpeg, orientation))
    assert np.abs(load_image(tmp_path / "a.jpg").astype(int) - np.rot90(picture(), turns)).mean() < 4


def test_grey_16_bit_and_transparent_images(tmp_path):
    grey = picture()[..., 0]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    assert np.array_equal(load_image(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=2))
    cv2.imwrite(str(tmp_path / "deep.png"), picture()[..., ::-1].astype(np.uint16) * 257)
    assert np.abs(load_image(tmp_path / "deep.png").astype(int) - picture()).max() <= 1
    for depth, full in ((np.uint8, 1), (np.uint16, 257)):
        alpha = np.zeros((30, 40, 1), np.uint8)
        alpha[:, 10:] = 255
        alpha[:, 20:] = 51
        cv2.imwrite(str(tmp_path / "a.png"), np.concatenate([picture()[..., ::-1], alpha], axis=2).astype(depth) * full)
        image = load_image(tmp_path / "a.png").astype(float)
        assert (image[:, :10] == 128).all()
        assert np.abs(image[:, 10:20] - picture()[:, 10:20]).max() <= 1
        assert np.abs(image[:, 20:] - (128 + 0.2 * (picture()[:, 20:] - 128.0))).max() <= 1


def test_paths_outside_ascii(tmp_path):
    save_image(tmp_path / "портрет.png", picture())
    assert load_image(tmp_path / "портрет.png").shape == (30, 40, 3)


def test_unusable_images_raise_image_errors(tmp_path):
    with pytest.raises(ImageError, match="no such image"):
        load_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="not a file"):
        load_image(tmp_path)
    for content in (b"", b"no picture", b"\x89PNG\r\n\x1a\n"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ImageError, match="damaged or not an image"):
            load_image(tmp_path / "a.png")
    with pytest.raises(OutputError, match="suffix"):
        save_image(tmp_path / "a.nothing", picture())


def test_a_grid_has_rows_of_frames_and_black_cells_at_the_end():
    images = [np.full((30, 60, 3), 50 * i, np.uint8) for i in range(1, 6)]
    grid = frame_grid(images, columns=2, width=20)
    assert grid.shape == (30, 40, 3) and grid.dtype == np.uint8
    cells = [grid[y : y + 10, x : x + 20] for y in (0, 10, 20) for x in (0, 20)]
    assert [int(cell.mean()) for cell in cells] == [50, 100, 150, 200, 250, 0]
    with pytest.raises(ValueError, match="at least one frame"):
        frame_grid([], columns=2, width=20)


def test_a_label_is_written_in_place():
    image = np.full((40, 120, 3), 128, np.uint8)
    draw_label(image, "happy")
    assert image.min() < 10 and image.max() > 240 and (image[30:] == 128).all()
