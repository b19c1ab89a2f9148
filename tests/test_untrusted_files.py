"""Recordings and pictures from careless and hostile users."""

import os
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from emotalker.audio.io import load_audio
from emotalker.core.errors import AudioError, ImageError
from emotalker.core.limits import MAX_CHANNELS
from emotalker.video.image import load_image
from emotalker.video.reader import read_frames
from emotalker.video.writer import VideoWriter


def save_channels(path, channels, rate=16000, frames=4000):
    samples = np.random.default_rng(channels).integers(-3000, 3000, (frames, channels)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return samples


@pytest.mark.parametrize("channels", [1, 2, 5, 7, 8, 9, 16, 31, 64])
def test_any_number_of_channels_is_averaged(tmp_path, channels):
    samples = save_channels(tmp_path / "a.wav", channels)
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), samples.mean(1) / 32768, atol=1e-6)


def test_formats_beyond_the_limits_are_refused(tmp_path):
    save_channels(tmp_path / "many.wav", MAX_CHANNELS + 1)
    save_channels(tmp_path / "fast.wav", 1, rate=19_999_999)
    save_channels(tmp_path / "slow.wav", 1, rate=1)
    for name in ("many.wav", "fast.wav", "slow.wav"):
        with pytest.raises(AudioError, match=name):
            load_audio(tmp_path / name)


def test_names_with_a_colon_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_channels("10:30.wav", 1)
    assert len(load_audio("10:30.wav")) == 4000
    with pytest.raises(AudioError, match="no such audio file"):
        load_audio("http:x.wav")
    with VideoWriter("a.mp4", 64, 64) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    Path("a.mp4").rename("b:1.mp4")
    assert len(list(read_frames("b:1.mp4"))) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_pictures_are_upright(tmp_path, orientation, suffix):
    """With and without transparency, as Pillow shows them."""
    rng = np.random.default_rng(0)
    colors = cv2.resize(rng.integers(0, 255, (4, 6, 3), np.uint8), (60, 40), interpolation=cv2.INTER_NEAREST)
    picture = Image.fromarray(colors)
    if suffix != ".jpg":
        picture.putalpha(255)
        picture.putpixel((0, 0), (*picture.getpixel((0, 0))[:3], 254))  # a wholly opaque WebP has no alpha
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {"quality": 95} if suffix == ".jpg" else {}
    picture.save(tmp_path / f"a{suffix}", exif=exif, **options)
    from PIL import ImageOps

    with Image.open(tmp_path / f"a{suffix}") as file:
        expected = np.array(ImageOps.exif_transpose(file).convert("RGB"))
    shown = load_image(tmp_path / f"a{suffix}")
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 3


def test_bombs_and_devices_are_refused_quickly(tmp_path):
    rows = b"\0" * 4
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 32767, 32767, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "bomb.png", tmp_path / "pipe.png", "/dev/zero", tmp_path):
        with pytest.raises(ImageError):
            load_image(path)
